//! The judgement on a kernel, from what several machines showed of it.
//!
//! Emulated kernels now and then die, or stumble, by themselves. So under emulation one sighting proves nothing: what went wrong
//! is run again in a fresh machine, and counts when it is seen there as well.

use super::seen::{Seen, Trouble};
use crate::{
    inside::Pair,
    report::{ScenarioResult, Verdict},
};

/// Sightings of every scenario of a plan.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Whether what is seen once counts.
    at_once: bool,
    scenarios: Vec<(Pair, Vec<Seen>)>,
}

/// What it comes to.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) reason: Option<String>,
    pub(super) confirmed: Option<bool>,
    pub(super) scenarios: Vec<ScenarioResult>,
}

/// Something that went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// Seen as often as it must be.
    Counts,
    /// Looked for again, and not seen.
    Flaky,
    /// Not looked for again, or it could not be.
    Unconfirmed,
}

impl Evidence {
    pub(super) fn new(plan: &[Pair], at_once: bool) -> Self {
        Self { at_once, scenarios: plan.iter().map(|pair| (pair.clone(), Vec::new())).collect() }
    }

    /// Takes what a machine showed; gives back how many scenarios it said anything about.
    pub(super) fn take(&mut self, seen: Vec<(Pair, Seen)>) -> usize {
        let count = seen.len();
        for (pair, seen) in seen {
            match self.scenarios.iter_mut().find(|(known, _)| *known == pair) {
                Some((_, sightings)) => sightings.push(seen),
                None => self.scenarios.push((pair, vec![seen])),
            }
        }
        count
    }

    /// Whether anything was seen at all.
    pub(super) fn is_begun(&self) -> bool {
        self.scenarios.iter().any(|(_, sightings)| !sightings.is_empty())
    }

    /// Whether anything went wrong.
    pub(super) fn is_troubled(&self) -> bool {
        self.scenarios.iter().any(|(_, sightings)| sightings.iter().any(|seen| seen.trouble.is_some()))
    }

    /// The scenarios about which one more machine could tell something: those that nobody got to (unless `only_troubled`), and
    /// those that went wrong once.
    pub(super) fn open(&self, only_troubled: bool) -> Vec<Pair> {
        let open = |sightings: &[Seen]| match sightings {
            [] => !only_troubled,
            [one] => one.trouble.is_some() && !self.at_once,
            _ => false,
        };
        self.scenarios.iter().filter(|(_, sightings)| open(sightings)).map(|(pair, _)| pair.clone()).collect()
    }

    /// The judgement. `missing` makes the result of a scenario that has none, `not_reached` says why some were never begun.
    pub(super) fn judge(&self, missing: impl Fn(&Pair, Verdict, String) -> ScenarioResult, not_reached: &str) -> Judged {
        let mut weights = Vec::new();
        let scenarios: Vec<ScenarioResult> = self
            .scenarios
            .iter()
            .map(|(pair, sightings)| {
                let Some((trouble, weight)) = self.weigh(sightings) else {
                    let result = sightings.iter().find_map(|seen| seen.result.clone());
                    return result.unwrap_or_else(|| missing(pair, Verdict::Skipped, not_reached.to_owned()));
                };
                weights.push(weight);
                let (verdict, reason) = self.counted(trouble, weight, sightings);
                // What went wrong, if there are numbers of it; else those of another machine.
                let bad = |seen: &&Seen| seen.result.as_ref().is_some_and(|result| result.verdict == trouble.verdict);
                let found = sightings.iter().find(bad).or_else(|| sightings.iter().find(|seen| seen.result.is_some()));
                match found.and_then(|seen| seen.result.clone()) {
                    Some(result) => ScenarioResult { verdict, reason: Some(reason), ..result },
                    None => missing(pair, verdict, reason),
                }
            })
            .collect();
        let verdict = Verdict::of(scenarios.iter().map(|scenario| scenario.verdict));
        let worst = scenarios.iter().find(|scenario| scenario.verdict == verdict).filter(|_| verdict != Verdict::Coherent);
        let reason = worst.map(|scenario| {
            let reason = scenario.reason.as_deref().unwrap_or("no reason was given");
            format!("{} on {}: {reason}", scenario.name, scenario.backing)
        });
        let confirmed = match weights.as_slice() {
            [] => None,
            _ if self.at_once => None,
            weights => Some(weights.contains(&Weight::Counts)),
        };
        Judged { verdict, reason, confirmed, scenarios }
    }

    /// What went wrong in a scenario, if anything did.
    fn weigh<'a>(&self, sightings: &'a [Seen]) -> Option<(&'a Trouble, Weight)> {
        let troubles: Vec<&Trouble> = sightings.iter().filter_map(|seen| seen.trouble.as_ref()).collect();
        // The gravest is what is told, and only the like of it confirms it.
        let gravity = |trouble: &Trouble| match trouble.verdict {
            Verdict::Violation => 2,
            Verdict::Stuck => 1,
            _ => 0,
        };
        let first = troubles.iter().copied().rev().max_by_key(|trouble| gravity(trouble))?;
        let alike = |trouble: &&&Trouble| gravity(trouble).min(1) == gravity(first).min(1);
        let seen_again = troubles.iter().filter(alike).count() > 1;
        let weight = match sightings.len() {
            _ if self.at_once || seen_again => Weight::Counts,
            1 => Weight::Unconfirmed,
            _ => Weight::Flaky,
        };
        Some((first, weight))
    }

    /// What it means, in words.
    fn counted(&self, trouble: &Trouble, weight: Weight, sightings: &[Seen]) -> (Verdict, String) {
        let reason = &trouble.reason;
        match weight {
            Weight::Counts if self.at_once => (trouble.alone, reason.clone()),
            Weight::Counts => (trouble.verdict, reason.clone()),
            Weight::Unconfirmed => (Verdict::Vacuous, format!("not confirmed by a second run: {reason}")),
            Weight::Flaky => {
                let other = sightings.iter().find(|seen| seen.trouble.is_none()).and_then(|seen| seen.result.as_ref());
                let other = other.map_or("nothing", |result| result.verdict.name());
                (Verdict::Vacuous, format!("flaky: {reason}; in another machine it was {other}"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
