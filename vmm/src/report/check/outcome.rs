//! From the explorer's numbers to what is told of a case.

use super::{Agreement, CaseResult, Place, Random, TakenStep, Violated, Waiting};
use nostale_notifier::{
    check::{Bound, Cause, Outcome, Violation, agreement, is_vacuous},
    compile::{Case, DEFAULT, MemoryModel, Program},
    lang::{Sources, Span},
    model::{Model, State, StepId, eval, show},
};

/// The result of a case of the file at `path`.
#[must_use]
pub fn case(path: &str, program: &Program, case: &Case, model: &Model, outcome: &Outcome, random: Option<Random>) -> CaseResult {
    let told = Told { model, sources: program.sources() };
    let violation = outcome.violation.as_ref();
    let agreement = agreement(case, model, outcome);
    CaseResult {
        path: path.to_owned(),
        model: program.name.clone(),
        variant: case.variant.clone(),
        memory_model: case.memory.name(),
        expected: case.expected,
        expected_exactly: case.expected,
        expected_message: case.message.clone(),
        verdict: outcome.verdict,
        agrees: agreement == Agreement::Agrees,
        agreement,
        vacuous: is_vacuous(model, outcome),
        bound: outcome.bound.map(|bound| match bound {
            Bound::States => "states",
            Bound::Bytes => "bytes",
            Bound::Interrupted => "interrupted",
            Bound::Walks => "walks",
        }),
        random,
        states: outcome.states,
        transitions: outcome.transitions,
        depth: outcome.depth,
        seconds: outcome.elapsed.as_secs_f64(),
        peak_bytes: outcome.peak_bytes,
        state_bits: outcome.state_bits,
        violated: violation.map(|violation| told.violated(violation)),
        counterexample: violation.map(|violation| told.steps(violation)).unwrap_or_default(),
        waiting: violation.map(|violation| told.waiting(violation)).unwrap_or_default(),
        replay: replay(path, program, case, random),
    }
}

/// The line that checks this case alone.
fn replay(path: &str, program: &Program, case: &Case, random: Option<Random>) -> String {
    let mut line = format!("nostale check {}", quoted(path));
    if program.variants() != [DEFAULT] {
        line += &format!(" --ordering {}", quoted(&case.variant));
    }
    if case.memory != MemoryModel::Sc {
        line += &format!(" --memory-model {}", case.memory.name());
    }
    if let Some(Random { seed, walks, steps }) = random {
        line += &format!(" --random {seed} --walks {walks} --steps {steps}");
    }
    line
}

/// As a shell has to read it to get it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./+,=@:".contains(c);
    // Alone it is standard input.
    let option = word.starts_with('-') && word != "-";
    let path = if option { format!("./{word}") } else { word.to_owned() };
    if !path.is_empty() && path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

struct Told<'a> {
    model: &'a Model,
    sources: &'a Sources,
}

