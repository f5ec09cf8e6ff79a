//! Recordings of real runs: the kernel at hand holds to the rules, and were one of its notifier calls deleted, they would notice.

use crate::{Bench, trial};
use libtest_mimic::{Failed, Trial};
use nostale_notifier::trace::{
    Reading,
    analysis::Analysis,
    event::{Item, Tid, What},
    head::{Head, Tail},
    profile::{OrderVerdict, Profile, RuleState},
    record::find_tracefs,
    synthetic,
};
use nostale_vmm::{
    live::{self, NoHooks},
    report::Verdict,
    trace::OwnTrace,
};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// Rules that any kernel can be asked about, whatever it permits of probes.
const ASKED: [&str; 4] = ["returned", "installed-over", "primary", "freed"];

pub(crate) fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    let missing = cannot_record();
    let not_here = || missing.clone();
    vec![
        trial(bench, "trace::a_run_holds_to_the_rules", not_here(), holds),
        trial(bench, "trace::a_deleted_call_of_munmap_is_noticed", not_here(), |bench| deleted(bench, "unmap", "munmap")),
        trial(bench, "trace::a_deleted_call_of_mremap_is_noticed", not_here(), |bench| deleted(bench, "mremap", "mremap")),
        trial(bench, "trace::a_deleted_call_of_madvise_is_noticed", not_here(), |bench| deleted(bench, "discard", "madvise")),
    ]
}

/// Why nothing can be recorded here, if so.
fn cannot_record() -> Option<String> {
    let tracefs = match find_tracefs() {
        Ok(tracefs) => tracefs,
        Err(error) => return Some(error.to_string()),
    };
    let probe = tracefs.join("instances").join(format!("nostale_live_{}", std::process::id()));
    let made = fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe));
    made.err().map(|error| format!("{}: {error}", probe.display()))
}

/// A run of these operations, recorded into `path`.
fn recorded(bench: &Bench, operations: &[&str], time: Duration, path: &Path) -> Result<Profile, Failed> {
    let operations: Vec<String> = operations.iter().map(|name| (*name).to_owned()).collect();
    let plan = live::plan(Some(&operations), Some(&["anon".to_owned()]))?;
    let trace = OwnTrace::start(path, "a live test")?;
    let report = {
        let config = live::Config { told: Some(trace.told()), ..bench.config(None) };
        let knobs = bench.knobs.as_ref();
        live::run(&plan, &config, &bench.facts, knobs, time, &AtomicBool::new(false), &mut NoHooks)?
    };
    let profile = trace.finish()?;
    if report.verdict != Verdict::Coherent {
        return Err(format!("the run itself: {:?}", report.verdict).into());
    }
    Ok(profile)
}

fn broken(profile: &Profile) -> Vec<&str> {
    profile.rules.iter().filter(|rule| rule.state == RuleState::Broken).map(|rule| rule.name.as_str()).collect()
}

/// Nothing is broken, nothing was lost, and what matters was asked.
fn sound(profile: &Profile, asked: &[&str]) -> Result<(), Failed> {
    let shown = || format!("{:#?}\n{:?}\n{:?}", profile.rules, profile.lost, profile.notes);
    if profile.verdict != OrderVerdict::Held || !profile.lost.is_empty() || profile.truncated.is_some() {
        return Err(format!("{:?}: {}", profile.verdict, shown()).into());
    }
    let held = |name: &&&str| profile.rules.iter().any(|rule| rule.name == **name && rule.state == RuleState::Held);
    match asked.iter().find(|name| !held(name)) {
        Some(name) => Err(format!("{name} was not asked: {}", shown()).into()),
        None => Ok(()),
    }
}

fn holds(bench: &Bench) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let profile = recorded(bench, &["mremap", "discard", "unmap"], Duration::from_secs(3), &dir.path().join("r.trace"))?;
    sound(&profile, &ASKED)?;
    let operations: Vec<_> = profile.operations.iter().map(|operation| operation.name.as_str()).collect();
    for name in ["mremap", "madvise(DONTNEED)", "munmap"] {
        if !operations.contains(&name) {
            return Err(format!("no {name} among {operations:?}").into());
        }
    }
    Ok(())
}

/// A kernel whose `call` does not tell the secondary MMU: all that its announcements cause is taken out of a recording of one that does.
fn deleted(bench: &Bench, operation: &str, call: &str) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("r.trace");
    let honest = recorded(bench, &[operation], Duration::from_secs(2), &path)?;
    sound(&honest, &["returned"])?;
    let (head, items, tail) = whole(&path)?;
    let mut silent = Silence { call, inside: BTreeSet::new(), dropped: 0 };
    let kept: Vec<_> = items.into_iter().filter(|item| silent.keeps(item)).collect();
    if silent.dropped == 0 {
        return Err(format!("no announcement of {call} in {} items", kept.len()).into());
    }
    // Written and read again, as a recording of such a kernel would be.
    let bytes = synthetic::write(Vec::new(), &head, &kept, &tail)?;
    let mut reading = Reading::new(&bytes[..])?;
    let mut analysis = Analysis::new(reading.head());
    while let Some(item) = reading.next_item()? {
        analysis.item(&item);
    }
    let doctored = analysis.finish(reading.tail(), reading.truncated());
    let noticed = broken(&doctored);
    if doctored.verdict != OrderVerdict::Broken || !noticed.iter().any(|name| ASKED.contains(name)) {
        return Err(format!("{} announcements of {call} taken out, and broken is {noticed:?}", silent.dropped).into());
    }
    Ok(())
}

fn whole(path: &Path) -> Result<(Head, Vec<Item>, Tail), Failed> {
    let mut reading = Reading::open(path)?;
    let mut items = Vec::new();
    while let Some(item) = reading.next_item()? {
        items.push(item);
    }
    // Every event that a recording can hold, of whatever kernel: what is put together from them has the formats of none.
    let own = reading.head();
    let known = own.formats.iter().map(|format| format.name.as_str()).collect::<BTreeSet<_>>();
    let mut formats = synthetic::head().formats;
    formats.retain(|format| known.contains(format.name.as_str()));
    let head = Head { formats, header_page: synthetic::head().header_page, ..own.clone() };
    Ok((head, items, reading.tail().cloned().unwrap_or_default()))
}

/// Leaves out what the secondary MMU would not have heard of.
struct Silence<'a> {
    call: &'a str,
    /// Threads that are in the call.
    inside: BTreeSet<Tid>,
    dropped: u64,
}

impl Silence<'_> {
    fn keeps(&mut self, item: &Item) -> bool {
        let Item::Event(event) = item else { return true };
        let tid = event.at.tid;
        match event.what {
            What::Enter { call, .. } if call.name() == self.call => _ = self.inside.insert(tid),
            What::Exit { .. } => _ = self.inside.remove(&tid),
            What::Unmap { .. } if self.inside.contains(&tid) => {
                self.dropped += 1;
                return false;
            }
            What::RangeStart { .. }
            | What::RangeEnd { .. }
            | What::Begin { .. }
            | What::End { .. }
            | What::SlotUnmap { .. }
            | What::Flush { .. }
            | What::Changed { .. } => return !self.inside.contains(&tid),
            _ => {}
        }
        true
    }
}
