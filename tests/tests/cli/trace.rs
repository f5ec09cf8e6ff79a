//! `nostale trace`: what it refuses, what it says of recordings, and what it keeps.

use crate::{Bench, Place, ends_with, ensure, json, trial};
use libtest_mimic::{Failed, Trial};
use nostale_notifier::{
    Hva, Pfn,
    event::Tsc,
    trace::{
        event::{At, Call, Gfn, Item, KernelEvent, SlotMap, Spte, Tid, What},
        synthetic::recording,
    },
};
use serde_json::Value;
use std::{
    fs,
    process::{Command, Output},
};

/// The names that scripts may rely on.
const PROFILE: &[&str] = &[
    "version",
    "verdict",
    "kernel",
    "cpu",
    "cpus",
    "mmu",
    "ticks_per_us",
    "probes",
    "pid",
    "command",
    "title",
    "seconds",
    "events",
    "by_kind",
    "lost",
    "truncated",
    "rules",
    "operations",
    "timelines",
    "notes",
];
const RULE: &[&str] = &["name", "says", "because", "state", "reason", "checks", "breaks", "examples"];
const BREAK: &[&str] = &["rule", "what", "at_us", "hva", "operation", "events"];
const EVENT: &[&str] = &["tsc", "at_us", "cpu", "tid", "thread", "event", "text"];

pub(crate) fn trials(bench: &Bench) -> Vec<Trial> {
    let not_root = || bench.not_root();
    let no_tracefs = || not_root().or_else(cannot_record);
    let refusals = REFUSALS
        .iter()
        .map(|&(name, arguments, says)| trial(format!("trace::refuses_{name}"), None, move || refused(arguments, says)));
    let others = [
        trial("trace::refuses_no_process", no_tracefs(), || {
            refused(&["--pid", "2147483647"], "there is no process 2147483647 to record")
        }),
        trial("trace::refuses_a_command_that_does_not_exist", no_tracefs(), || {
            refused(&["--", "./missing", "argument"], "cannot start ./missing: No such file or directory")
        }),
        trial("trace::refuses_out_that_exists", None, out_that_exists),
        trial("trace::held", None, held),
        trial("trace::broken", None, broken),
        trial("trace::json", None, schema),
        trial("trace::rules_are_tests", None, tests),
        trial("trace::vacuous", None, vacuous),
        trial("trace::breaks_off", None, breaks_off),
        trial("trace::damaged", None, damaged),
        trial("trace::everything_is_kept", None, kept),
        trial("trace::a_command_without_a_vm", no_tracefs(), without_a_vm),
        trial("trace::another_process", bench.no_kvm().or_else(no_tracefs), another_process),
    ];
    refusals.chain(others).collect()
}

/// Why nothing can be recorded here, if so.
fn cannot_record() -> Option<String> {
    let tracefs = match nostale_notifier::trace::record::find_tracefs() {
        Ok(tracefs) => tracefs,
        Err(error) => return Some(error.to_string()),
    };
    let probe = tracefs.join("instances").join(format!("nostale_cli_{}", std::process::id()));
    let made = fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe));
    made.err().map(|error| format!("{}: {error}", probe.display()))
}

/// The arguments, and a part of what must be said.
const REFUSALS: &[(&str, &[&str], &str)] = &[
    ("nothing_to_record", &[], "what is to be recorded? --pid PID, or -- COMMAND; or --read FILE"),
    ("to_record_what_was_recorded", &["--pid", "1", "--read", "x"], "'--pid <PID>' cannot be used with '--read <FILE>'"),
    ("to_record_two", &["--pid", "1", "--", "true"], "'--pid <PID>' cannot be used with"),
    ("a_time_for_what_was_recorded", &["--read", "x", "--seconds", "1"], "cannot be used with"),
    ("a_process_that_is_no_number", &["--pid", "self"], "'self' for '--pid"),
    ("process_0", &["--pid", "0"], "'0' for '--pid"),
    ("a_file_that_is_missing", &["--read", "missing"], "missing: No such file or directory"),
    ("a_text", &["--read", "/proc/version"], "/proc/version: this is no recording of nostale"),
    ("a_directory", &["--read", "/proc"], "/proc: "),
    ("an_export_without_a_place", &["--read", "x", "--export", "csv"], "--out <DIR>"),
    ("an_unknown_export", &["--read", "x", "--export", "cvs", "--out", "o"], "'cvs' for '--export"),
    ("out_below_nothing", &["--read", "/proc/version", "--out", "missing/x"], "No such file or directory"),
];