impl Told<'_> {
    fn place(&self, at: Span) -> Place {
        let library = self.sources.get(at.text).filter(|_| at.text > 0).map(|text| text.name.clone());
        Place { library, line: self.sources.line(at) }
    }

    fn violated(&self, violation: &Violation) -> Violated {
        let (kind, text, message, place) = match &violation.what {
            Cause::Property(id) => match self.model.properties.get(id.0 as usize) {
                Some(property) => ("property", property.text.clone(), property.message.clone(), Some(self.place(property.at))),
                None => ("property", String::new(), None, None),
            },
            Cause::Step { why, at } => ("step", why.clone(), None, Some(self.place(*at))),
            Cause::Deadlock => ("deadlock", "nothing can run, though not every thread has finished".to_owned(), None, None),
            Cause::Livelock => ("livelock", "no state in which all threads have finished can be reached".to_owned(), None, None),
        };
        Violated { kind, text, message, place }
    }

    fn steps(&self, violation: &Violation) -> Vec<TakenStep> {
        let round = violation
            .round
            .iter()
            .flat_map(|(begins, steps)| steps.iter().enumerate().map(move |(number, step)| (step, number >= *begins)));
        let way = violation.trace.iter().map(|step| (step, false)).chain(round);
        let mut before = &violation.first;
        let mut told = Vec::new();
        for ((id, after), repeats) in way {
            told.extend(self.step(before, *id, after, repeats));
            before = after;
        }
        if let (Cause::Step { at, .. }, Some(last)) = (&violation.what, told.last_mut()) {
            last.fails = true;
            last.failing = self.failing(last, *at);
        }
        told
    }

    /// What fails in a step, where that is not what the step is: what looks at local variables only happens together with the step before.
    fn failing(&self, step: &TakenStep, at: Span) -> Option<String> {
        const LONGEST: usize = 60;
        let lines = self.sources.slice(at).lines().map(|line| line.split('#').next().unwrap_or(""));
        let line = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        let place = self.place(at);
        if place == step.place && (step.step.contains(&line) || line.starts_with(step.step.trim_end_matches(" …"))) {
            return None;
        }
        let text = if line.chars().count() <= LONGEST {
            line
        } else {
            format!("{} …", line.chars().take(LONGEST - 2).collect::<String>().trim_end())
        };
        let library = place.library.map(|name| format!("{name}:")).unwrap_or_else(|| "line ".to_owned());
        Some(format!("{text} ({library}{})", place.line))
    }

    fn step(&self, before: &State, id: StepId, after: &State, repeats: bool) -> Option<TakenStep> {
        let step = self.model.steps.get(id.0 as usize)?;
        Some(TakenStep {
            thread: self.thread(step.thread.0),
            step: step.text.clone(),
            place: self.place(step.at),
            changes: show::told(self.model, before, id, after),
            fails: false,
            failing: None,
            repeats,
            beside: step.from.is_none(),
        })
    }

    fn thread(&self, id: u32) -> String {
        self.model.threads.get(id as usize).map(|thread| thread.name.clone()).unwrap_or_default()
    }

    /// In the end of a deadlock, and beside the round of a livelock.
    fn waiting(&self, violation: &Violation) -> Vec<Waiting> {
        let round = violation.round.as_ref().map(|(begins, steps)| steps.get(*begins..).unwrap_or_default());
        match (&violation.what, round) {
            (Cause::Deadlock, _) | (Cause::Livelock, Some(_)) => {}
            _ => return Vec::new(),
        }
        let round = round.unwrap_or_default();
        let last = round.last().or(violation.trace.last()).map_or(&violation.first, |(_, state)| state);
        let moves = |thread: u32| {
            round.iter().any(|(id, _)| self.model.steps.get(id.0 as usize).is_some_and(|step| step.thread.0 == thread))
        };
        let idle = (0u32..).zip(&self.model.threads).filter(|(id, _)| !moves(*id));
        idle.filter_map(|(id, thread)| {
            let at = eval::elements(self.model, last, thread.pc).first().copied();
            let here = |step: &&nostale_notifier::model::Step| step.thread.0 == id && step.from.is_some() && step.from == at;
            let step = self.model.steps.iter().find(here)?;
            // Beside a round a thread may well be able to run, only not to any end.
            let blocked = round.is_empty() || !eval::can_run(self.model, last, step);
            blocked.then(|| Waiting { thread: thread.name.clone(), step: step.text.clone(), place: self.place(step.at) })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::check::sample;

    #[test]
    fn a_shell_gets_back_what_was_quoted() {
        assert_eq!(quoted("a/b-1.nst"), "a/b-1.nst");
        assert_eq!(quoted("it's here.nst"), r"'it'\''s here.nst'");
        assert_eq!((quoted("").as_str(), quoted("--x").as_str()), ("''", "./--x"));
        assert_eq!(quoted("-"), "-");
    }

    #[test]
    fn a_replay_names_what_differs_from_the_default() {
        let lines = |text| sample::report("a b.nst", text).files.into_iter().map(|case| case.replay).collect::<Vec<_>>();
        assert_eq!(lines(sample::COUNT), ["nostale check 'a b.nst'"]);
        assert_eq!(
            lines(sample::BUFFERS),
            [
                "nostale check 'a b.nst' --ordering plain --memory-model tso",
                "nostale check 'a b.nst' --ordering fenced --memory-model tso"
            ]
        );
    }

    #[test]
    fn who_waits_is_told_of_a_deadlock_and_not_of_a_failure() {
        let waiting = |text| sample::report("a.nst", text).files.remove(0).waiting;
        let told: Vec<_> = waiting(sample::CROSSED).into_iter().map(|w| (w.thread, w.step, w.place.line)).collect();
        assert_eq!(told, [("one".to_owned(), "lock b".to_owned(), 3), ("two".to_owned(), "lock a".to_owned(), 4)]);
        assert!(waiting(sample::COUNT).is_empty());
    }
}
