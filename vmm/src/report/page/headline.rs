//! What a result comes to: what stands at the top of the page, in large letters.

use super::kind::Checked;
use crate::{
    mutate::campaign::Fate,
    report::{
        RunReport, ScenarioResult, Verdict,
        human::summary::came_to,
        litmus::{self, LitmusReport, diff},
        matrix::MatrixReport,
        mutate::{MutateReport, MutateVerdict},
        units,
    },
};
use nostale_notifier::trace::{
    compare::{Comparison, ComparisonVerdict},
    profile::{OrderVerdict, Profile, RuleState},
};
use serde::Serialize;
use serde_json::Value;

/// How many lines that replay something are worth standing at the top.
const REPLAYS: usize = 8;

/// How it went: what decides the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// Everything is as it should be.
    Held,
    /// Something is not.
    Broken,
    /// Nothing is known to be wrong, but not everything was proved.
    Unproved,
    /// It was not run.
    Skipped,
    /// There is nothing to judge.
    Nothing,
}

/// The judgement on a document.
#[derive(Clone, Debug, Serialize)]
pub struct Headline {
    /// How it went.
    pub tone: Tone,
    /// The verdict.
    pub word: String,
    /// What it is made of.
    pub text: String,
    /// The lines that replay what went wrong or, if nothing did, nothing.
    pub replay: Vec<String>,
}

impl Headline {
    pub(super) const fn none() -> Self {
        Self { tone: Tone::Nothing, word: String::new(), text: String::new(), replay: Vec::new() }
    }

    fn new(tone: Tone, word: &str, text: String) -> Self {
        Self { tone, word: word.to_owned(), text, replay: Vec::new() }
    }

    fn replays<'a>(self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self { replay: lines.into_iter().take(REPLAYS).map(str::to_owned).collect(), ..self }
    }

    /// Of a document that no command of ours makes, as far as we know.
    pub(super) fn unknown(document: &Value) -> Self {
        const SHOWN: usize = 12;
        let names = document.as_object().map(|fields| fields.keys().take(SHOWN).map(String::as_str).collect::<Vec<_>>());
        let text = match names {
            Some(names) if !names.is_empty() => format!("a document with {}", names.join(", ")),
            _ => "not a document of nostale's".to_owned(),
        };
        Self::new(Tone::Nothing, "unknown", text)
    }
}

impl From<Verdict> for Tone {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Coherent => Self::Held,
            Verdict::Violation | Verdict::Stuck => Self::Broken,
            Verdict::Vacuous => Self::Unproved,
            Verdict::Skipped => Self::Skipped,
        }
    }
}

fn counted(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

fn interrupted(is: bool) -> &'static str {
    if is { "interrupted; so far " } else { "" }
}

fn broken<'a>(scenarios: impl IntoIterator<Item = &'a ScenarioResult>) -> impl Iterator<Item = &'a str> {
    let broken = |scenario: &&ScenarioResult| Tone::from(scenario.verdict) == Tone::Broken;
    scenarios.into_iter().filter(broken).map(|scenario| scenario.replay.as_str())
}

pub(super) fn run(report: &RunReport) -> Headline {
    let tone = if report.interrupted && report.verdict == Verdict::Coherent { Tone::Unproved } else { report.verdict.into() };
    let all: Vec<_> = report.scenarios.iter().collect();
    let host = &report.host;
    let text = format!(
        "{}{}; seed {:#x}, kernel {}, {} MMU",
        interrupted(report.interrupted),
        came_to(&all),
        report.seed,
        host.kernel,
        host.mmu
    );
    Headline::new(tone, report.verdict.name(), text).replays(broken(&report.scenarios))
}

pub(super) fn matrix(report: &MatrixReport) -> Headline {
    let tone = if report.interrupted && report.verdict == Verdict::Coherent { Tone::Unproved } else { report.verdict.into() };
    let all: Vec<_> = report.kernels.iter().flat_map(|kernel| &kernel.scenarios).collect();
    let text = format!(
        "{}{}, {}; seed {:#x}",
        interrupted(report.interrupted),
        counted(report.kernels.len(), "kernel"),
        came_to(&all),
        report.seed
    );
    Headline::new(tone, report.verdict.name(), text).replays(broken(all.iter().copied()))
}

