//! Which scenarios a mutant is tried with: those that were measured to reach what it changes.

use super::{Outcome, Reach, Trial, judge::quiet};
use crate::{
    inside::Pair,
    mutate::{Group, Mutant, Site, knowledge},
};

/// Scenarios for a mutant, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Every one that reaches it, the most telling first.
    Scenarios(Vec<Pair>),
    /// None reaches it: what was measured.
    Unreached(String),
}

/// Scenarios of one trial: more would have too little time each.
const MOST: usize = 2;

/// Operations whose invalidations are short, of few pages that are wanted again at once: a fault can miss a whole one of them.
const SHORT: [&str; 4] = ["discard", "remap", "mremap-dontunmap", "remap-file-pages"];

/// Ranks the scenarios that reach `mutant`, whose calls are `sites`: first those of operations that are known to lead to its
/// function, in the order in which they tell most, then by how often they do.
#[must_use]
pub fn choose(mutant: &Mutant, sites: &[&Site], reach: &Reach) -> Chosen {
    let mut rates: Vec<(f64, &Pair)> = match mutant.group {
        // What KVM does with an invalidation shows wherever there are many of them.
        Group::Kvm => reach.scenarios.iter().map(|measured| (measured.invalidations_per_second(), &measured.pair)).collect(),
        Group::Caller => {
            reach.scenarios.iter().map(|measured| (measured.rate(sites, !mutant.kind.unbalances()), &measured.pair)).collect()
        }
    };
    rates.retain(|(rate, _)| *rate > 0.0);
    if rates.is_empty() {
        return Chosen::Unreached(why_not(sites, reach));
    }
    let meant: Vec<&str> = match mutant.group {
        Group::Kvm => SHORT.to_vec(),
        Group::Caller => knowledge::caller(&mutant.function).map_or_else(Vec::new, |caller| caller.operations().to_vec()),
    };
    let is = |name: &str, pair: &Pair| match name.split_once(" on ") {
        Some((ops, backing)) => pair.ops == ops && pair.backing == backing,
        None => pair.ops == name,
    };
    let place = |pair: &Pair| meant.iter().position(|name| is(name, pair)).unwrap_or(meant.len());
    // The same measurement gives the same choice: names decide between equals.
    let order = |(a, first): &(f64, &Pair), (b, second): &(f64, &Pair)| {
        place(first)
            .cmp(&place(second))
            .then(b.total_cmp(a))
            .then_with(|| (&first.ops, &first.backing).cmp(&(&second.ops, &second.backing)))
    };
    rates.sort_by(order);
    Chosen::Scenarios(diverse(rates.into_iter().map(|(_, pair)| pair)))
}

/// The scenarios of the next trial. What has killed once is asked again; after a trial that saw nothing come others, by turns.
#[must_use]
pub fn group(ranked: &[Pair], trials: &[Trial]) -> Vec<Pair> {
    let killed = trials.iter().find_map(|trial| match &trial.outcome {
        Some(Outcome::Kill(kill)) => ranked.iter().find(|pair| pair.ops == kill.scenario && pair.backing == kill.backing),
        _ => None,
    });
    if let Some(pair) = killed {
        return vec![pair.clone()];
    }
    let groups = ranked.len().div_ceil(MOST).max(1);
    ranked.iter().skip(quiet(trials) % groups * MOST).take(MOST).cloned().collect()
}

/// The first of each operation, then the others: what one operation cannot show, another one on the same path may.
fn diverse<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Vec<Pair> {
    let (mut first, mut later): (Vec<Pair>, Vec<Pair>) = (Vec::new(), Vec::new());
    for pair in pairs {
        let list = if first.iter().any(|known| known.ops == pair.ops) { &mut later } else { &mut first };
        list.push(pair.clone());
    }
    first.extend(later);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mutate::campaign::{Control, Kill},
        report::Verdict,
    };

    fn pair(ops: &str, backing: &str) -> Pair {
        Pair { ops: ops.to_owned(), backing: backing.to_owned() }
    }

    fn trial(outcome: Outcome) -> Trial {
        Trial {
            seed: 1,
            scenarios: Vec::new(),
            control: Control { verdict: Verdict::Coherent, reason: None, seconds: 1.0 },
            outcome: Some(outcome),
            seconds: 2.0,
        }
    }

    #[test]
    fn every_operation_comes_before_any_comes_twice() {
        let pairs = [pair("fork", "anon"), pair("fork", "anon-thp"), pair("mremap", "anon"), pair("fork", "file-private")];
        let ranked = diverse(pairs.iter());
        assert_eq!(
            ranked,
            [pair("fork", "anon"), pair("mremap", "anon"), pair("fork", "anon-thp"), pair("fork", "file-private")]
        );
    }

    #[test]
    fn trials_that_saw_nothing_lead_on_and_one_that_killed_stays() {
        let ranked: Vec<Pair> = (0..6).map(|n| pair(&format!("op{n}"), "anon")).collect();
        let nothing = || trial(Outcome::Nothing { seconds: 5.0 });
        assert_eq!(group(&ranked, &[]), ranked[..2]);
        assert_eq!(group(&ranked, &[nothing()]), ranked[2..4]);
        assert_eq!(group(&ranked, &[nothing(), nothing()]), ranked[4..]);
        assert_eq!(group(&ranked, &[nothing(), nothing(), nothing()]), ranked[..2]);
        let kill = Kill {
            oracle: "finality".into(),
            scenario: "op5".into(),
            backing: "anon".into(),
            seconds: 1.0,
            detail: String::new(),
        };
        assert_eq!(group(&ranked, &[nothing(), trial(Outcome::Kill(kill))]), [pair("op5", "anon")]);
    }
}
