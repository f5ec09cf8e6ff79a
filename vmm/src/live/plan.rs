//! Which scenarios a run consists of.

use crate::{
    host::facts::Facts,
    machine::Demands,
    memory::{Backing, UnknownBacking},
    ops::{self, Effect, Operation},
};
use nostale_notifier::near::did_you_mean;
use std::{borrow::Cow, fmt, path::Path};
use thiserror::Error;

/// Host operations on one kind of guest memory, all at once on the same pages.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// One thread each.
    pub operations: Vec<&'static Operation>,
    /// What guest memory is made of.
    pub backing: Backing,
}

impl Scenario {
    /// The names of its operations, joined by `+`.
    #[must_use]
    pub fn name(&self) -> String {
        self.operations.iter().map(|operation| operation.name).collect::<Vec<_>>().join("+")
    }

    /// Whether it is a storm: rounds of other operations.
    #[must_use]
    pub fn is_storm(&self) -> bool {
        self.operations.iter().any(|operation| operation.name == ops::STORM.name)
    }

    /// How much time it should have, compared to others.
    #[must_use]
    pub fn share(&self) -> u32 {
        self.operations.iter().map(|operation| operation.share).max().unwrap_or(1)
    }

    /// Pages of guest memory, where `asked` are asked for: what the operations need at least, in whole huge pages of a pool.
    #[must_use]
    pub fn pages(&self, asked: u64) -> u64 {
        let least = self.operations.iter().map(|operation| operation.least).max().unwrap_or(0);
        asked.max(least).next_multiple_of(self.backing.unit())
    }

    /// What each operation does to this backing.
    pub fn effects(&self) -> impl Iterator<Item = Effect> {
        self.operations.iter().map(|operation| operation.on(self.backing))
    }

    /// Why it makes no sense at all, if so.
    #[must_use]
    pub fn inapplicable(&self) -> Option<Cow<'static, str>> {
        let by_effect =
            self.effects().find_map(|effect| if let Effect::Inapplicable(reason) = effect { Some(reason) } else { None });
        by_effect.map(Cow::Borrowed).or_else(|| self.rejected().map(Cow::Owned)).or_else(|| self.demands().err().map(Cow::Owned))
    }

    /// Why one of its operations cannot run beside another, if so.
    fn rejected(&self) -> Option<String> {
        self.operations.iter().enumerate().find_map(|(n, one)| {
            let others = self.operations.iter().enumerate().filter(|(other, _)| *other != n);
            let reason = |(_, other): (_, &&'static Operation)| {
                let reason = (one.rejects)(other, self.backing)?;
                Some(format!("{} does not go with {}: {reason}", other.name, one.name))
            };
            { others }.find_map(reason)
        })
    }

    /// What its operations want of the machine together.
    ///
    /// # Errors
    /// Which two of them want what cannot be had in one.
    pub fn demands(&self) -> Result<Demands, String> {
        let mut all = Demands::default();
        for (n, operation) in self.operations.iter().enumerate() {
            all = all.and(operation.machine).ok_or_else(|| {
                let wants = |operation: &Operation| operation.machine.tracking.map_or(String::new(), |way| way.to_string());
                let other = self.operations[..n].iter().find(|other| other.machine.and(operation.machine).is_none());
                let (one, other) = (operation.name, other.map_or(("another", String::new()), |other| (other.name, wants(other))));
                format!("{} wants {} and {one} wants {}, and a VM has only one", other.0, other.1, wants(operation))
            })?;
        }
        Ok(all)
    }

    /// Why it cannot run on this host, if so, with files in `file_dir`.
    #[must_use]
    pub fn missing(&self, facts: &Facts, file_dir: &Path) -> Option<String> {
        // The system slot is a memfd on every backing.
        let memfd = facts.need_memfd().err();
        let needs = self.operations.iter().filter_map(|operation| operation.possible(facts, self.backing, file_dir).err());
        memfd.into_iter().chain(needs).map(|need| need.to_string()).next()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.name(), self.backing)
    }
}

/// What is wrong with what was asked for.
#[derive(Debug, Error)]
pub enum PlanError {
    /// No such operation.
    #[error("unknown operation '{name}'{}; known: {}", did_you_mean(name, known_names()), names())]
    Operation {
        /// As given.
        name: String,
    },
    /// No such backing.
    #[error("{unknown}{}; known: {}", did_you_mean(&unknown.0, Backing::ALL.iter().map(|backing| backing.name())), backings())]
    Backing {
        /// As given.
        unknown: UnknownBacking,
    },
    /// The same operation twice in one scenario.
    #[error("operation '{0}' twice in one scenario")]
    Twice(String),
    /// A storm beside other operations.
    #[error("a storm is made of all operations: 'storm' has no '+'")]
    Storm,
    /// Nothing was asked for.
    #[error("an empty list of {0}")]
    Empty(&'static str),
}

fn known_names() -> impl Iterator<Item = &'static str> {
    ops::all().chain([&ops::STORM]).map(|operation| operation.name)
}

