//! What was seen of one scenario in one machine.

use crate::{
    inside::Pair,
    l1::{End, Ran},
    report::{ScenarioResult, Verdict},
};

/// Something that would speak against a kernel, if it is seen again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What it means when it counts.
    pub(super) verdict: Verdict,
    /// The same when it was seen only once, where it counts at once.
    pub(super) alone: Verdict,
    pub(super) reason: String,
}

/// One scenario in one machine: its result, what went wrong, or both.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) result: Option<ScenarioResult>,
    pub(super) trouble: Option<Trouble>,
}

impl Seen {
    fn of(result: &ScenarioResult) -> Self {
        let bad = matches!(result.verdict, Verdict::Violation | Verdict::Stuck);
        let trouble = bad.then(|| Trouble {
            verdict: result.verdict,
            alone: result.verdict,
            reason: result.reason.clone().unwrap_or_else(|| result.verdict.to_string()),
        });
        Self { result: Some(result.clone()), trouble }
    }
}

/// What a run says about each scenario; nothing about those that it did not get to.
pub(super) fn seen(ran: &Ran) -> Vec<(Pair, Seen)> {
    let pair = |name: &str, backing: &str| Pair { ops: name.to_owned(), backing: backing.to_owned() };
    let mut all: Vec<_> =
        ran.collected.ended.iter().map(|result| (pair(&result.name, &result.backing), Seen::of(result))).collect();
    let Some(trouble) = of_the_whole(ran) else { return all };
    match (&ran.collected.running, all.last_mut()) {
        (Some((name, backing)), _) => all.push((pair(name, backing), Seen { result: None, trouble: Some(trouble) })),
        // It was the last that ran, and whatever came then came of it.
        (None, Some((_, last))) => drop(last.trouble.get_or_insert(trouble)),
        (None, None) => {}
    }
    all
}

/// Why the machine as a whole did not do what it should.
fn of_the_whole(ran: &Ran) -> Option<Trouble> {
    let signature = ran.alarms.iter().any(|alarm| alarm.signature);
    let verdict = match &ran.end {
        End::Interrupted => return None,
        End::Whole if !signature => return None,
        // It was judged where it happened.
        End::Whole if ran.collected.ended.iter().any(|result| result.verdict == Verdict::Violation) => return None,
        End::Whole | End::Died(_) | End::Alarmed => Verdict::Violation,
        End::Silent(_) => Verdict::Stuck,
        // Our own program did not get on: that may have many reasons, also when it happens twice.
        End::Failed(_) => Verdict::Vacuous,
    };
    let (alone, reason) = match ran.verdict() {
        (alone, Some(reason)) => (alone, reason),
        (_, None) => (verdict, ran.end.to_string()),
    };
    Some(Trouble { verdict: if signature { Verdict::Violation } else { verdict }, alone, reason })
}
