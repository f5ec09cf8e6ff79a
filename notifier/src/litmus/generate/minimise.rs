//! Which programs catch an ordering that nothing weaker catches.

use super::{
    GenerateError, Options, Progress,
    judge::{BROKEN, Signature, catches},
    program::Program,
};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

/// What was found.
pub(super) struct Found {
    pub(super) tests: Vec<Program>,
    pub(super) programs: usize,
    pub(super) explored: usize,
    pub(super) states: u64,
}

/// What programs catch: a set of signatures.
#[derive(Clone, Copy, Default)]
struct Caught(u8);

impl Caught {
    fn with(self, signature: Signature) -> Self {
        if signature.is_empty() { self } else { Self(self.0 | 1 << signature.number()) }
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn signatures(self) -> impl Iterator<Item = Signature> {
        Signature::all().filter(move |signature| self.0 >> signature.number() & 1 != 0)
    }

    fn covers(self, signature: Signature) -> bool {
        self.signatures().any(|known| known.covers(signature))
    }

    /// One that has the most in it.
    fn greatest(self) -> Signature {
        self.signatures().max_by_key(|signature| signature.count()).unwrap_or_default()
    }
}

/// Looks at all programs, the lightest first, so that all that is weaker than a program is known before it.
pub(super) fn minimise(
    options: &Options,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Found, GenerateError> {
    let mut by_weight: BTreeMap<usize, Vec<Program>> = BTreeMap::new();
    for program in Program::all(options.accesses) {
        by_weight.entry(program.weight()).or_default().push(program);
    }
    let programs = by_weight.values().map(Vec::len).sum();
    let mut found = Found { tests: Vec::new(), programs, explored: 0, states: 0 };
    // Of each program: what it and all that is weaker catch.
    let mut known: BTreeMap<Program, Caught> = BTreeMap::new();
    let mut settled = 0;
    for programs in by_weight.into_values() {
        let mut open = Vec::new();
        for program in programs {
            let weaker = program.weakened();
            let below =
                weaker.iter().filter_map(|weaker| known.get(weaker)).fold(Caught::default(), |all, caught| all.or(*caught));
            if options.minimal && below.covers(BROKEN) {
                known.insert(program, below);
                settled += 1;
            } else {
                open.push((program, below));
            }
        }
        let before = Progress { settled, programs: found.programs, states: found.states };
        let caught = explored(&open, options, before, progress)?;
        settled += open.len();
        found.explored += open.len();
        for ((program, below), (signature, states)) in open.into_iter().zip(caught) {
            found.states += states;
            let is_needless = options.minimal && below.covers(signature);
            if !signature.is_empty() && !is_needless {
                found.tests.push(program.clone());
            }
            known.insert(program, below.with(signature));
        }
    }
    Ok(found)
}

/// What each of these programs catches beyond what is below it, and the states seen for that.
fn explored(
    open: &[(Program, Caught)],
    options: &Options,
    before: Progress,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Vec<(Signature, u64)>, GenerateError> {
    let (next, states, stop) = (AtomicUsize::new(0), AtomicU64::new(before.states), AtomicBool::new(false));
    let worker = || {
        let mut done = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((program, below)) = open.get(at) else { break };
            let known = if options.minimal { below.greatest() } else { Signature::default() };
            let result = catches(program, known);
            let seen = result.as_ref().map_or(0, |(_, states)| *states);
            let now =
                Progress { settled: before.settled + at, states: states.fetch_add(seen, Ordering::Relaxed) + seen, ..before };
            if result.is_err() || progress(now).is_break() {
                stop.store(true, Ordering::Relaxed);
            }
            done.push((at, result));
        }
        done
    };
    let mut all: BTreeMap<usize, Result<(Signature, u64), GenerateError>> = BTreeMap::new();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..options.workers.min(open.len())).map(|_| scope.spawn(worker)).collect();
        all.extend(worker());
        for other in others {
            // A worker that panicked has said so, and leaves a hole.
            all.extend(other.join().unwrap_or_default());
        }
    });
    let whole = all.len() == open.len();
    let results = all.into_values().collect::<Result<Vec<_>, _>>()?;
    if whole { Ok(results) } else { Err(GenerateError::Interrupted) }
}