fn names() -> String {
    known_names().collect::<Vec<_>>().join(", ")
}

fn backings() -> String {
    Backing::ALL.map(Backing::name).join(", ")
}

/// The founding scenarios: with what a run without options begins, before it tries each operation by itself.
const FOUNDING: &[(&str, Backing)] = &[
    // S0: mremap against migration on the same pages, with destinations that merge into an earlier VMA.
    ("mremap-merge+migrate", Backing::ANON),
    // S2: the flood, with third threads.
    ("remap-file-pages", Backing::MEMFD),
    // S4: migration under fork chains and VMA splits.
    ("migrate+fork+protect", Backing::ANON),
];

/// What a run without options does: operations, and the backings on which each is tried.
fn usual() -> impl Iterator<Item = (Vec<&'static Operation>, Vec<Backing>)> {
    let founding = FOUNDING.iter().map(|&(text, backing)| (operations(text).unwrap_or_default(), vec![backing]));
    let founded = |operation: &Operation| FOUNDING.iter().any(|(text, _)| *text == operation.name);
    let each = ops::all().filter(move |operation| !operation.usual.is_empty() && !founded(operation));
    founding.chain(each.map(|operation| (vec![operation], operation.usual.to_vec())))
}

/// Whether an operation is only for who asks for it by its name: no run without options has it, and `all` has not.
pub(super) fn by_name_only(operation: &Operation) -> bool {
    operation.usual.is_empty() && !FOUNDING.iter().any(|(text, _)| text.split('+').any(|name| name == operation.name))
}

fn operations(text: &str) -> Result<Vec<&'static Operation>, PlanError> {
    let mut found: Vec<&'static Operation> = Vec::new();
    for name in text.split('+').map(str::trim) {
        let operation = ops::find(name).ok_or_else(|| PlanError::Operation { name: name.to_owned() })?;
        if found.iter().any(|known| known.name == operation.name) {
            return Err(PlanError::Twice(name.to_owned()));
        }
        found.push(operation);
    }
    if found.len() > 1 && found.iter().any(|operation| operation.name == ops::STORM.name) {
        return Err(PlanError::Storm);
    }
    Ok(found)
}

/// The plan of a run without options.
#[must_use]
pub fn default_plan() -> Vec<Scenario> {
    let on = |(operations, backings): (Vec<_>, Vec<_>)| {
        backings.into_iter().map(move |backing| Scenario { operations: operations.clone(), backing })
    };
    usual().flat_map(on).collect()
}

/// The plan for lists of operations (`mremap`, `mremap+migrate`, `all`) and backings (`anon`, `all`); without either, the
/// defaults take its place.
///
/// A scenario that makes no sense is left out, unless both its operations and its backing were asked for by name.
///
/// # Errors
/// What is unknown, with the near miss.
pub fn plan(ops_asked: Option<&[String]>, backings_asked: Option<&[String]>) -> Result<Vec<Scenario>, PlanError> {
    let backings: Option<Vec<Backing>> = match backings_asked {
        None => None,
        Some([]) => return Err(PlanError::Empty("backings")),
        Some(names) if names.iter().any(|name| name == "all") => Some(Backing::ALL.to_vec()),
        Some(names) => Some(
            names.iter().map(|name| name.parse().map_err(|unknown| PlanError::Backing { unknown })).collect::<Result<_, _>>()?,
        ),
    };
    let Some(asked) = ops_asked else {
        let mut scenarios = default_plan();
        if let Some(backings) = backings {
            let mut lists: Vec<_> = usual().map(|(operations, _)| operations).collect();
            scenarios = cross(&mut lists, &backings);
            scenarios.retain(|scenario| scenario.inapplicable().is_none());
        }
        return Ok(scenarios);
    };
    if asked.is_empty() {
        return Err(PlanError::Empty("operations"));
    }
    let all = asked.iter().any(|name| name == "all");
    let mut lists: Vec<Vec<&'static Operation>> = if all {
        ops::all().filter(|operation| !by_name_only(operation)).map(|operation| vec![operation]).collect()
    } else {
        asked.iter().map(|text| operations(text)).collect::<Result<_, _>>()?
    };
    let by_name = !all && backings_asked.is_some_and(|names| names.iter().all(|name| name != "all"));
    let mut scenarios = match backings {
        Some(backings) => cross(&mut lists, &backings),
        None => lists.into_iter().flat_map(usual_backings).collect(),
    };
    if !by_name {
        scenarios.retain(|scenario| scenario.inapplicable().is_none());
    }
    Ok(scenarios)
}

