//! What it takes to run scenarios one by one: the host settings of each, the kernel log, and the reasons why one cannot run here.

use super::{
    Config, Hooks, Plant, Scenario,
    knobs::{self as settings, Held},
    log::{self, LogWatch},
    session::{Session, SessionError},
    verdict::replay,
};
use crate::{
    host::{
        facts::{Facts, Need},
        knobs::Knobs,
    },
    ops::OperationError,
    report::{ScenarioResult, Verdict},
};
use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

/// Runs scenarios on this host.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    facts: &'a Facts,
    knobs: Option<&'a Knobs>,
    interrupted: &'a AtomicBool,
    log: LogWatch,
    /// What the user should know beside the results.
    pub(super) notes: Vec<String>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(facts: &'a Facts, knobs: Option<&'a Knobs>, interrupted: &'a AtomicBool) -> Self {
        let mut notes = Vec::new();
        let log = LogWatch::open(&mut notes);
        Self { facts, knobs, interrupted, log, notes }
    }

    /// Whether somebody wants it to end.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// Why a scenario cannot run here, if so.
    pub(super) fn obstacle(&self, scenario: &Scenario, config: &Config) -> Option<String> {
        let unplantable = || {
            let plant = config.plant?;
            plant.impossible(scenario, config, self.facts).map(|reason| format!("{plant} cannot be planted: {reason}"))
        };
        let missing = || scenario.missing(self.facts, &config.file_dir);
        let unmakable = || (self.knobs.is_none() && settings::wants_disk(scenario, config)).then(|| Need::journal().to_string());
        scenario.inapplicable().map(Cow::into_owned).or_else(missing).or_else(unmakable).or_else(unplantable)
    }

    /// Runs a scenario for `time`, and judges what the kernel said meanwhile.
    ///
    /// # Errors
    /// When it could not be set up.
    pub(super) fn run(
        &mut self,
        scenario: &Scenario,
        config: &Config,
        time: Duration,
        hooks: &mut dyn Hooks,
    ) -> Result<ScenarioResult, SessionError> {
        if config.plant == Some(Plant::KernelMessage)
            && let Err(unavailable) = log::plant()
        {
            self.note(format!("the kernel message could not be planted: {unavailable}"));
        }
        let mut notes = Vec::new();
        let held = self
            .knobs
            .map_or_else(|| Ok(Held::default()), |knobs| settings::hold(scenario, config, self.facts, knobs, &mut notes));
        notes.into_iter().for_each(|note| self.note(note));
        let (interrupted, log) = (self.interrupted, &mut self.log);
        let mut enough = || interrupted.load(Relaxed) || config.until_violation && log.alarmed();
        let mut session = |held: &Held| Session::new(scenario, config, self.facts, held)?.run(time, &mut enough);
        // Settings go back when the session is over.
        let mut result = match held {
            Err(refused) => not_run(scenario, config, Verdict::Skipped, refused, time),
            Ok(held) => match session(&held) {
                Err(SessionError::Operation(OperationError::Lacking(need))) => {
                    not_run(scenario, config, Verdict::Skipped, need.to_string(), time)
                }
                ran => ran?,
            },
        };
        if scenario.backing.is_large() && result.operations > 0 && result.huge_bytes == 0 {
            // Once for all the rounds of a storm.
            let what = if config.storm_round { format!("rounds on {}", scenario.backing) } else { scenario.to_string() };
            self.note(format!("{what}: the kernel gave no huge page, so this tested small ones"));
        }
        result.remarks.iter().for_each(|remark| self.note(remark.clone()));
        self.log.judge(scenario, &mut result, &mut self.notes, hooks);
        Ok(result)
    }

    /// Notes something, once.
    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// The result of a scenario that did not run.
pub(super) fn not_run(scenario: &Scenario, config: &Config, verdict: Verdict, reason: String, time: Duration) -> ScenarioResult {
    let replay = replay(scenario, config, None, time.as_secs_f64());
    ScenarioResult::without_run(&scenario.name(), scenario.backing.name(), verdict, reason, replay)
}