fn refused(arguments: &[&str], says: &str) -> Result<(), Failed> {
    let place = Place::new()?;
    let output = place.nostale(&[&["trace"], arguments].concat())?;
    ends_with(&output, 2)?;
    let errors = std::str::from_utf8(&output.stderr)?;
    ensure(output.stdout.is_empty() && errors.contains(says), || format!("expected \"{says}\": {output:?}"))?;
    let ours = errors.starts_with("nostale: ") && errors.lines().count() == 1;
    ensure(ours || errors.starts_with("error: "), || format!("more than a line, or not ours: {errors}"))?;
    let left = place.entries()?;
    ensure(left.is_empty(), || format!("left behind: {left:?}"))
}

fn out_that_exists() -> Result<(), Failed> {
    let place = with(&stream(true)?)?;
    fs::create_dir(place.path().join("kept"))?;
    let output = place.nostale(&["trace", "--read", "r.trace", "--out", "kept"])?;
    ends_with(&output, 2)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure(errors.contains("kept already exists"), || errors.to_string())?;
    ensure(place.entries()? == ["kept", "r.trace"], || format!("{:?}", place.entries()))?;
    ensure(fs::read_dir(place.path().join("kept"))?.next().is_none(), || "something was put in".to_owned())
}

const HOME: u64 = 0x7f00_0000_0000;
const PAGES: u64 = 64;

/// Pages that are discarded one after the other; with `told`, each is announced and zapped as it must be.
fn items(told: bool) -> Result<Vec<Item>, Failed> {
    let call = Call::named("madvise").ok_or("it is recorded")?;
    let mut items = vec![Item::Slots { tsc: Tsc(10), slots: vec![SlotMap { gfn: Gfn(0), pages: PAGES, hva: Hva::new(HOME) }] }];
    let mut tsc = 100;
    let mut event = |tid, what| {
        tsc += 100;
        items.push(Item::Event(KernelEvent { at: At { tsc: Tsc(tsc), cpu: 0, tid: Tid(tid) }, what }));
    };
    let leaf = |page: u64| Spte((0x1000 + page) << 12 | 0xe67);
    let changed = |page, old, new| What::Changed { gfn: Gfn(page), old, new, level: 1, space: 0 };
    for page in 0..PAGES {
        event(11, What::Requested { gfn: Gfn(page), pfn: Pfn::new(0x1000 + page), level: 1 });
        event(11, changed(page, Spte(0), leaf(page)));
    }
    for page in 0..PAGES {
        let start = Hva::new(HOME + (page << 12));
        let end = Hva::new(start.get() + 0x1000);
        event(47, What::Enter { call, args: [start.get(), 0x1000, 4, 0, 0, 0] });
        if told {
            event(47, What::RangeStart { mm: 1, start, end, reason: 0 });
            event(47, What::Unmap { start, end });
            event(47, What::Begin { kvm: 1 });
            event(47, changed(page, leaf(page), Spte(0)));
            event(47, What::Flush { kvm: 1 });
            event(47, What::RangeEnd { mm: 1, start, end });
            event(47, What::End { kvm: 1 });
        }
        event(47, What::Exit { call, ret: 0 });
    }
    Ok(items)
}

fn stream(told: bool) -> Result<Vec<u8>, Failed> {
    Ok(recording(&items(told)?)?)
}

fn with(bytes: &[u8]) -> Result<Place, Failed> {
    let place = Place::new()?;
    fs::write(place.path().join("r.trace"), bytes)?;
    Ok(place)
}

fn read(bytes: &[u8], arguments: &[&str]) -> Result<Output, Failed> {
    with(bytes)?.nostale(&[&["trace", "--read", "r.trace"], arguments].concat())
}

fn held() -> Result<(), Failed> {
    let output = read(&stream(true)?, &[])?;
    ends_with(&output, 0)?;
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["held: ", "returned", "madvise(DONTNEED)", "enter → start → begin → zap → kvm-flush → end → return", "synthetic"]
    {
        ensure(text.contains(part), || format!("{part:?} is not in\n{text}"))?;
    }
    ensure(text.starts_with("held") && !text.contains('\x1b'), || text.to_string())
}

