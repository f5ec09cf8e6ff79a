//! From trials to a fate. Nothing here knows how a trial is made.

use super::{Fate, Kill, Outcome, Trial};
use crate::{mutate::Kind, oracle::Oracle, report::Verdict};

/// What the trials so far come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// Another trial is needed.
    Again,
    /// Killed.
    Killed(Kill),
    /// Nobody saw it.
    Unseen,
    /// No answer, for this reason.
    Flaky(String),
}

/// No mutant gets more trials.
const MOST: usize = 6;
/// Trials in which a mutant has to be seen.
const KILLS: usize = 2;
/// Trials in which one has to go unseen, if none saw it: each with other scenarios, where there are more.
const QUIET: usize = 3;
/// Trials of one that was seen once which have to end before their time, if not one came to its end: more than these. Of 146 controls
/// on an unmutated 6.12, each shorter than a trial, 12 did so.
const CUT_SHORT: usize = 3;
/// The same where there is an argument that nobody can see it: these trials are to refute it.
const QUIET_ARGUED: usize = 2;

/// What the trials of a mutant of this kind show of it. A vCPU of an emulated machine now and then gets nothing done for a while (six of
/// 244 controls on 7.2): of a mutant that cannot be the cause, that tells nothing.
#[must_use]
pub(super) fn evidence(trials: &[Trial], kind: &Kind) -> Vec<Trial> {
    let shown = |trial: &Trial| match kill(trial).filter(|kill| !kind.unbalances() && kill.oracle == Oracle::Progress.name()) {
        Some(kill) => Trial { outcome: Some(Outcome::Unclear { why: kill.detail.clone() }), ..trial.clone() },
        None => trial.clone(),
    };
    trials.iter().map(shown).collect()
}

/// Judges trials of a mutant; `argued` says whether there is an argument that nobody can notice it.
///
/// A mutant is killed when two trials saw it by more than a lack of progress, or by that more often than not. It is seen by nobody when
/// three trials saw nothing; one that was seen once and then not gets more, and after that an argument outweighs a lack of progress that
/// was seen once. One of which no machine ever came to its end is killed as
/// well, if it was seen once, or nearly all controls did. A trial whose control raised an alarm says nothing about the mutant, nor does
/// one whose machine ended without a mark of it.
#[must_use]
pub fn judge(trials: &[Trial], argued: bool) -> Judgement {
    let kills: Vec<&Kill> = trials.iter().filter_map(kill).collect();
    let quiet = quiet(trials);
    // What was asked again after a kill is the scenario that killed: there, nothing seen speaks against it.
    let since = trials.iter().skip_while(|trial| kill(trial).is_none());
    let against = since.filter(|trial| matches!(trial.outcome, Some(Outcome::Nothing { .. }))).count();
    // No control has ever shown contents that went wrong, or KVM itself complaining: that is never emulation's doing.
    let sure: Vec<&Kill> = kills.iter().copied().filter(|kill| kill.oracle != Oracle::Progress.name()).collect();
    if let Some(first) = sure.first().filter(|_| sure.len() >= KILLS) {
        return Judgement::Killed((*first).clone());
    }
    if let Some(first) = kills.first().filter(|_| kills.len() >= KILLS && kills.len() > against) {
        return Judgement::Killed((*first).clone());
    }
    if kills.is_empty() && quiet >= if argued { QUIET_ARGUED } else { QUIET } {
        return Judgement::Unseen;
    }
    if trials.len() < MOST {
        return Judgement::Again;
    }
    // Seen once, and never once gone unseen: the other machines ended in ways that emulation has, too, but so seldom that all of these
    // together are the mutant's doing.
    let cut_short: Vec<Kill> = trials.iter().filter_map(cut_short).collect();
    if let Some(first) = kills.first().filter(|_| quiet == 0 && kills.len() + cut_short.len() > CUT_SHORT) {
        return Judgement::Killed((*first).clone());
    }
    // Some more of them, and nobody need have seen anything: a kernel that waits for a notification without an end may say no more.
    if let Some(last) = cut_short.last().filter(|_| quiet == 0 && cut_short.len() > CUT_SHORT + 1) {
        return Judgement::Killed(last.clone());
    }
    // An argument that nobody can see it is not refuted by one vCPU that got nothing done for a while in an emulated machine, when the same
    // scenario saw nothing as often as it takes to call a mutant unseen. The trials are kept for whoever wants to look.
    if argued && sure.is_empty() && kills.len() == 1 && against >= QUIET {
        return Judgement::Unseen;
    }
    let unclear = trials.iter().rev().find_map(|trial| match &trial.outcome {
        Some(Outcome::Unclear { why }) => Some(why.clone()),
        _ => trial
            .control
            .verdict
            .ne(&Verdict::Coherent)
            .then(|| format!("control: {}", trial.control.reason.clone().unwrap_or_default())),
    });
    let others = unclear.map_or(String::new(), |why| format!("; the last of the others: {why}"));
    Judgement::Flaky(match kills.first() {
        Some(kill) => format!("seen in {} of {} trials, by {}{others}", kills.len(), trials.len(), kill.oracle),
        None => format!("seen in none of {} trials, and {quiet} of them came to their end{others}", trials.len()),
    })
}

