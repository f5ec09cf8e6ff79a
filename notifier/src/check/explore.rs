//! From a model to what an exploration says about it.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::model::Model;

use super::layout::{Layout, TooWide};
use super::program::Program;
use super::search::{End, Search, Teller};
use super::store::Store;
use super::{Limits, Outcome, Progress, Verdict};

/// Explores every interleaving of a model. `progress` is called now and then, from the calling thread; where it breaks, the
/// exploration ends there.
pub fn explore(
    model: &Model,
    limits: &Limits,
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Result<Outcome, TooWide> {
    let layout = Layout::new(model)?;
    Ok(match layout.words {
        0..=1 => packed::<1>(model, layout, limits, progress),
        2 => packed::<2>(model, layout, limits, progress),
        3 => packed::<3>(model, layout, limits, progress),
        4 => packed::<4>(model, layout, limits, progress),
        5..=6 => packed::<6>(model, layout, limits, progress),
        7..=8 => packed::<8>(model, layout, limits, progress),
        9..=12 => packed::<12>(model, layout, limits, progress),
        _ => packed::<16>(model, layout, limits, progress),
    })
}

/// The same, with states of `W` words.
fn packed<const W: usize>(
    model: &Model,
    layout: Layout,
    limits: &Limits,
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Outcome {
    let start = Instant::now();
    let program = Program::<W>::new(model, layout);
    let mut search = Search::new(&program, limits);
    let teller = Teller::new(progress);
    let end = search.run(&teller);
    let mut outcome = Outcome {
        verdict: Verdict::Holds,
        states: search.states,
        transitions: search.transitions,
        depth: search.levels.len() as u32 - 1,
        elapsed: start.elapsed(),
        peak_bytes: Store::<W>::bytes(search.states),
        state_bits: program.layout.bits,
        bound: None,
        violation: None,
    };
    match end {
        End::Exhausted => {}
        End::Bound(bound) => (outcome.verdict, outcome.bound) = (Verdict::Bounded, Some(bound)),
        End::Wrong(_) => outcome.verdict = Verdict::Fails,
    }
    outcome
}
