//! The host threads of a scenario: operations, writers, third threads. Each can be told to end, and none is waited for without
//! a bound: a kernel that never returns from a system call is a finding too.

use super::{
    Plant, third,
    writer::{self, HostWriter},
};
use crate::{
    host::{
        knobs::Knobs,
        task::{Patience, Task},
    },
    machine::{AWAY, Vm},
    memory::{Arena, System},
    migration::Log,
    ops::{Bed, Done, HostOperation, Ledger, OperationError, Rng},
    oracle::Watch,
};
use rand::SeedableRng;
use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What one operation did.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) operations: AtomicU64,
    pub(super) pages: AtomicU64,
    /// Its thread, 0 before it starts.
    thread: AtomicI32,
}

/// What all host threads work on; it lives as long as the last of them.
#[derive(Debug)]
pub(super) struct Ground {
    /// The VM, once there is one: it goes before its memory.
    pub(super) vm: OnceLock<Arc<Vm>>,
    pub(super) arena: Arc<Arena>,
    pub(super) system: System,
    pub(super) watch: Arc<Watch>,
    pub(super) ledger: Ledger,
    pub(super) journeys: Mutex<Log>,
    pub(super) writers: Vec<HostWriter>,
    /// Name and tally of each operation.
    pub(super) operations: Vec<(&'static str, Tally)>,
    /// New pages that third threads saw first.
    pub(super) sightings: AtomicU64,
    pub(super) plant: Option<Plant>,
    knobs: Option<Knobs>,
    stop_operations: AtomicBool,
    stop_writers: AtomicBool,
}

impl Ground {
    pub(super) fn new(
        arena: Arc<Arena>,
        system: System,
        names: Vec<&'static str>,
        plant: Option<Plant>,
        knobs: Option<Knobs>,
    ) -> Self {
        Self {
            vm: OnceLock::new(),
            arena,
            system,
            // Actors: operations, a third thread, and the final judgement.
            watch: Arc::new(Watch::new(names.len() + 2)),
            ledger: Ledger::default(),
            journeys: Mutex::default(),
            writers: Vec::new(),
            operations: names.into_iter().map(|name| (name, Tally::default())).collect(),
            sightings: AtomicU64::new(0),
            plant,
            knobs,
            stop_operations: AtomicBool::new(false),
            stop_writers: AtomicBool::new(false),
        }
    }

    /// An operation that has not completed once.
    pub(super) fn idle(&self) -> Option<&'static str> {
        self.operations.iter().find(|(_, tally)| tally.operations.load(Relaxed) == 0).map(|(name, _)| *name)
    }

    /// What operation number `number` works on; a number behind the last one is the final judgement's.
    pub(super) fn bed(&self, number: usize) -> Bed<'_> {
        let name = self.operations.get(number).map_or("final check", |(name, _)| name);
        Bed {
            arena: &self.arena,
            system: &self.system,
            watch: &self.watch,
            ledger: &self.ledger,
            stop: &self.stop_operations,
            journeys: &self.journeys,
            knobs: self.knobs.as_ref(),
            actor: (number, name),
            vm: self.vm.get().map(Arc::as_ref),
            plant: self.plant,
        }
    }
}