pub(super) fn mutate(report: &MutateReport) -> Headline {
    let tone = match report.verdict {
        MutateVerdict::AsExpected => Tone::Held,
        MutateVerdict::Unexpected => Tone::Broken,
        MutateVerdict::Inconclusive => Tone::Unproved,
    };
    let fates = [Fate::Killed, Fate::Survived, Fate::Equivalent, Fate::Unreached, Fate::Unpatchable, Fate::Flaky, Fate::Untried];
    let all: Vec<_> = report.kernels.iter().flat_map(|kernel| &kernel.mutants).collect();
    let counts = fates.map(|fate| (fate, all.iter().filter(|mutant| mutant.fate == fate).count()));
    let counts: Vec<_> = counts.iter().filter(|(_, n)| *n > 0).map(|(fate, n)| format!("{n} {fate}")).collect();
    let alarms: usize = report.kernels.iter().map(|kernel| kernel.control_alarms.len()).sum();
    let controls: usize = report.kernels.iter().map(|kernel| kernel.controls).sum();
    let text = format!(
        "{} of {}: {}; {}, {}; seed {:#x}",
        counted(all.len(), "mutant"),
        counted(report.kernels.len(), "kernel"),
        if counts.is_empty() { "none was made".to_owned() } else { counts.join(", ") },
        counted(controls, "control"),
        counted(alarms, "alarm"),
        report.seed
    );
    let wrong = all.iter().filter(|mutant| !mutant.expected && mutant.fate != Fate::Untried);
    Headline::new(tone, report.verdict.name(), text).replays(wrong.map(|mutant| mutant.replay.as_str()))
}

pub(super) fn check(report: &Checked) -> Headline {
    let open = |case: &super::kind::CheckedCase| case.vacuous || case.verdict == "bounded";
    let wrong: Vec<_> = report.files.iter().filter(|case| !case.agrees && !open(case)).collect();
    let undecided = report.files.iter().filter(|case| !case.agrees && open(case)).count();
    let (tone, word) = match () {
        () if !report.errors.is_empty() => (Tone::Broken, "unchecked"),
        () if !wrong.is_empty() => (Tone::Broken, "not as expected"),
        () if report.interrupted || undecided > 0 => (Tone::Unproved, "unproved"),
        () if report.files.is_empty() => (Tone::Skipped, "nothing"),
        () => (Tone::Held, "as expected"),
    };
    let states = report.files.iter().map(|case| case.states).fold(0, u64::saturating_add);
    let seconds: f64 = report.files.iter().map(|case| case.seconds).filter(|seconds| seconds.is_finite()).fold(0.0, |a, b| a + b);
    let mut text = format!(
        "{}{}, {} states in {}",
        interrupted(report.interrupted),
        counted(report.files.len(), "case"),
        units::count(states),
        units::microseconds(seconds * 1e6)
    );
    for (n, what) in [(wrong.len(), "not as expected"), (undecided, "undecided"), (report.errors.len(), "not checked")] {
        if n > 0 {
            text += &format!(", {n} {what}");
        }
    }
    Headline::new(tone, word, text).replays(wrong.iter().map(|case| case.replay.as_str()))
}

