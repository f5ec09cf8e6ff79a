//! Profiles made up for tests.

use crate::trace::{
    head::Mmu,
    profile::{
        BATCHES, Latency, OperationProfile, OrderVerdict, Profile, RuleResult, RuleState, Signature,
        Stage::{self, Begin, End, Enter, KvmFlush, Return, Start, Zap},
        VERSION,
    },
};

/// An order as it should be.
pub(super) const MREMAP: [Stage; 7] = [Enter, Start, Begin, Zap, KvmFlush, End, Return];
/// The same where the page was not installed.
pub(super) const NOTHING_TO_ZAP: [Stage; 5] = [Enter, Start, Begin, End, Return];
/// One as it should not be.
pub(super) const UNFLUSHED: [Stage; 6] = [Enter, Start, Begin, Zap, End, Return];

pub(super) fn signature(order: &[Stage], batches: impl IntoIterator<Item = u64>) -> Signature {
    let mut batches: Vec<u64> = batches.into_iter().take(BATCHES).collect();
    batches.resize(BATCHES, 0);
    Signature { order: order.to_vec(), count: batches.iter().sum(), batches }
}

pub(super) fn operation(name: &str, signatures: Vec<Signature>) -> OperationProfile {
    let invalidations = signatures.iter().map(|signature| signature.count).sum();
    OperationProfile { name: name.to_owned(), invalidations, signatures, latencies: Vec::new() }
}

/// A time of which each batch has ten, all as long as its median.
pub(super) fn latency(from: Stage, to: Stage, medians: impl IntoIterator<Item = u64>) -> Latency {
    let mut batch_medians_ns: Vec<Option<u64>> = medians.into_iter().take(BATCHES).map(Some).collect();
    let mut sorted: Vec<u64> = batch_medians_ns.iter().flatten().copied().collect();
    sorted.sort_unstable();
    batch_medians_ns.resize(BATCHES, None);
    let at = |share: f64| sorted.get((sorted.len() as f64 * share) as usize).or(sorted.last()).copied().unwrap_or_default();
    Latency {
        from,
        to,
        count: 10 * sorted.len() as u64,
        min_ns: at(0.0),
        p50_ns: at(0.5),
        p90_ns: at(0.9),
        p99_ns: at(0.99),
        max_ns: at(1.0),
        total_ns: 10 * sorted.iter().sum::<u64>(),
        histogram: sorted.iter().map(|median| (*median, 10)).collect(),
        batch_medians_ns,
    }
}

pub(super) fn rule(name: &str, state: RuleState) -> RuleResult {
    let breaks = u64::from(state == RuleState::Broken);
    RuleResult {
        name: name.to_owned(),
        says: "what it says".to_owned(),
        because: "why".to_owned(),
        state,
        reason: (state == RuleState::NotAsked).then(|| "nothing to ask".to_owned()),
        checks: if state == RuleState::NotAsked { 0 } else { 100 },
        breaks,
        examples: Vec::new(),
    }
}

pub(super) fn profile(operations: Vec<OperationProfile>) -> Profile {
    Profile {
        version: VERSION,
        verdict: OrderVerdict::Held,
        kernel: "6.18.1".to_owned(),
        cpu: "made up".to_owned(),
        cpus: 4,
        mmu: Mmu::Tdp,
        ticks_per_us: 2000.0,
        probes: true,
        pid: None,
        command: "nostale".to_owned(),
        title: "mremap".to_owned(),
        seconds: 10.0,
        events: 1000,
        by_kind: Vec::new(),
        missing: std::collections::BTreeMap::new(),
        lost: Vec::new(),
        truncated: None,
        rules: vec![rule("announced", RuleState::Held)],
        operations,
        timelines: Vec::new(),
        notes: Vec::new(),
    }
}
