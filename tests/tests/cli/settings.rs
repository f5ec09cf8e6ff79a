//! Host settings come back: after a run, after a signal, after a `kill -9` and another start, and not while somebody else still
//! wants them.
//!
//! Other runs may be going on, and they share the journal; so a setting that somebody else holds counts as none of ours.

use crate::{Background, Bench, ENDLESS, Place, SHORT, ends_with, ensure, trial};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use nostale_vmm::host::knobs::Knobs;
use serde_json::Value;
use std::fs;

const SHMEM: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
const HUGE: &[&str] = &["--ops", "mremap", "--backing", "memfd-thp"];

pub(crate) fn trials(bench: &Bench) -> Vec<Trial> {
    let missing = || {
        let now = value();
        let unchanged = !now.as_deref().is_some_and(|now| ["never", "deny", "advise"].contains(&now));
        let unchanged = unchanged.then(|| format!("{SHMEM} is {now:?}, which a run leaves as it is"));
        bench.no_kvm().or_else(|| bench.not_root()).or(unchanged)
    };
    vec![
        trial("settings::come_back_after_a_run", missing(), after_a_run),
        trial("settings::come_back_after_an_interrupt", missing(), after_an_interrupt),
        trial("settings::come_back_after_a_kill_and_another_start", missing(), after_a_kill),
        trial("settings::stay_while_another_run_wants_them", missing(), two_runs),
    ]
}

fn value() -> Option<String> {
    let text = fs::read_to_string(SHMEM).ok()?;
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// What the journal says of the setting: its original, and who holds it.
fn journal() -> Option<(String, Vec<u64>)> {
    let journal: Value = serde_json::from_slice(&fs::read(Knobs::default_dir().join("knobs.json")).ok()?).ok()?;
    let knob = journal["knobs"].as_array()?.iter().find(|knob| knob["path"] == SHMEM)?.clone();
    let holders = knob["holders"].as_array()?.iter().filter_map(|holder| holder["pid"].as_u64()).collect();
    Some((knob["original"].as_str()?.to_owned(), holders))
}

/// The journal and the setting, as they are at one time.
fn state() -> (Option<(String, Vec<u64>)>, Option<String>) {
    loop {
        let (first, now) = (journal(), value());
        if journal() == first {
            return (first, now);
        }
    }
}

/// What the setting is when nobody has changed it.
fn original() -> Option<String> {
    let (held, now) = state();
    held.map(|(original, _)| original).or(now)
}

fn is_held_by(run: u32) -> bool {
    journal().is_some_and(|(_, holders)| holders.contains(&u64::from(run)))
}

/// It is what it was, or somebody who is alive will put it back to that. (The dead are only struck off with the last holder.)
fn came_back(before: &Option<String>, run: Option<u32>) -> Result<(), Failed> {
    let (held, now) = state();
    let alive = |&pid: &u64| run.map(u64::from) != Some(pid) && fs::exists(format!("/proc/{pid}")).unwrap_or(false);
    let now = match &held {
        Some((original, holders)) if holders.iter().any(alive) => Some(original.clone()),
        Some(_) => return Err(format!("nobody is left who would put it back: {held:?}").into()),
        None => now,
    };
    ensure(now == *before, || format!("it was {before:?} and is {now:?} ({held:?})"))
}

fn start() -> Result<(Place, Background), Failed> {
    let place = Place::new()?;
    let mut run = place.start(&[ENDLESS, HUGE].concat())?;
    let id = run.id();
    run.wait_until("holds the setting", || is_held_by(id))?;
    run.wait_for_vcpu()?;
    let now = value();
    ensure(now.as_deref() == Some("advise"), || format!("it is held, and {now:?}"))?;
    Ok((place, run))
}

fn after_a_run() -> Result<(), Failed> {
    let before = original();
    ends_with(&Place::new()?.nostale(&[SHORT, HUGE].concat())?, 0)?;
    came_back(&before, None)
}

fn interrupt(run: Background) -> Result<(), Failed> {
    run.signal(Signal::SIGINT)?;
    ends_with(&run.end()?, 3)
}

fn after_an_interrupt() -> Result<(), Failed> {
    let before = original();
    let (_place, run) = start()?;
    let id = run.id();
    interrupt(run)?;
    came_back(&before, Some(id))
}

fn after_a_kill() -> Result<(), Failed> {
    let before = original();
    let (_place, run) = start()?;
    let id = run.id();
    run.signal(Signal::SIGKILL)?;
    ensure(run.end()?.status.code().is_none(), || "killed, and yet it exited".to_owned())?;
    ends_with(&Place::new()?.nostale(&[SHORT, &["--ops", "mremap", "--backing", "anon"]].concat())?, 0)?;
    came_back(&before, Some(id))
}

fn two_runs() -> Result<(), Failed> {
    let before = original();
    let (_first, first) = start()?;
    let (_second, second) = start()?;
    interrupt(first)?;
    let now = value();
    ensure(now.as_deref() == Some("advise"), || format!("the first run made it {now:?} while the second wants it"))?;
    let id = second.id();
    interrupt(second)?;
    came_back(&before, Some(id))
}
