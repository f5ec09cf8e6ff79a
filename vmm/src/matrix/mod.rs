//! The same run inside several kernels.
//!
//! Each kernel is booted in QEMU ([`l1`](crate::l1)) and runs the same scenarios with the same seed; kernels run at once as far
//! as the host's cores go. Whatever becomes of one of them is its result.

mod column;
mod judge;
mod plan;
mod replay;
mod seen;

pub use plan::{Candidate, Impossible, Machines, MatrixPlan};
pub use replay::quoted;

use crate::report::{
    ScenarioResult, Verdict,
    matrix::{KernelResult, MatrixReport},
};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// How far a kernel is.
#[derive(Debug)]
pub enum Step<'a> {
    /// Its machine is starting: the first, or one to see again what went wrong.
    Boots {
        /// How many there were before.
        before: usize,
        /// How long its scenarios should take.
        planned: Duration,
    },
    /// A scenario starts.
    Starts {
        /// Its operations.
        name: &'a str,
        /// Its guest memory.
        backing: &'a str,
        /// How long it should take.
        planned: Duration,
    },
    /// A scenario has ended.
    Ends(&'a ScenarioResult),
    /// The kernel has its result.
    Done(&'a KernelResult),
}

/// Runs the plan until `interrupted`; `on` hears from each kernel, by its number, how it goes.
#[must_use]
pub fn run(plan: &MatrixPlan<'_>, interrupted: &AtomicBool, on: &(dyn Fn(usize, Step<'_>) + Sync)) -> MatrixReport {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(candidate) = plan.kernels.get(number) else { return };
            let result = column::run(plan, number, candidate, interrupted, &|step| on(number, step));
            on(number, Step::Done(&result));
            results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.clamp(1, plan.kernels.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    let kernels: Vec<KernelResult> = results.into_iter().map(|(_, result)| result).collect();
    let interrupted = interrupted.load(Relaxed);
    let mut notes = Vec::new();
    if interrupted {
        let begun = kernels.iter().filter(|kernel| kernel.verdict != Verdict::Skipped).count();
        notes.push(format!("interrupted when {begun} of {} kernels had results", kernels.len()));
    }
    MatrixReport {
        version: 1,
        verdict: Verdict::of(kernels.iter().map(|kernel| kernel.verdict)),
        seed: plan.seed,
        setup: plan.setup(),
        interrupted,
        kernels,
        notes,
    }
}
