//! What to run: the options of `nostale run`, for a program.

use crate::machine::{Layout, UnknownLayout};
use crate::{
    host::facts::Facts,
    live::{self, Choices, Config, Impossible, PlanError, Plant, Scenario, UnknownPlant},
    memory::Backing,
};
use serde::{Deserialize, Serialize};
use std::{path::Path, time::Duration};
use thiserror::Error;

/// Which scenarios.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    /// Lists as on the command line; without either, the plan of a run without options.
    Lists {
        /// `--ops`
        ops: Option<Vec<String>>,
        /// `--backing`
        backing: Option<Vec<String>>,
    },
    /// These, in this order.
    Pairs(Vec<Pair>),
}

/// One scenario, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Operations, joined by `+`.
    pub ops: String,
    /// Backing of guest memory.
    pub backing: String,
}

/// What to run, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Which scenarios.
    pub plan: Plan,
    /// `--vcpus`
    pub vcpus: Option<usize>,
    /// `--host-writers`
    pub host_writers: usize,
    /// `--memory`
    pub memory_bytes: u64,
    /// `--seconds`, for the whole plan.
    pub seconds: f64,
    /// `--seed`
    pub seed: Option<u64>,
    /// `--stall-bound`
    pub stall_bound_seconds: f64,
    /// `--plant`
    pub plant: Option<String>,
    /// `--until-violation`
    pub until_violation: bool,
    /// `--layout`
    #[serde(default)]
    pub layout: Option<String>,
    /// Violations of each scenario that are sent with all their details; more are counted.
    pub violations_kept: usize,
    /// Litmus tests that take the place of scenarios: all of them, or those that the plan's pairs name.
    #[serde(default)]
    pub litmus: Vec<LitmusText>,
    /// Instances of each litmus test; otherwise each has its share of the time.
    #[serde(default)]
    pub litmus_runs: Option<u64>,
    /// `--trace`
    #[serde(default)]
    pub trace: bool,
}

/// A litmus test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LitmusText {
    /// The file, as the user calls it.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl LitmusText {
    /// What it is called among scenarios.
    #[must_use]
    pub fn pair(&self) -> Pair {
        let stem =
            Path::new(&self.path).file_stem().map_or_else(|| self.path.clone(), |stem| stem.to_string_lossy().into_owned());
        Pair { ops: format!("litmus:{stem}"), backing: Backing::MEMFD.name().to_owned() }
    }
}

impl Default for RunRequest {
    /// A run without options.
    fn default() -> Self {
        Self {
            plan: Plan::Lists { ops: None, backing: None },
            vcpus: None,
            host_writers: 1,
            memory_bytes: 64 << 20,
            seconds: 30.0,
            seed: None,
            stall_bound_seconds: 10.0,
            plant: None,
            until_violation: false,
            layout: None,
            violations_kept: 4,
            litmus: Vec::new(),
            litmus_runs: None,
            trace: false,
        }
    }
}

