//! One trial: a machine restored at its marker, its control, the patch, and the run that should notice.

use super::{CampaignError, Control, Kill, Outcome, Prepared, Settings, Trial};
use crate::{
    inside::{Event, Pair, Plan, RunRequest},
    l1::{End, L1, Ran, may_be_emulation},
    mutate::Patch,
    oracle::Oracle,
    qemu::{Accel, Installed},
    report::{ScenarioResult, Verdict},
};
use nostale_notifier::trace::profile::{Profile, RuleState};
use std::{collections::BTreeMap, path::Path, sync::atomic::AtomicBool, time::Instant};

/// Conservation is judged when a scenario ends, so scenarios are short and come again.
const SLICE_SECONDS: f64 = 1.25;

/// Restores the machine, runs `pairs` as they are, applies `patches` and runs them again until something is seen.
///
/// # Errors
/// QEMU's, and a kernel that is not the one that was read. What the kernel does is an outcome.
pub(super) fn trial(
    installed: &Installed,
    prepared: &Prepared,
    settings: &Settings,
    (pairs, patches, seed): (&[Pair], &[Patch], u64),
    (dir, interrupted): (&Path, &AtomicBool),
    on: &mut dyn FnMut(&Event),
) -> Result<Trial, CampaignError> {
    let begin = Instant::now();
    let mut l1 = L1::restore(installed, &prepared.saved, &prepared.ready, dir)?;
    let ran = l1.run_until(&request(settings, pairs, settings.control_seconds, seed, false), interrupted, on)?;
    let healthy = ran.collected.trace().cloned();
    let control = control(&ran, installed.accel);
    let outcome = if control.verdict == Verdict::Coherent && !patches.is_empty() {
        l1.patch(patches)?;
        let ran = l1.run_until(&request(settings, pairs, settings.seconds, seed, true), interrupted, on)?;
        Some(outcome(&ran, healthy.as_ref(), installed.accel))
    } else {
        None
    };
    // It is of no further use, and may be unable to power off: dropping it is enough.
    let scenarios = pairs.iter().map(|pair| format!("{} on {}", pair.ops, pair.backing)).collect();
    Ok(Trial { seed, scenarios, control, outcome, seconds: begin.elapsed().as_secs_f64() })
}

/// The control runs each scenario once, the mutant gets slices by turns.
fn request(settings: &Settings, pairs: &[Pair], seconds: f64, seed: u64, until_violation: bool) -> RunRequest {
    let slices = if until_violation { (seconds / SLICE_SECONDS).ceil().max(1.0) as usize } else { pairs.len() };
    let plan = pairs.iter().cycle().take(slices.max(if until_violation { 1 } else { pairs.len() })).cloned().collect();
    RunRequest {
        plan: Plan::Pairs(plan),
        seconds,
        seed: Some(seed),
        until_violation,
        violations_kept: 2,
        ..settings.request.clone()
    }
}

fn under_test(ran: &Ran) -> f64 {
    ran.collected.ended.iter().map(|result| result.seconds).filter(|seconds| seconds.is_finite()).sum()
}

fn control(ran: &Ran, accel: Accel) -> Control {
    let (verdict, reason) = ran.verdict();
    let worst = ran.collected.ended.iter().find(|result| result.verdict == verdict && verdict != Verdict::Coherent);
    let reason = reason.or_else(|| {
        worst.map(|result| format!("{} on {}: {}", result.name, result.backing, result.reason.as_deref().unwrap_or_default()))
    });
    // Nothing but what emulation does by itself: no alarm, and no control either.
    let wrong = |result: &&ScenarioResult| matches!(result.verdict, Verdict::Violation | Verdict::Stuck);
    let emulation = ran.collected.ended.iter().any(|result| may_be_emulation(result, accel))
        && ran.collected.ended.iter().filter(wrong).all(|result| may_be_emulation(result, accel))
        && ran.alarms.is_empty()
        && ran.end == End::Whole;
    // An alarm, however well memory looks.
    if let Some(kill) = ran.collected.trace().and_then(|profile| disorder(profile, 0.0)) {
        let reason = Some(format!("{}: {}", kill.oracle, kill.detail));
        return Control { verdict: Verdict::Violation, reason, seconds: under_test(ran) };
    }
    // Short as it is, a control may meet too little to prove anything: that is no alarm.
    let quiet = verdict == Verdict::Vacuous && ran.end == End::Whole;
    let verdict = match verdict {
        _ if emulation => Verdict::Vacuous,
        _ if quiet => Verdict::Coherent,
        verdict => verdict,
    };
    Control { verdict, reason, seconds: under_test(ran) }
}

fn outcome(ran: &Ran, healthy: Option<&Profile>, accel: Accel) -> Outcome {
    let seconds = under_test(ran);
    let seen = ran.collected.ended.iter().find(|result| matches!(result.verdict, Verdict::Violation | Verdict::Stuck));
    if let Some(result) = seen.filter(|result| has_mark(result, ran) && !may_be_emulation(result, accel)) {
        return Outcome::Kill(kill(result, seconds));
    }
    if let Some(alarm) = ran.alarms.iter().find(|alarm| alarm.signature) {
        let (scenario, backing) = ran.collected.running.clone().or_else(|| last(ran)).unwrap_or_default();
        let seconds = if seconds > 0.0 { seconds } else { ran.seconds };
        return Outcome::Kill(Kill { oracle: "kernel".to_owned(), scenario, backing, seconds, detail: alarm.text.clone() });
    }
    if let Some(kill) = ran.collected.trace().and_then(|profile| {
        disorder(profile, seconds).or_else(|| healthy.and_then(|healthy| no_flush(healthy, profile, seconds)))
    }) {
        // A recording is of all that ran.
        let (scenario, backing) = last(ran).unwrap_or_default();
        return Outcome::Kill(Kill { scenario, backing, ..kill });
    }
    // Silence alone is no mark: emulated kernels fall silent now and then.
    match (&ran.end, ran.verdict()) {
        (End::Whole, (Verdict::Coherent | Verdict::Vacuous | Verdict::Skipped, _)) if seconds > 0.0 => {
            Outcome::Nothing { seconds }
        }
        (_, (_, reason)) => Outcome::Unclear {
            why: reason.or_else(|| seen.and_then(|result| result.reason.clone())).unwrap_or_else(|| ran.end.to_string()),
        },
    }
}

