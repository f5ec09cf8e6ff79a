//! The explorer against a naive one, on random models: counts, verdicts, and every step of every counterexample.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::ops::ControlFlow;

use nostale_notifier::check::{Cause, Limits, Outcome, Verdict, explore};
use nostale_notifier::model::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

mod support;

use support::naive::{self, Comes, Naive};
use support::*;

/// Makes models up.
struct Dice {
    random: Xoshiro256PlusPlus,
    vars: Vec<(VarId, i32, i32, i32)>,
}

impl Dice {
    fn below(&mut self, end: i32) -> i32 {
        self.random.random_range(0..end)
    }

    fn one_in(&mut self, chances: i32) -> bool {
        self.below(chances) == 0
    }

    /// An element, by a constant, outside, or by an expression.
    fn place(&mut self, depth: i32) -> (Place, i32, i32) {
        let which = self.below(self.vars.len() as i32);
        let (var, len, lo, hi) = self.vars[which as usize];
        let place = match self.below(4) {
            0 if len == 1 => place(var),
            0 | 1 => item(var, self.below(len)),
            2 => item(var, self.below(len + 2) - 1),
            _ => at(var, self.expr(depth - 1)),
        };
        (place, lo, hi)
    }

    fn expr(&mut self, depth: i32) -> Expr {
        if depth <= 0 || self.one_in(5) {
            return if self.one_in(2) { c(self.below(7) - 2) } else { read(&self.place(0).0) };
        }
        match self.below(10) {
            0 => read(&self.place(depth).0),
            1 => not(self.expr(depth - 1)),
            2 => Expr::Select(Box::new([self.expr(depth - 1), self.expr(depth - 1), self.expr(depth - 1)])),
            _ => {
                use BinOp::*;
                let ops = [Add, Sub, Mul, Div, Mod, Eq, Eq, Ne, Ne, Lt, Le, Gt, Ge, And, And, Or, Or];
                let op = ops[self.below(ops.len() as i32) as usize];
                bin(op, self.expr(depth - 1), self.expr(depth - 1))
            }
        }
    }

    /// A condition that is not too often the same.
    fn condition(&mut self) -> Expr {
        match self.below(4) {
            0 => eq(read(&self.place(1).0), c(self.below(4) - 1)),
            1 => and(ne(read(&self.place(1).0), c(self.below(3))), self.expr(2)),
            _ => self.expr(3),
        }
    }

    /// An assignment that stays in the domain.
    fn set(&mut self) -> Action {
        let (place, lo, hi) = self.place(2);
        let value = match self.below(4) {
            0 | 1 => c(lo + self.below(hi - lo + 1)),
            2 => add(bin(BinOp::Mod, self.expr(2), c(hi - lo + 1)), c(lo)),
            _ => {
                let same: Vec<_> = self.vars.iter().filter(|var| var.2 >= lo && var.3 <= hi).map(|var| var.0).collect();
                let from = same[self.below(same.len() as i32) as usize];
                if self.one_in(2) { read(&item(from, 0)) } else { read(&at(from, self.expr(1))) }
            }
        };
        set(&place, value)
    }

    fn actions(&mut self, depth: i32) -> Vec<Action> {
        let count = self.below(4);
        (0..count)
            .map(|_| match self.below(8) {
                0 if depth > 0 => Action::If(self.condition(), self.actions(depth - 1), self.actions(depth - 1)),
                1 if self.one_in(12) => {
                    let why = format!("check {}", self.below(3));
                    Action::Fail { when: and(self.condition(), self.condition()), why: why.into(), at: nowhere() }
                }
                2 if self.one_in(4) => {
                    let which = self.below(self.vars.len() as i32);
                    Action::Forget(self.vars[which as usize].0)
                }
                _ => self.set(),
            })
            .collect()
    }

