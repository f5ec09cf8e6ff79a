//! Which scenarios a mutant is tried with: those that were measured to reach what it changes.

use super::Reach;
use crate::{
    inside::Pair,
    mutate::{Group, Kind, Mutant, Site},
};

/// Scenarios for a mutant, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// These, the most telling first.
    Scenarios(Vec<Pair>),
    /// None reaches it: what was measured.
    Unreached(String),
}

/// More scenarios than this would have too little time each.
const MOST: usize = 4;

/// Chooses scenarios for `mutant`, whose calls are `sites`.
#[must_use]
pub fn choose(mutant: &Mutant, sites: &[&Site], reach: &Reach) -> Chosen {
    let mut rates: Vec<(f64, &Pair)> = match mutant.group {
        // What KVM does with an invalidation shows wherever there are many of them.
        Group::Kvm => reach.scenarios.iter().map(|measured| (measured.invalidations_per_second(), &measured.pair)).collect(),
        Group::Caller => {
            reach.scenarios.iter().map(|measured| (measured.rate(sites, met_counts(&mutant.kind)), &measured.pair)).collect()
        }
    };
    rates.retain(|(rate, _)| *rate > 0.0);
    if rates.is_empty() {
        return Chosen::Unreached(why_not(sites, reach));
    }
    // The same measurement gives the same choice: names decide between equals.
    rates.sort_by(|(a, first), (b, second)| {
        b.total_cmp(a).then_with(|| (&first.ops, &first.backing).cmp(&(&second.ops, &second.backing)))
    });
    Chosen::Scenarios(diverse(rates.into_iter().map(|(_, pair)| pair)))
}

/// Whether only calls that met a memslot count. An end that is missing, or a start, is counted by KVM whether the range concerns
/// the guest or not.
fn met_counts(kind: &Kind) -> bool {
    !matches!(kind, Kind::Start | Kind::End)
}

/// The first of each operation, then the others: what one operation cannot show, another one on the same path may.
fn diverse<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Vec<Pair> {
    let (mut first, mut later): (Vec<Pair>, Vec<Pair>) = (Vec::new(), Vec::new());
    for pair in pairs {
        let list = if first.iter().any(|known| known.ops == pair.ops) { &mut later } else { &mut first };
        list.push(pair.clone());
    }
    first.extend(later);
    first.truncate(MOST);
    first
}

fn why_not(sites: &[&Site], reach: &Reach) -> String {
    let hits: u64 = reach.scenarios.iter().map(|measured| measured.hits(sites)).sum();
    let seconds: f64 = reach.scenarios.iter().map(|measured| measured.seconds).sum();
    let over = format!("{} scenarios in {seconds:.0} s", reach.scenarios.len());
    match hits {
        0 => format!("never called by {over}"),
        1 => format!("called once by {over}, and not for a guest's memory"),
        hits => format!("called {hits} times by {over}, and never for a guest's memory"),
    }
}