/// A request that cannot be carried out.
#[derive(Debug, Error)]
pub enum BadRequest {
    /// Unknown scenarios.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An unknown fault.
    #[error(transparent)]
    Plant(#[from] UnknownPlant),
    /// An unknown layout.
    #[error(transparent)]
    Layout(#[from] UnknownLayout),
    /// Not possible on this machine.
    #[error(transparent)]
    Impossible(#[from] Impossible),
    /// No time.
    #[error("{0} seconds: not a time")]
    Seconds(f64),
    /// A litmus test that did not come along.
    #[error("there is no litmus test {0}")]
    Litmus(String),
}

/// A request that was understood.
#[derive(Debug)]
pub(in crate::inside) struct Understood {
    pub(in crate::inside) plan: Vec<Scenario>,
    pub(in crate::inside) config: Config,
    pub(in crate::inside) time: Duration,
}

impl RunRequest {
    /// What it means on this machine.
    pub(in crate::inside) fn understand(&self, facts: &Facts) -> Result<Understood, BadRequest> {
        let plan = match &self.plan {
            Plan::Lists { ops, backing } => live::plan(ops.as_deref(), backing.as_deref())?,
            Plan::Pairs(pairs) => pairs.iter().map(Pair::scenarios).collect::<Result<Vec<_>, _>>()?.concat(),
        };
        Ok(Understood { plan, config: self.config(facts)?, time: time(self.seconds)? })
    }

    /// How it is to be run on this machine.
    pub(in crate::inside) fn config(&self, facts: &Facts) -> Result<Config, BadRequest> {
        let choices = Choices {
            vcpus: self.vcpus,
            host_writers: self.host_writers,
            memory_bytes: self.memory_bytes,
            seed: self.seed,
            file_dir: None,
            stall_bound: time(self.stall_bound_seconds)?,
            plant: self.plant.as_deref().map(str::parse::<Plant>).transpose()?,
            until_violation: self.until_violation,
            layout: self.layout.as_deref().map(str::parse::<Layout>).transpose()?,
        };
        Ok(choices.config(facts)?)
    }
}

fn time(seconds: f64) -> Result<Duration, BadRequest> {
    Duration::try_from_secs_f64(seconds).map_err(|_| BadRequest::Seconds(seconds))
}

impl RunRequest {
    /// The litmus tests that are to run, in the order of the plan, and the time for each.
    pub(in crate::inside) fn litmus(&self) -> Result<(Vec<&LitmusText>, Duration), BadRequest> {
        let named = |pair: &Pair| {
            let found = self.litmus.iter().find(|test| test.pair() == *pair);
            found.ok_or_else(|| BadRequest::Litmus(format!("{} on {}", pair.ops, pair.backing)))
        };
        let tests = match &self.plan {
            Plan::Lists { .. } => self.litmus.iter().collect(),
            Plan::Pairs(pairs) => pairs.iter().map(named).collect::<Result<Vec<_>, _>>()?,
        };
        let each = time(self.seconds / tests.len().max(1) as f64)?;
        Ok((tests, each))
    }
}

impl From<&Scenario> for Pair {
    fn from(scenario: &Scenario) -> Self {
        Self { ops: scenario.name(), backing: scenario.backing.name().to_owned() }
    }
}

impl Pair {
    fn scenarios(&self) -> Result<Vec<Scenario>, PlanError> {
        live::plan(Some(std::slice::from_ref(&self.ops)), Some(std::slice::from_ref(&self.backing)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understand(change: impl FnOnce(&mut RunRequest)) -> Result<Understood, String> {
        let mut request = RunRequest { memory_bytes: 1 << 20, ..RunRequest::default() };
        change(&mut request);
        let json = serde_json::to_string(&request).expect("JSON");
        let back: RunRequest = serde_json::from_str(&json).expect("our own");
        assert_eq!(back, request);
        back.understand(&Facts::gather_at(Path::new("/nowhere"))).map_err(|error| error.to_string())
    }

    fn pair(ops: &str, backing: &str) -> Pair {
        Pair { ops: ops.to_owned(), backing: backing.to_owned() }
    }

    #[test]
    fn a_request_means_what_the_command_line_would() {
        let all = understand(|_| {}).expect("no options");
        assert_eq!(all.plan.len(), live::default_plan().len());
        let some = understand(|request| {
            request.plan = Plan::Pairs(vec![pair("mremap+migrate", "anon"), pair("remap", "memfd")]);
            (request.seed, request.until_violation) = (Some(u64::MAX), true);
        })
        .expect("two scenarios");
        assert_eq!(some.plan.iter().map(Scenario::to_string).collect::<Vec<_>>(), ["mremap+migrate on anon", "remap on memfd"]);
        assert_eq!((some.config.pages, some.config.seed, some.config.until_violation), (256, u64::MAX, true));
    }

    #[test]
    fn litmus_tests_are_found_by_the_names_they_have_among_scenarios() {
        let text = |path: &str| LitmusText { path: path.to_owned(), text: String::new() };
        let mut request = RunRequest { litmus: vec![text("a/one.nst"), text("-")], seconds: 4.0, ..RunRequest::default() };
        let names = |request: &RunRequest| match request.litmus() {
            Ok((tests, each)) => (tests.iter().map(|test| test.path.clone()).collect(), each.as_secs_f64()),
            Err(error) => (vec![error.to_string()], 0.0),
        };
        assert_eq!(names(&request), (vec!["a/one.nst".to_owned(), "-".to_owned()], 2.0));
        request.plan = Plan::Pairs(vec![pair("litmus:one", "memfd"); 4]);
        assert_eq!(names(&request), (vec!["a/one.nst".to_owned(); 4], 1.0));
        request.plan = Plan::Pairs(vec![pair("litmus:two", "memfd")]);
        assert_eq!(names(&request), (vec!["there is no litmus test litmus:two on memfd".to_owned()], 0.0));
    }

    #[test]
    fn what_is_impossible_is_refused_by_name() {
        let refused = |change: fn(&mut RunRequest)| understand(change).expect_err("refused");
        assert!(refused(|r| r.plan = Plan::Pairs(vec![pair("mremp", "anon")])).contains("did you mean 'mremap'"));
        assert!(refused(|r| r.plan = Plan::Pairs(vec![pair("mremap", "anno")])).contains("did you mean 'anon'"));
        assert!(refused(|r| r.plant = Some("lava".to_owned())).contains("unknown fault 'lava'"));
        assert!(refused(|r| r.layout = Some("aligned".to_owned())).contains("unknown layout 'aligned'"));
        assert!(refused(|r| r.vcpus = Some(99)).contains("--vcpus 99"));
        assert!(refused(|r| r.seconds = -1.0).contains("-1 seconds"));
        assert!(refused(|r| r.memory_bytes = 4095).contains("--memory 4095 bytes"));
    }
}
