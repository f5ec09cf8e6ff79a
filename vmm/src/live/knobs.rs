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

/// Free pages on per-CPU lists are out of compaction's sight, and those lists grow by themselves to tens of thousands: keep them
/// short where compaction is what moves pages.
const PCP: &str = "/proc/sys/vm/percpu_pagelist_high_fraction";
const SHORT: &str = "10000";

/// Settings in force until dropped.
#[derive(Debug, Default)]
pub struct Held {
    _guards: Vec<Guard>,
}

/// Sets what `plan` wants. What cannot be set is a note and no error: the memory is then in smaller pages, which results say.
pub fn prepare(plan: &[Scenario], facts: &Facts, knobs: &Knobs, notes: &mut Vec<String>) -> Held {
    let wants = |kind| plan.iter().any(|scenario| scenario.backing.huge && scenario.backing.kind == kind);
    let settings = [
        (wants(BackingKind::Anon), THP, &facts.thp.enabled, "madvise"),
        (wants(BackingKind::Memfd), SHMEM, &facts.thp.shmem_enabled, "advise"),
    ];
    let mut held = Held::default();
    let migrates = plan.iter().any(|scenario| scenario.operations.iter().any(|operation| operation.name == "migrate"));
    if migrates && facts.need_numa(2).is_err() && facts.need_compaction().is_ok() {
        match knobs.set(&Knob::number(PCP), SHORT) {
            Ok(guard) => held._guards.push(guard),
            Err(error) => notes.push(format!("compaction may find few pages to move: {error}")),
        }
    }
    for (wanted, path, now, value) in settings {
        let Some(now) = now.known().filter(|_| wanted) else { continue };
        // What is there already may be there only until another run ends; to want it as well keeps it.
        let there = now == value;
        if !there && now != "never" && now != "deny" {
            continue;
        }
        match knobs.set(&Knob::choice(path), value) {
            Ok(guard) => held._guards.push(guard),
            // Not every user may write there, and need not.
            Err(_) if there => {}
            Err(error) => notes.push(format!("{path} stays as it is: {error}")),
        }
    }
    held
}