    fn model(&mut self) -> Model {
        let mut b = Build::new("random");
        for number in 0..1 + self.below(4) {
            let lo = self.below(3) - 1;
            let hi = lo + self.below(4);
            let len = 1 + self.below(3);
            let inits: Vec<i32> = (0..len).map(|_| lo + self.below(hi - lo + 1)).collect();
            let var = b.var(&format!("v{number}"), Role::Shared, (lo, hi), &inits);
            self.vars.push((var, len, lo, hi));
        }
        for number in 0..1 + self.below(3) {
            let end = 1 + self.below(5);
            let t = b.thread(&format!("t{number}"), end);
            for pc in 0..end {
                for _ in 0..1 + self.below(2) {
                    let guard = if self.one_in(2) { c(1) } else { self.condition() };
                    let mut actions = self.actions(2);
                    // Mostly onwards; sometimes back, or nowhere.
                    let mut to = || if self.one_in(4) { self.below(end + 1) } else { pc + 1 };
                    let (there, elsewhere) = (set(&b.pc(t), c(to())), set(&b.pc(t), c(to())));
                    match self.below(6) {
                        0 => actions.push(Action::If(self.condition(), vec![there], vec![elsewhere])),
                        1 if self.one_in(4) => {}
                        _ => actions.insert(self.below(actions.len() as i32 + 1) as usize, there),
                    }
                    b.raw(t, Some(pc), guard, actions);
                }
            }
            if self.one_in(4) {
                let (guard, actions) = (self.condition(), vec![self.set()]);
                b.raw(t, None, guard, actions);
            }
        }
        for _ in 0..self.below(4) {
            let ask = [Ask::Always, Ask::Sometimes, Ask::Finally][self.below(3) as usize];
            let parts = [self.condition(), self.condition(), self.condition()];
            let [one, two, three] = parts;
            let condition = if ask == Ask::Sometimes { or(one, two) } else { and(or(one, two), or(three, self.condition())) };
            b.property(ask, "", condition);
        }
        b.model.forbid_deadlock = self.one_in(3);
        b.model.forbid_livelock = self.one_in(2);
        b.model
    }
}

/// Every step of the counterexample is one of the model's, and it takes the fewest changes of thread.
fn replay(model: &Model, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    let naive = Naive::new(model);
    assert_eq!(violation.first, naive.first());
    let mut state = violation.first.clone();
    let fails = matches!(violation.what, Cause::Step { .. });
    let (way, last) = violation.trace.split_at(violation.trace.len() - usize::from(fails));
    for (step, next) in way {
        assert!(naive.steps(&state).contains(&(*step, Comes::To(next.clone()))), "{step:?} does not lead to {next:?}");
        state = next.clone();
    }
    if let (Cause::Step { why, at }, [(step, before)]) = (&violation.what, last) {
        assert_eq!(*before, state);
        assert!(naive.steps(&state).contains(&(*step, Comes::Fails(*at, why.clone()))));
    }
    if let Some((begins, round)) = &violation.round {
        let mut seen = vec![state.clone()];
        for (step, next) in round {
            assert!(naive.steps(&state).contains(&(*step, Comes::To(next.clone()))));
            state = next.clone();
            seen.push(state.clone());
        }
        assert!(*begins < round.len() && seen[*begins] == state, "the round is one");
    } else {
        assert_ne!(outcome.verdict, Verdict::Livelock);
    }
    let thread = |step: &StepId| model.steps[step.0 as usize].thread;
    let changes = way.windows(2).filter(|pair| thread(&pair[0].0) != thread(&pair[1].0)).count();
    let fewest = match violation.what {
        Cause::Property(id) if !way.is_empty() => {
            naive::fewest_changes(model, way.len(), |naive, state| naive.violated(state).contains(&id.0))
        }
        Cause::Deadlock => {
            naive::fewest_changes(model, way.len(), |naive, state| naive.steps(state).is_empty() && !naive.finished(state))
        }
        _ => return,
    };
    assert_eq!(Some(changes), fewest);
}

fn compare(seed: u64) -> Option<Verdict> {
    let model = Dice { random: Xoshiro256PlusPlus::seed_from_u64(seed), vars: Vec::new() }.model();
    let limits = Limits { max_states: 3000, max_bytes: u64::MAX, workers: 1 };
    let outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).unwrap();
    if outcome.verdict == Verdict::Bounded {
        return None;
    }
    assert_eq!(naive::Said::of(&outcome), naive::explore(&model), "seed {seed}\n{model:#?}");
    replay(&model, &outcome);
    Some(outcome.verdict)
}

#[test]
fn random_models_agree_with_a_naive_explorer() {
    let mut count = std::collections::BTreeMap::new();
    let models = std::env::var("RANDOM_MODELS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500);
    for seed in 0..models {
        let told = std::panic::catch_unwind(|| compare(seed)).unwrap_or_else(|_| panic!("seed {seed}"));
        *count.entry(told.map_or("Bounded".into(), |verdict| format!("{verdict:?}"))).or_insert(0) += 1;
    }
    println!("{count:?}");
    for verdict in ["Holds", "Fails", "Deadlock", "Livelock"] {
        assert!(count.get(verdict).is_some_and(|&times| times >= models / 100), "too few of a kind: {count:?}");
    }
}
