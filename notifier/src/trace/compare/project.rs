//! What both recordings can see.
//!
//! A recording with probes has stages that one without cannot have, and the two kinds of secondary MMU do not show the same changes of
//! entries. Compared as they are, every order would be new and every other gone. So a stage is left out of both if two things come
//! together: one recording never has it, in any operation, and what shows it is not the same on both sides. A stage that never comes
//! although nothing has changed in how it is seen stays: that it is gone may be the very thing to find.

use super::diff::Projected;
use crate::trace::profile::{BATCHES, Latency, OperationProfile, Profile, Stage};
use std::collections::BTreeMap;

/// How often an order came, in each batch.
pub(super) type Counts = [u64; BATCHES];

/// Orders of an operation.
pub(super) type Orders = BTreeMap<Vec<Stage>, Counts>;

/// Which stages are left out.
#[derive(Debug)]
pub(super) struct Projection {
    dropped: Vec<(Stage, String)>,
}

impl Projection {
    pub(super) fn of(a: &Profile, b: &Profile) -> Self {
        let dropped = Stage::ALL.into_iter().filter_map(|stage| {
            let is_one_sided = occurs(a, stage) != occurs(b, stage);
            let why = source_differs(stage, a, b).filter(|_| is_one_sided)?;
            let without = if occurs(a, stage) { "B" } else { "A" };
            Some((stage, format!("{without} never has it, and {why}")))
        });
        Self { dropped: dropped.collect() }
    }

    pub(super) fn dropped(&self) -> Vec<Projected> {
        self.dropped.iter().map(|(stage, why)| Projected { stage: *stage, why: why.clone() }).collect()
    }

    pub(super) fn keeps(&self, stage: Stage) -> bool {
        !self.dropped.iter().any(|(dropped, _)| *dropped == stage)
    }

    /// An order without what is left out; several of a kind in a row are one again.
    fn project(&self, order: &[Stage]) -> Vec<Stage> {
        let mut kept: Vec<Stage> = order.iter().copied().filter(|stage| self.keeps(*stage)).collect();
        kept.dedup();
        kept
    }

    /// The orders of an operation; those that have become the same are one.
    pub(super) fn orders(&self, operation: &OperationProfile) -> Orders {
        let mut orders = Orders::new();
        for signature in &operation.signatures {
            let counts = orders.entry(self.project(&signature.order)).or_insert([0; BATCHES]);
            counts.iter_mut().zip(&signature.batches).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
        }
        orders
    }

    /// The times between stages that are not left out.
    pub(super) fn latencies<'a>(&self, operation: &'a OperationProfile) -> Vec<&'a Latency> {
        operation.latencies.iter().filter(|time| self.keeps(time.from) && self.keeps(time.to)).collect()
    }
}

/// Whether a stage comes in any order of a recording.
pub(super) fn occurs(profile: &Profile, stage: Stage) -> bool {
    let orders = profile.operations.iter().flat_map(|operation| &operation.signatures);
    orders.filter(|signature| signature.count > 0).any(|signature| signature.order.contains(&stage))
}

/// Why a stage may be seen by one and not by the other.
fn source_differs(stage: Stage, a: &Profile, b: &Profile) -> Option<String> {
    let probes = || (a.probes != b.probes).then(|| "only one of the two has probes for it".to_owned());
    let mmu = || (a.mmu != b.mmu).then(|| "the two kinds of secondary MMU show entries in different ways".to_owned());
    match stage {
        Stage::Begin | Stage::KvmFlush | Stage::End => probes(),
        Stage::Zap => mmu().or_else(probes),
        Stage::Install | Stage::Fault => mmu(),
        // Its tracepoints came with Linux 5.17.
        Stage::SetMigration | Stage::RemoveMigration => {
            (a.kernel != b.kernel).then(|| "not every kernel has its tracepoint".to_owned())
        }
        Stage::Enter | Stage::Start | Stage::Flush | Stage::Free | Stage::Return => None,
    }
}