/// What a trial that ended before its time, after a control that did not, says of the mutant: little, by itself.
fn cut_short(trial: &Trial) -> Option<Kill> {
    let Some(Outcome::Unclear { why }) = &trial.outcome else { return None };
    let (scenario, backing) = trial.scenarios.first().and_then(|name| name.split_once(" on ")).unwrap_or_default();
    Some(Kill {
        oracle: Oracle::Progress.name().to_owned(),
        scenario: scenario.to_owned(),
        backing: backing.to_owned(),
        seconds: trial.seconds,
        detail: format!("no machine came to its end; this one: {why}"),
    })
}

/// Trials that came to their end and saw nothing.
pub(super) fn quiet(trials: &[Trial]) -> usize {
    trials.iter().filter(|trial| matches!(trial.outcome, Some(Outcome::Nothing { .. }))).count()
}

fn kill(trial: &Trial) -> Option<&Kill> {
    match &trial.outcome {
        Some(Outcome::Kill(kill)) => Some(kill),
        _ => None,
    }
}

/// The fate of a mutant that nobody saw.
#[must_use]
pub(super) fn unseen(argument: Option<&str>) -> (Fate, bool) {
    if argument.is_some() { (Fate::Equivalent, true) } else { (Fate::Survived, false) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::campaign::Control;

    fn trial(outcome: Option<Outcome>) -> Trial {
        let verdict = if outcome.is_some() { Verdict::Coherent } else { Verdict::Violation };
        Trial { seed: 1, scenarios: Vec::new(), control: Control { verdict, reason: None, seconds: 1.0 }, outcome, seconds: 2.0 }
    }

    fn killed() -> Trial {
        killed_by("finality")
    }

    fn killed_by(oracle: &str) -> Trial {
        let kill = Kill {
            oracle: oracle.to_owned(),
            scenario: "mremap".into(),
            backing: "anon".into(),
            seconds: 0.5,
            detail: String::new(),
        };
        trial(Some(Outcome::Kill(kill)))
    }

    fn nothing() -> Trial {
        trial(Some(Outcome::Nothing { seconds: 5.0 }))
    }

    fn unclear() -> Trial {
        trial(Some(Outcome::Unclear { why: "Oops: int3".into() }))
    }

    #[test]
    fn one_kill_is_no_kill() {
        assert_eq!(judge(&[], false), Judgement::Again);
        assert_eq!(judge(&[killed()], false), Judgement::Again);
        assert!(matches!(judge(&[killed(), killed()], false), Judgement::Killed(kill) if kill.oracle == "finality"));
        assert!(matches!(judge(&[nothing(), killed(), unclear(), killed()], false), Judgement::Killed(_)));
    }

    #[test]
    fn a_survivor_had_three_whole_trials() {
        assert_eq!(judge(&[nothing(), nothing()], false), Judgement::Again);
        assert_eq!(judge(&[nothing(), unclear(), nothing(), trial(None), nothing()], false), Judgement::Unseen);
    }

    #[test]
    fn an_argument_saves_a_trial() {
        assert_eq!(judge(&[nothing(), nothing()], true), Judgement::Unseen);
        assert!(matches!(judge(&[nothing(), killed(), killed()], true), Judgement::Killed(_)));
    }

    #[test]
    fn contradictions_and_deaths_are_flaky_and_say_so() {
        let once = judge(&[killed(), nothing(), nothing(), nothing(), nothing(), unclear()], false);
        assert!(matches!(&once, Judgement::Flaky(why) if why.contains("1 of 6") && why.contains("int3")), "{once:?}");
        let dead = judge(&[unclear(), unclear(), unclear(), unclear(), nothing(), trial(None)], false);
        assert!(matches!(&dead, Judgement::Flaky(why) if why.contains("none of 6 trials, and 1 of them")), "{dead:?}");
    }

    #[test]
    fn what_emulation_never_does_need_not_be_seen_each_time() {
        let slow = killed_by("progress");
        let twice = |kill: Trial| judge(&[kill.clone(), nothing(), nothing(), nothing(), kill, nothing()], false);
        assert!(matches!(twice(killed()), Judgement::Killed(_)));
        assert!(matches!(twice(slow), Judgement::Flaky(_)));
    }

    #[test]
    fn a_stall_shows_nothing_of_a_mutant_that_cannot_stall() {
        let slow = killed_by("progress");
        let trials = [slow.clone(), killed(), slow, nothing()];
        let kills = |kind| evidence(&trials, &kind).iter().filter_map(kill).count();
        assert_eq!((kills(Kind::End), kills(Kind::Start), kills(Kind::Both), kills(Kind::Retry)), (3, 3, 1, 1));
        assert!(matches!(judge(&evidence(&trials, &Kind::Both), false), Judgement::Again));
    }

    #[test]
    fn an_argument_outweighs_one_stall_but_nothing_else() {
        let slow = killed_by("progress");
        let six = |first: &Trial, fifth| [first.clone(), nothing(), nothing(), unclear(), fifth, nothing()];
        assert_eq!(judge(&six(&slow, nothing()), true), Judgement::Unseen);
        assert!(matches!(judge(&six(&slow, nothing()), false), Judgement::Flaky(_)), "without an argument");
        assert!(matches!(judge(&six(&slow, slow.clone()), true), Judgement::Flaky(_)), "twice");
        assert!(matches!(judge(&six(&killed(), nothing()), true), Judgement::Flaky(_)), "contents went wrong");
        assert!(
            matches!(judge(&[slow, nothing(), nothing(), unclear(), unclear(), unclear()], true), Judgement::Flaky(_)),
            "too few"
        );
    }

    #[test]
    fn machines_that_never_come_to_their_end_confirm_what_was_seen_once() {
        let cut = |first| judge(&[first, unclear(), unclear(), trial(None), unclear(), unclear()], false);
        assert!(matches!(cut(killed()), Judgement::Killed(kill) if kill.oracle == "finality"));
        assert!(matches!(cut(unclear()), Judgement::Killed(kill) if kill.oracle == "progress"), "five of six, and no other");
        assert!(matches!(cut(trial(None)), Judgement::Flaky(_)), "too few");
        let few = judge(&[killed(), unclear(), unclear(), trial(None), trial(None), trial(None)], false);
        assert!(matches!(few, Judgement::Flaky(_)), "{few:?}");
    }

    #[test]
    fn what_nobody_sees_needs_an_argument() {
        assert_eq!(unseen(Some("the pfn stays")), (Fate::Equivalent, true));
        assert_eq!(unseen(None), (Fate::Survived, false));
    }
}