fn broken() -> Result<(), Failed> {
    let output = read(&stream(false)?, &[])?;
    ends_with(&output, 1)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let parts = [
        "broken: ",
        "returned: when a call that takes memory away has returned",
        "because its caller may count on it",
        "of [0x7f0000000000",
        "cpu 0",
        "and 62 more",
    ];
    for part in parts {
        ensure(text.contains(part), || format!("{part:?} is not in\n{text}"))?;
    }
    Ok(())
}

/// Fields are only ever added.
fn has(of: &Value, names: &[&str]) -> Result<(), Failed> {
    let missing: Vec<_> = names.iter().filter(|name| of.get(name).is_none()).collect();
    ensure(missing.is_empty(), || format!("{missing:?} missing in {of}"))
}

fn schema() -> Result<(), Failed> {
    let output = read(&stream(false)?, &["--format", "json"])?;
    ends_with(&output, 1)?;
    let profile = json(&output)?;
    has(&profile, PROFILE)?;
    let expected = u64::try_from(items(false)?.len())? - 1;
    ensure(profile["verdict"] == "broken" && profile["events"] == expected, || format!("{profile}"))?;
    let rules = profile["rules"].as_array().ok_or("rules are a list")?;
    let known: Vec<_> = nostale_notifier::trace::rules::all().iter().map(|rule| rule.about().name).collect();
    ensure(rules.iter().map(|rule| rule["name"].as_str().unwrap_or_default()).eq(known), || format!("{rules:?}"))?;
    for rule in rules {
        has(rule, RULE)?;
        let broken = rule["name"] == "returned";
        ensure((rule["state"] == "broken") == broken, || format!("{rule}"))?;
        if broken {
            let example = &rule["examples"][0];
            has(example, BREAK)?;
            has(&example["events"][0], EVENT)?;
            ensure(rule["breaks"] == PAGES && example["operation"] == "madvise(DONTNEED)", || format!("{rule}"))?;
        } else {
            // What could not be asked says why.
            ensure((rule["state"] == "not-asked") == rule["reason"].is_string(), || format!("{rule}"))?;
        }
    }
    Ok(())
}

fn tests() -> Result<(), Failed> {
    let output = read(&stream(false)?, &["--format", "ktap"])?;
    ends_with(&output, 1)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rules = nostale_notifier::trace::rules::all().len();
    ensure(text.starts_with("KTAP version 1\n") && text.contains(&format!("1..{rules}\n")), || text.to_string())?;
    let of = |rule: &str| text.lines().find(|line| line.contains("ok ") && line.contains(rule)).unwrap_or_default();
    ensure(of("returned").starts_with("not ok "), || text.to_string())?;
    ensure(of("installed-over").starts_with("ok "), || text.to_string())?;
    let output = read(&stream(false)?, &["--format", "junit"])?;
    ends_with(&output, 1)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let parts = ["<?xml", "name=\"nostale trace\"", &format!("tests=\"{rules}\""), "failures=\"1\"", "name=\"returned\""];
    for part in parts {
        ensure(text.contains(part), || format!("{part:?} is not in\n{text}"))?;
    }
    Ok(())
}

fn vacuous() -> Result<(), Failed> {
    // The first half: entries come, and nothing is ever announced.
    let mut items = items(true)?;
    items.truncate(1 + 2 * PAGES as usize);
    let output = read(&recording(&items)?, &[])?;
    ends_with(&output, 3)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(text.starts_with("vacuous: nothing that was installed was ever invalidated"), || text.to_string())?;
    // And nothing at all.
    ends_with(&read(&recording(&[])?, &[])?, 3)
}

fn breaks_off() -> Result<(), Failed> {
    let whole = stream(true)?;
    let output = read(&whole[..whole.len() - 20], &[])?;
    // All of its events are there; only the last words are not.
    ends_with(&output, 0)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(text.contains("note: the recording breaks off: "), || text.to_string())?;
    let output = read(&whole[..whole.len() - 20], &["--format", "json"])?;
    ensure(json(&output)?["truncated"].is_string(), || format!("{output:?}"))?;
    // Wherever it breaks off behind its head, it is read; before, it is no recording.
    let mut read_at_all = 0;
    for quarter in 1..=8 {
        let output = read(&whole[..whole.len() * quarter / 8 - 1], &["--quiet"])?;
        match output.status.code() {
            Some(0 | 3) => read_at_all += 1,
            _ => ends_with(&output, 2)?,
        }
    }
    ensure(read_at_all > 0, || "it was never read".to_owned())
}