fn cross(lists: &mut Vec<Vec<&'static Operation>>, backings: &[Backing]) -> Vec<Scenario> {
    let scenarios = lists
        .drain(..)
        .flat_map(|operations| backings.iter().map(move |&backing| Scenario { operations: operations.clone(), backing }));
    scenarios.collect()
}

/// The backings of the default plan for these operations; for others, the first that they all apply to.
fn usual_backings(operations: Vec<&'static Operation>) -> Vec<Scenario> {
    let scenario = |backing| Scenario { operations: operations.clone(), backing };
    let same =
        |known: &[&Operation]| known.iter().map(|operation| operation.name).eq(operations.iter().map(|operation| operation.name));
    if let Some((_, mut backings)) = usual().find(|(known, _)| same(known)) {
        if let [operation] = operations.as_slice() {
            backings.extend(operation.usual.iter().chain(operation.more));
        }
        // The founding scenario of an operation may be one of its usual ones.
        let first = |&(n, backing): &(usize, &Backing)| !backings[..n].contains(backing);
        return backings.iter().enumerate().filter(first).map(|(_, &backing)| scenario(backing)).collect();
    }
    if operations.iter().any(|operation| operation.name == ops::STORM.name) {
        return Backing::ALL.into_iter().map(scenario).collect();
    }
    let mut fitting = Backing::ALL.into_iter().map(scenario).filter(|scenario| scenario.inapplicable().is_none());
    // Where none fits, say why for the first.
    vec![fitting.next().unwrap_or_else(|| scenario(Backing::ANON))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_default_plan_has_the_founding_scenarios_and_every_operation_and_nothing_senseless() {
        let plan = default_plan();
        for (name, backing) in [("mremap-merge+migrate", "anon"), ("remap-file-pages", "memfd"), ("migrate+fork+protect", "anon")]
        {
            assert!(plan.iter().any(|scenario| scenario.name() == name && scenario.backing.name() == backing), "{name}");
        }
        // mremap-merge is there with migrate.
        for operation in ops::all().filter(|operation| !operation.usual.is_empty() || operation.name == "mremap-merge") {
            assert!(plan.iter().any(|scenario| scenario.operations.iter().any(|op| op.name == operation.name)), "{operation:?}");
        }
        assert!(plan.iter().all(|scenario| scenario.inapplicable().is_none()));
    }

    #[test]
    fn a_near_miss_is_suggested() {
        let error = plan(Some(&owned(&["mremap", "migrat"])), None).expect_err("unknown").to_string();
        assert!(error.contains("'migrat' (did you mean 'migrate'?)"), "{error}");
        let error = plan(None, Some(&owned(&["memdf"]))).expect_err("unknown").to_string();
        assert!(error.contains("did you mean 'memfd'?"), "{error}");
        let error = plan(Some(&owned(&["fnord-and-more"])), None).expect_err("unknown").to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn whoever_would_disturb_another_is_told_why_and_only_where_he_would() {
        let why = |ops: &str, backing: &str| {
            let named = plan(Some(&owned(&[ops])), Some(&owned(&[backing]))).expect("known");
            named[0].inapplicable().map(Cow::into_owned)
        };
        let reason = why("gather+uffd-missing", "memfd").expect("its children read holes");
        assert!(reason.starts_with("gather does not go with uffd-missing: "), "{reason}");
        assert_eq!(why("gather+uffd-missing", "anon"), None, "children have holes of their own there");
        assert!(why("free+fork", "anon").is_some_and(|reason| reason.contains("a forked child may lose the pages")));
        assert!(why("remap+live-migrate", "memfd").is_some_and(|reason| reason.contains("it replaces contents")));
    }

    #[test]
    fn what_was_asked_for_by_name_is_kept_so_that_its_reason_is_shown() {
        let named = plan(Some(&owned(&["remap"])), Some(&owned(&["anon"]))).expect("known");
        assert!(named[0].inapplicable().is_some());
        let all = plan(Some(&owned(&["all"])), Some(&owned(&["anon"]))).expect("known");
        assert!(all.iter().all(|scenario| scenario.inapplicable().is_none() && scenario.name() != "remap"));
        assert!(all.iter().all(|scenario| scenario.name() != "offline"), "only by its name");
        assert!(all.iter().any(|scenario| scenario.name() == "mremap-merge"));
        assert!(plan(Some(&owned(&["mremap+mremap"])), None).is_err());
        assert_eq!(plan(Some(&owned(&["mremap+migrate"])), None).expect("known")[0].backing, Backing::ANON);
    }
}