/// A rule of invalidate ordering that the kernel's own events break, whatever was found in memory.
fn disorder(profile: &Profile, seconds: f64) -> Option<Kill> {
    let first = profile.broken().find_map(|rule| rule.examples.first());
    profile.broken_names().map(|names| Kill {
        oracle: format!("order ({names})"),
        scenario: String::new(),
        backing: String::new(),
        seconds,
        detail: first.map_or_else(String::new, |example| format!("during {}: {}", example.operation, example.what)),
    })
}

/// Zaps after which no flush is ever seen: the rule cannot know by itself that this kernel's can be seen, but they were, in the same machine,
/// before it was changed.
fn no_flush(healthy: &Profile, profile: &Profile, seconds: f64) -> Option<Kill> {
    const ZAPS: u64 = 16;
    let rule = |profile: &'_ Profile, name: &str| profile.rules.iter().find(|rule| rule.name == name).cloned();
    let (before, after, zapped) = (rule(healthy, "flushed")?, rule(profile, "flushed")?, rule(profile, "zapped")?);
    (before.state == RuleState::Held && after.state == RuleState::NotAsked && zapped.checks >= ZAPS).then(|| Kill {
        oracle: "order (flushed)".to_owned(),
        scenario: String::new(),
        backing: String::new(),
        seconds,
        detail: format!("{} announced ranges were zapped, and vCPUs were never asked to flush; before, they were", zapped.checks),
    })
}

fn last(ran: &Ran) -> Option<(String, String)> {
    ran.collected.ended.last().map(|result| (result.name.clone(), result.backing.clone()))
}

/// Whether the result could only come from the kernel's handling of guest memory: an oracle about contents saw it. Progress alone
/// counts in a machine whose kernel is well, and the kernel's complaint with a report that says where.
fn has_mark(result: &ScenarioResult, ran: &Ran) -> bool {
    let silent = |oracle| matches!(oracle, Oracle::Kernel | Oracle::Progress | Oracle::Vacuity);
    let seen = result.violations.iter().any(|violation| !silent(violation.oracle));
    let complained = result.violations.iter().any(|violation| violation.oracle == Oracle::Kernel) || !ran.alarms.is_empty();
    seen || ran.alarms.iter().any(|alarm| alarm.signature) || !complained
}

fn kill(result: &ScenarioResult, seconds: f64) -> Kill {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for violation in &result.violations {
        *counts.entry(violation.oracle.name()).or_default() += 1;
    }
    let mut oracles: Vec<_> = counts.into_iter().collect();
    oracles.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let oracle = oracles.into_iter().map(|(oracle, _)| oracle).collect::<Vec<_>>().join(", ");
    Kill {
        oracle: if oracle.is_empty() { "progress".to_owned() } else { oracle },
        scenario: result.name.clone(),
        backing: result.backing.clone(),
        seconds,
        detail: result
            .violations
            .first()
            .map(|violation| violation.detail.clone())
            .or_else(|| result.reason.clone())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nostale_notifier::trace::{analysis::Analysis, synthetic};

    /// What a recording without any event comes to.
    fn profile() -> Profile {
        Analysis::new(&synthetic::head()).finish(None, None)
    }

    #[test]
    fn a_broken_rule_kills_whatever_memory_says() {
        let mut profile = profile();
        assert!(disorder(&profile, 1.0).is_none());
        for name in ["returned", "freed"] {
            let rule = profile.rules.iter_mut().find(|rule| rule.name == name).expect("there is one");
            (rule.state, rule.checks, rule.breaks) = (RuleState::Broken, 9, 2);
        }
        let kill = disorder(&profile, 1.5).expect("two rules are broken");
        assert_eq!((kill.oracle.as_str(), kill.seconds), ("order (returned, freed)", 1.5));
    }

    #[test]
    fn flushes_that_are_gone_are_missed_only_where_there_were_some() {
        let (mut before, mut after) = (profile(), profile());
        let set = |profile: &mut Profile, name: &str, state, checks| {
            let rule = profile.rules.iter_mut().find(|rule| rule.name == name).expect("there is one");
            (rule.state, rule.checks) = (state, checks);
        };
        set(&mut after, "zapped", RuleState::Held, 100);
        assert!(no_flush(&before, &after, 1.0).is_none(), "nobody knows whether they can be seen");
        set(&mut before, "flushed", RuleState::Held, 7);
        assert_eq!(no_flush(&before, &after, 1.0).map(|kill| kill.oracle).as_deref(), Some("order (flushed)"));
        set(&mut after, "zapped", RuleState::Held, 3);
        assert!(no_flush(&before, &after, 1.0).is_none(), "too few to say");
        set(&mut after, "zapped", RuleState::Held, 100);
        set(&mut after, "flushed", RuleState::Held, 5);
        assert!(no_flush(&before, &after, 1.0).is_none());
    }
}