/// Threads at work on a ground.
pub(super) struct Threads {
    ground: Arc<Ground>,
    operations: Vec<(&'static str, JoinHandle<Result<(), OperationError>>)>,
    others: Vec<(&'static str, JoinHandle<()>)>,
}

/// How the operation threads ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Operations that the host refused.
    pub(super) failed: Vec<(&'static str, OperationError)>,
    /// Operations that did not return, and where in the kernel they are.
    pub(super) stuck: Vec<String>,
}

impl Threads {
    pub(super) fn new(ground: &Arc<Ground>) -> Self {
        Self { ground: Arc::clone(ground), operations: Vec::new(), others: Vec::new() }
    }

    pub(super) fn start_operation(&mut self, number: usize, mut operation: Box<dyn HostOperation>, seed: u64) {
        let ground = Arc::clone(&self.ground);
        let name = ground.operations[number].0;
        self.operations.push((name, std::thread::spawn(move || repeat(operation.as_mut(), &ground, number, seed))));
    }

    pub(super) fn start_writer(&mut self, number: usize, seed: u64) {
        let ground = Arc::clone(&self.ground);
        let body = move || ground.writers[number].run(&ground.arena, &ground.system, seed, &ground.stop_writers);
        self.others.push(("a host writer", std::thread::spawn(body)));
    }

    pub(super) fn start_third(&mut self) {
        let ground = Arc::clone(&self.ground);
        let body = move || {
            let actor = ground.operations.len();
            third::watch(&ground.arena, &ground.system, &ground.watch, actor, &ground.stop_writers, &ground.sightings);
        };
        self.others.push(("a third thread", std::thread::spawn(body)));
    }

    /// Starts the thread of a planted fault that has one.
    pub(super) fn start_plant(&mut self) {
        if self.ground.plant == Some(Plant::OldCopy) {
            let ground = Arc::clone(&self.ground);
            let body = move || writer::restore_old_copies(&ground.arena, &ground.system, &ground.stop_operations);
            self.others.push(("a planted fault", std::thread::spawn(body)));
        }
    }

    /// Whether every operation has ended by itself.
    pub(super) fn operations_ended(&self) -> bool {
        self.operations.iter().all(|(_, thread)| thread.is_finished())
    }

    /// Ends the operations. Those that get nothing done for `bound` and do not return are left behind, with all that they work on.
    pub(super) fn end_operations(&mut self, bound: Duration) -> Ended {
        self.ground.stop_operations.store(true, Relaxed);
        let tallies = self.ground.operations.iter().map(|(_, tally)| tally);
        let mut waits: Vec<_> = tallies.map(|tally| Patience::new(Task::thread(tally.thread.load(Relaxed)), bound)).collect();
        // All of them are looked at, each time.
        while self.operations.iter().zip(&mut waits).fold(false, |waits, ((_, thread), wait)| {
            let over = wait.is_over();
            waits || !thread.is_finished() && !over
        }) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut ended = Ended::default();
        for ((name, thread), wait) in self.operations.drain(..).zip(waits) {
            if !thread.is_finished() {
                ended.stuck.push(format!("{name} ({})", wait.told()));
                continue;
            }
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => ended.failed.push((name, error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        ended
    }

    /// Ends writers and third threads; the names of those that do not end within `bound`.
    pub(super) fn end_others(&mut self, bound: Duration) -> Vec<&'static str> {
        self.ground.stop_writers.store(true, Relaxed);
        let deadline = Instant::now() + bound;
        while self.others.iter().any(|(_, thread)| !thread.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut stuck = Vec::new();
        for (name, thread) in self.others.drain(..) {
            match thread.is_finished() {
                false => stuck.push(name),
                true => {
                    if let Err(panic) = thread.join() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
        stuck
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // However this scenario is left, its threads must not go on.
        self.ground.stop_operations.store(true, Relaxed);
        self.ground.stop_writers.store(true, Relaxed);
    }
}

/// Repeats an operation until it is told to stop, or until there is nothing left to do.
fn repeat(operation: &mut dyn HostOperation, ground: &Ground, number: usize, seed: u64) -> Result<(), OperationError> {
    let (bed, mut rng) = (ground.bed(number), Rng::seed_from_u64(seed));
    let tally = &ground.operations[number].1;
    tally.thread.store(nix::unistd::gettid().as_raw(), Relaxed);
    while !ground.stop_operations.load(Relaxed) {
        match operation.perform(&bed, &mut rng)? {
            Done::Pages(pages) => {
                tally.operations.fetch_add(1, Relaxed);
                tally.pages.fetch_add(pages, Relaxed);
            }
            Done::Busy => std::thread::sleep(AWAY),
            // The others go on. How much each of them did is told one by one.
            Done::Exhausted if ground.operations.len() > 1 => return Ok(()),
            Done::Exhausted => ground.stop_operations.store(true, Relaxed),
        }
    }
    Ok(())
}
