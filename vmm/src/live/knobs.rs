//! The host settings that a plan wants, set for the time of the run and put back.

use super::Scenario;
use crate::{
    host::{
        facts::Facts,
        knobs::{Guard, Knob, Knobs},
    },
    memory::BackingKind,
};

const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SHMEM: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Settings in force until dropped.
#[derive(Debug, Default)]
pub struct Held {
    _guards: Vec<Guard>,
}

/// Sets what `plan` wants. What cannot be set is a note and no error: the memory is then in smaller pages, which results say.
pub fn prepare(plan: &[Scenario], facts: &Facts, knobs: &Knobs, notes: &mut Vec<String>) -> Held {
    let wants = |kind| plan.iter().any(|scenario| scenario.backing.huge && scenario.backing.kind == kind);
    let mut wanted = Vec::new();
    if wants(BackingKind::Anon) && facts.thp.enabled.known().is_some_and(|now| now == "never") {
        wanted.push((THP, "madvise"));
    }
    if wants(BackingKind::Memfd) && facts.thp.shmem_enabled.known().is_some_and(|now| now == "never" || now == "deny") {
        wanted.push((SHMEM, "advise"));
    }
    let mut held = Held::default();
    for (path, value) in wanted {
        match knobs.set(&Knob::choice(path), value) {
            Ok(guard) => held._guards.push(guard),
            Err(error) => notes.push(format!("{path} stays as it is: {error}")),
        }
    }
    held
}
