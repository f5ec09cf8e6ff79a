//! `migrate`: pages get new pfns with the same contents, by the kernel's page migration (`try_to_migrate_one`,
//! `remove_migration_pte`). Between NUMA nodes where there are several, by compaction elsewhere.

mod compaction;
mod nodes;

use crate::host::{
    facts::{Facts, Need},
    knobs::{Knob, Setting},
};
use crate::memory::Backing;
use crate::ops::{Bed, Effect, Made, Operation};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "migrate",
    summary: "page migration: move_pages between NUMA nodes, or memory compaction where there is only one",
    share: 4,
    usual: &[Backing::MEMFD],
    more: &[Backing::ANON],
    effect: |_| Effect::Preserves,
    needs,
    settings,
    make,
    not_hugetlb: None,
    ..Operation::USUAL
};

fn needs(facts: &Facts, backing: Backing) -> Result<(), Need> {
    if facts.need_numa(2).is_ok() {
        return Ok(());
    }
    if backing.is_thp() || backing.is_hugetlb() {
        // Compaction gathers small movable pages; a huge page is what it wants to make room for, and hugetlb pages stay.
        return facts.need_numa(2);
    }
    facts.need_compaction()?;
    facts.need_pagemap()
}

/// Free pages on per-CPU lists are out of compaction's sight, and those lists grow by themselves to tens of thousands: keep them
/// short where compaction is what moves pages.
fn settings(facts: &Facts, _: Backing) -> Vec<Setting> {
    if facts.need_numa(2).is_ok() {
        return Vec::new();
    }
    let lists = Knob::number("/proc/sys/vm/percpu_pagelist_high_fraction");
    vec![Setting::helpful(lists, "10000", "compaction may find few pages to move")]
}

fn make(bed: &Bed<'_>, facts: &Facts) -> Made {
    let nodes = facts.numa.ids();
    if nodes.len() >= 2 {
        return Ok(Box::new(nodes::BetweenNodes::new(nodes)));
    }
    Ok(Box::new(compaction::Compaction::new(bed, facts)?))
}