pub(super) fn litmus(report: &LitmusReport) -> Headline {
    use litmus::Verdict as V;
    let bad = |verdict| matches!(verdict, V::Forbidden | V::Unexpected);
    let (tone, word) = match report.exit_status() {
        0 if report.tests.is_empty() => (Tone::Skipped, "nothing"),
        0 => (Tone::Held, "agrees"),
        3 => (Tone::Unproved, "unproved"),
        _ if report.tests.iter().any(|test| test.verdict == V::Forbidden) => (Tone::Broken, "forbidden"),
        _ if report.tests.iter().any(|test| bad(test.verdict)) => (Tone::Broken, "unexpected"),
        _ if !report.errors.is_empty() => (Tone::Broken, "not run"),
        _ => (Tone::Broken, "alarm"),
    };
    let seen: u64 = report.tests.iter().flat_map(|test| &test.states).map(litmus::StateRow::times).fold(0, u64::saturating_add);
    let kinds = [V::Agrees, V::Forbidden, V::Unexpected, V::Bounded, V::Vacuous];
    let counts = kinds.map(|kind| (kind, report.tests.iter().filter(|test| test.verdict == kind).count()));
    let counts: Vec<_> = counts.iter().filter(|(_, n)| *n > 0).map(|(kind, n)| format!("{n} {}", kind.name())).collect();
    let text = format!(
        "{}{} ({}), {} instances; seed {:#x}",
        interrupted(report.interrupted),
        counted(report.tests.len(), "test"),
        counts.join(", "),
        units::count(seen),
        report.seed
    );
    let wrong = report.tests.iter().filter(|test| bad(test.verdict));
    Headline::new(tone, word, text).replays(wrong.map(|test| test.replay.as_str()))
}

pub(super) fn litmus_diff(report: &diff::DiffReport) -> Headline {
    let count = |verdict| report.pairs.iter().filter(|pair| pair.verdict == verdict).count();
    let (differs, same) = (count(diff::Verdict::Differs), count(diff::Verdict::Same));
    let (tone, word) = match (differs, same) {
        (0, 0) => (Tone::Unproved, "inconclusive"),
        (0, _) => (Tone::Held, "same"),
        _ => (Tone::Broken, "differs"),
    };
    let text = format!(
        "{} compared: {differs} differ, {same} do not, {} inconclusive; {} against {}",
        counted(report.pairs.len(), "test"),
        count(diff::Verdict::Inconclusive),
        report.a.path,
        report.b.path
    );
    Headline::new(tone, word, text)
}

pub(super) fn trace(profile: &Profile) -> Headline {
    let (tone, word) = match profile.verdict {
        OrderVerdict::Held => (Tone::Held, "held"),
        OrderVerdict::Broken => (Tone::Broken, "broken"),
        OrderVerdict::Vacuous => (Tone::Unproved, "vacuous"),
    };
    let state = |state| profile.rules.iter().filter(|rule| rule.state == state).count();
    let invalidations = profile.operations.iter().map(|operation| operation.invalidations).fold(0, u64::saturating_add);
    let breaks = profile.rules.iter().map(|rule| rule.breaks).fold(0, u64::saturating_add);
    let mut text = format!(
        "{} held, {} broken, {} not asked; {} invalidations by {} in {}, kernel {}",
        counted(state(RuleState::Held), "rule"),
        state(RuleState::Broken),
        state(RuleState::NotAsked),
        units::count(invalidations),
        counted(profile.operations.len(), "operation"),
        units::seconds(profile.seconds),
        profile.kernel
    );
    if breaks > 0 {
        text = format!("{} breaks; {text}", units::count(breaks));
    }
    Headline::new(tone, word, text)
}

pub(super) fn compare(comparison: &Comparison) -> Headline {
    let (tone, word) = match comparison.verdict {
        ComparisonVerdict::NothingRelevant => (Tone::Held, "nothing relevant"),
        ComparisonVerdict::Relevant => (Tone::Broken, "relevant"),
        ComparisonVerdict::Incomparable => (Tone::Unproved, "incomparable"),
    };
    let orders = comparison.relevant_orders().count();
    let rules = comparison.rules.iter().filter(|rule| rule.relevant).count();
    let found = comparison.reason.clone().unwrap_or_else(|| {
        format!("{} against the rules new in B, {} broken that held in A", counted(orders, "order"), counted(rules, "rule"))
    });
    let sides = [("A", &comparison.a), ("B", &comparison.b)];
    let sides = sides.map(|(name, side)| format!("{name} {}, kernel {}", side.path, side.kernel)).join("; ");
    Headline::new(tone, word, format!("{found}; {sides}"))
}