fn damaged() -> Result<(), Failed> {
    let mut bytes = stream(true)?;
    let middle = bytes.len() - 200;
    bytes[middle] ^= 0x10;
    let output = read(&bytes, &[])?;
    let (errors, text) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    // A frame whose checksum is wrong is where it breaks off.
    ensure(output.status.code().is_some_and(|status| matches!(status, 0 | 2 | 3)), || format!("{output:?}"))?;
    ensure(text.contains("breaks off") || errors.starts_with("nostale: r.trace: "), || format!("{output:?}"))?;
    ensure(!errors.contains("panicked"), || errors.to_string())
}

fn kept() -> Result<(), Failed> {
    let place = with(&stream(true)?)?;
    let arguments = ["trace", "--read", "r.trace", "--out", "kept", "--export", "perfetto,csv,parquet,trace-dat"];
    let output = place.nostale(&arguments)?;
    ends_with(&output, 0)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(text.contains("everything is kept in "), || text.to_string())?;
    let kept = place.path().join("kept");
    let names = [
        ("README.txt", &b"What a kernel did"[..]),
        ("table.txt", b"held: "),
        ("trace.json", b"{"),
        ("junit.xml", b"<?xml"),
        ("ktap.txt", b"KTAP"),
        ("trace.perfetto-trace", b""),
        ("trace.csv", b""),
        ("trace.parquet", b"PAR1"),
        ("trace.dat", b"\x17\x08Dtracing"),
    ];
    for (name, begins) in names {
        let bytes = fs::read(kept.join(name)).map_err(|error| format!("{name}: {error}"))?;
        let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        ensure(!bytes.is_empty() && bytes.starts_with(begins), || format!("{name} begins so: {begin:?}"))?;
    }
    // A line above them; how memory lies is a row, too.
    let lines = fs::read_to_string(kept.join("trace.csv"))?.lines().count();
    let expected = items(true)?.len() + 1;
    ensure(lines == expected, || format!("{lines} lines in trace.csv, not {expected}"))
}

fn without_a_vm() -> Result<(), Failed> {
    let place = Place::new()?;
    let output = place.nostale(&["trace", "--quiet", "--out", "kept", "--", "/bin/true"])?;
    ends_with(&output, 3)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(text.contains("vacuous"), || text.to_string())?;
    // The recording can be read again, and says the same.
    let recording = place.path().join("kept/recording.trace");
    let again = place.host(Command::new(crate::NOSTALE).args(["trace", "--quiet", "--read"]).arg(&recording)).output()?;
    ends_with(&again, 3)?;
    // A command that fails is said, and is no verdict of ours.
    let output = place.nostale(&["trace", "--quiet", "--", "/bin/false"])?;
    ends_with(&output, 3)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(text.contains("the command ended with exit status: 1"), || text.to_string())
}

/// Somebody else's VM: how its memory lies must be found out from what the kernel says.
fn another_process() -> Result<(), Failed> {
    let place = Place::new()?;
    let mut run =
        place.start(&["run", "--quiet", "--memory", "16M", "--ops", "mremap", "--backing", "anon", "--seconds", "86400"])?;
    run.wait_for_vcpu()?;
    let pid = run.id();
    let output = place.nostale(&["trace", "--quiet", "--pid", &pid.to_string(), "--seconds", "3", "--format", "json"])?;
    run.signal(nix::sys::signal::Signal::SIGINT)?;
    run.end()?;
    ends_with(&output, 0)?;
    let profile = json(&output)?;
    let state = |name: &str| {
        let rules = profile["rules"].as_array().into_iter().flatten();
        rules.filter(|rule| rule["name"] == name).map(|rule| rule["state"].clone()).next().unwrap_or_default()
    };
    for name in ["returned", "installed-over", "primary"] {
        ensure(state(name) == "held", || format!("{name}: {profile}"))?;
    }
    let operations = profile["operations"].as_array().ok_or("operations are a list")?;
    let invalidations: u64 = operations.iter().filter_map(|operation| operation["invalidations"].as_u64()).sum();
    let notes = profile["notes"].to_string();
    let inferred = !notes.contains("it is not known how guest memory lies");
    ensure(profile["verdict"] == "held" && invalidations > 0 && inferred, || format!("{invalidations} invalidations; {notes}"))?;
    ensure(profile["pid"] == pid && profile["lost"] == Value::Array(Vec::new()), || format!("{profile}"))
}
