//! One scenario, from an empty address space to a verdict.

use super::{
    Config, Plant, Scenario,
    judge::{self, Conserved},
    third,
    verdict::{self, Run, Tally},
    watching::Watching,
    writer::{self, HostWriter},
};
use crate::{
    host::facts::Facts,
    machine::{AWAY, GuestFinding, Machine, MachineConfig, MachineError, Observer, Privilege, Slot},
    memory::{Arena, ArenaError, Role, System},
    ops::{Bed, Done, Effect, HostOperation, Ledger, OperationError, Rng},
    oracle::{Watch, freshness, progress::Progress},
    report::ScenarioResult,
};
use nostale_guest::abi::{Program, layout};
use nostale_notifier::{Gpa, addr::PAGE_SIZE};
use rand::{RngExt, SeedableRng};
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};
use thiserror::Error;

/// Why a scenario could not be run.
#[derive(Debug, Error)]
pub enum SessionError {
    /// No guest memory.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// No system slot.
    #[error("cannot make the system slot: {0}")]
    System(std::io::Error),
    /// No machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// An operation cannot be set up.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The guest did not start.
    #[error("vCPU {vcpu} wrote nothing within {bound:?}: {state}")]
    NoStart {
        /// Which.
        vcpu: usize,
        /// How long was waited.
        bound: Duration,
        /// What it is doing.
        state: String,
    },
}

/// How often the run is looked at while it goes on.
const TICK: Duration = Duration::from_millis(20);
/// How long vCPUs and their threads may take to stop.
const STOP_BOUND: Duration = Duration::from_secs(10);

struct SessionObserver {
    arena: Arc<Arena>,
    watch: Arc<Watch>,
    operation: String,
    hold: AtomicBool,
}

impl Observer for SessionObserver {
    fn finding(&self, finding: GuestFinding) {
        self.watch.report(freshness::violation(finding, &self.operation, &self.arena));
    }

    fn before_entry(&self, vcpu: usize) {
        while vcpu == 0 && self.hold.load(Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Runs `scenario` for `time`, or until `interrupted`.
///
/// # Errors
/// When it could not be set up. What goes wrong later is a verdict.
pub fn run_scenario(
    scenario: &Scenario,
    config: &Config,
    facts: &Facts,
    time: Duration,
    interrupted: &AtomicBool,
) -> Result<ScenarioResult, SessionError> {
    Session::new(scenario, config, facts)?.run(time, interrupted)
}

/// Operations a second of `scenario` in a bare loop: the same operations on the same memory, with every page in use, but without
/// a VM and without any writer.
///
/// # Errors
/// When it could not be set up, or an operation fails.
pub fn bare_rate(scenario: &Scenario, config: &Config, facts: &Facts, time: Duration) -> Result<f64, SessionError> {
    let mut session = Session::new(scenario, config, facts)?;
    for page in 0..config.pages {
        let _ = session.arena.store_word(session.arena.hva(page), nostale_guest::page::VALUE, 0);
    }
    let mut operations = std::mem::take(&mut session.operations);
    let (tally, stop) = (Tally::default(), AtomicBool::new(false));
    let from = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = operations
            .iter_mut()
            .enumerate()
            .map(|(number, operation)| {
                let bed = session.bed(number, scenario.operations[number].name);
                let (tally, stop) = (&tally, &stop);
                scope.spawn(move || repeat(operation.as_mut(), &bed, config.seed, tally, stop))
            })
            .collect();
        while from.elapsed() < time && !threads.iter().all(|thread| thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Relaxed);
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(tally.operations.load(Relaxed) as f64 / from.elapsed().as_secs_f64())
}

pub(super) struct Session<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) config: &'a Config,
    arena: Arc<Arena>,
    pub(super) system: System,
    pub(super) watch: Arc<Watch>,
    ledger: Ledger,
    operations: Vec<Box<dyn HostOperation>>,
    pub(super) writers: Vec<HostWriter>,
    rng: Rng,
    replaces: bool,
}

impl<'a> Session<'a> {
    fn new(scenario: &'a Scenario, config: &'a Config, facts: &Facts) -> Result<Self, SessionError> {
        let mut rng = Rng::seed_from_u64(config.seed ^ name_hash(&scenario.to_string()));
        let arena = Arc::new(Arena::new(scenario.backing, config.pages, &config.file_dir)?);
        let stale = config.plant.is_some_and(Plant::is_stale) && arena.witness().is_some();
        let roles: Vec<Role> = (0..config.vcpus)
            .map(|vcpu| Role {
                program: Program::Storm,
                seed: rng.random(),
                arena: if stale && vcpu == 0 { alias_gpa(config.pages) } else { layout::ARENA },
            })
            .collect();
        let system = System::new(config.pages, &roles).map_err(SessionError::System)?;
        let replaces = scenario.effects().any(|effect| effect != Effect::Preserves);
        // Actors: operations, a third thread, and the final judgement.
        let watch = Arc::new(Watch::new(scenario.operations.len() + 2));
        let ledger = Ledger::default();
        let silent = config.plant == Some(Plant::StillRunning);
        let bed =
            |number, name| Bed { arena: &arena, system: &system, watch: &watch, ledger: &ledger, actor: (number, name), silent };
        let operations = scenario.operations.iter().enumerate();
        let operations =
            operations.map(|(n, operation)| (operation.make)(&bed(n, operation.name), facts)).collect::<Result<_, _>>()?;
        let writers = (0..config.host_writers as u64).map(|number| HostWriter {
            number,
            of: config.host_writers as u64,
            values: !replaces,
            lies: config.plant == Some(Plant::UnwrittenValue),
            tally: (0..config.pages).map(|_| AtomicU32::new(0)).collect(),
            visits: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        });
        let writers = writers.collect();
        Ok(Self { scenario, config, arena, system, watch, ledger, operations, writers, rng, replaces })
    }

    fn run(mut self, time: Duration, interrupted: &AtomicBool) -> Result<ScenarioResult, SessionError> {
        let begin = Instant::now();
        let mut machine = self.machine()?;
        let observer = Arc::new(SessionObserver {
            arena: Arc::clone(&self.arena),
            watch: Arc::clone(&self.watch),
            operation: self.scenario.name(),
            hold: AtomicBool::new(false),
        });
        let observing: Arc<dyn Observer> = observer.clone();
        machine.start(&observing)?;
        self.wait_for_first_write(&machine)?;
        let start_us = begin.elapsed().as_secs_f64() * 1e6;

        let mut operations = std::mem::take(&mut self.operations);
        let method = operations.iter().find_map(|operation| operation.method()).map(str::to_owned);
        let seeds: Vec<u64> = (0..operations.len() + self.writers.len()).map(|_| self.rng.random()).collect();
        let before = machine.sample().map_err(MachineError::from)?;
        let tally = Tally::default();
        let (stop_operations, stop_writers) = (AtomicBool::new(false), AtomicBool::new(false));
        let sightings = AtomicU64::new(0);
        let from = Instant::now();
        let mut watching = Watching::new(before);

        let failed = std::thread::scope(|scope| {
            // Whatever ends this scope early must end its threads too.
            let _stop = StopAll([&stop_operations, &stop_writers], &observer.hold);
            for (writer, &seed) in self.writers.iter().zip(&seeds[operations.len()..]) {
                let (arena, system, stop) = (&self.arena, &self.system, &stop_writers);
                scope.spawn(move || writer.run(arena, system, seed, stop));
            }
            if self.replaces {
                let (arena, system, watch, actor) = (&self.arena, &self.system, &self.watch, self.scenario.operations.len());
                let (stop, seen) = (&stop_writers, &sightings);
                scope.spawn(move || third::watch(arena, system, watch, actor, stop, seen));
            }
            if self.config.plant == Some(Plant::OldCopy) {
                scope.spawn(|| writer::restore_old_copies(&self.arena, &self.system, &stop_operations));
            }
            let threads: Vec<_> = operations
                .iter_mut()
                .zip(&seeds)
                .enumerate()
                .map(|(number, (operation, &seed))| {
                    let bed = self.bed(number, self.scenario.operations[number].name);
                    let (tally, stop) = (&tally, &stop_operations);
                    scope.spawn(move || repeat(operation.as_mut(), &bed, seed, tally, stop))
                })
                .collect();
            let mut progress = Progress::new(self.config.vcpus, self.config.stall_bound, Instant::now());
            let mut held = false;
            while from.elapsed() < time && !interrupted.load(Relaxed) && watching.go_on() {
                if threads.iter().all(|thread| thread.is_finished()) {
                    break;
                }
                if self.config.plant == Some(Plant::HeldVcpu) && !held && from.elapsed() > time / 4 {
                    held = true;
                    observer.hold.store(true, Release);
                    let _ = machine.pause(STOP_BOUND);
                    machine.resume();
                }
                std::thread::sleep(TICK.min(time.saturating_sub(from.elapsed())));
                watching.look(&machine, &self.arena, &self.system, &mut progress);
            }
            stop_operations.store(true, Relaxed);
            let failed = threads.into_iter().filter_map(|thread| match thread.join() {
                Ok(result) => result.err(),
                Err(panic) => std::panic::resume_unwind(panic),
            });
            let failed: Vec<OperationError> = failed.collect();
            // Nothing is in anybody's way any more: now every vCPU must get on.
            self.let_all_progress(&machine, &mut watching, &mut progress);
            if watching.stuck.is_none() {
                watching.stuck = machine.stop(STOP_BOUND).err().map(|stuck| stuck.to_string());
            }
            failed
        });
        let seconds = from.elapsed().as_secs_f64();
        // vCPUs that failed or are stuck left in the middle of a visit: their tallies cannot be compared with anything.
        watching.note_failures(&machine);
        let after = machine.sample().map_err(MachineError::from)?;
        if let Err(stuck) = machine.join(STOP_BOUND) {
            watching.stuck.get_or_insert(stuck.to_string());
        }

        let check = Instant::now();
        let bed = self.bed(self.scenario.operations.len() + 1, "final check");
        let whole = watching.stuck.is_none() && watching.failure.is_none();
        let how = Conserved::by(self.scenario.effects());
        let lost = if whole { judge::conservation(&bed, &self.writers, how) } else { 0 };
        judge::parked(&bed);
        let check_us = check.elapsed().as_secs_f64() * 1e6;

        let kvm = watching.with_most(after.since(&before));
        Ok(verdict::conclude(
            self.scenario,
            self.config,
            Run {
                system: &self.system,
                watch: &self.watch,
                writers: &self.writers,
                seconds,
                start_us,
                check_us,
                lost,
                kvm,
                method,
                watching,
                failed,
                tally,
            },
        ))
    }

    fn bed(&self, number: usize, name: &'static str) -> Bed<'_> {
        Bed {
            arena: &self.arena,
            system: &self.system,
            watch: &self.watch,
            ledger: &self.ledger,
            actor: (number, name),
            silent: self.config.plant == Some(Plant::StillRunning),
        }
    }

    fn machine(&self) -> Result<Machine, MachineError> {
        let mut slots = vec![Slot { gpa: Gpa::new(layout::ARENA), hva: self.arena.home() }];
        if let (true, Some(witness)) = (self.config.plant.is_some_and(Plant::is_stale), self.arena.witness()) {
            slots.push(Slot { gpa: Gpa::new(alias_gpa(self.config.pages)), hva: witness });
        }
        let privilege = if self.config.plant == Some(Plant::Ring0) { Privilege::Supervisor } else { Privilege::User };
        Machine::new(&MachineConfig { system: &self.system, slots: &slots, privilege })
    }

    fn wait_for_first_write(&self, machine: &Machine) -> Result<(), SessionError> {
        let deadline = Instant::now() + STOP_BOUND;
        for (vcpu, view) in machine.views().enumerate() {
            let wrote = || self.system.vcpu(vcpu).is_some_and(|block| block.counts.write_visits.load(Relaxed) > 0);
            while !wrote() {
                let state = view.state();
                if state.is_final() || Instant::now() > deadline {
                    return Err(SessionError::NoStart { vcpu, bound: STOP_BOUND, state: format!("{state:?}") });
                }
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        Ok(())
    }

    /// Waits until every vCPU has completed visits that began after the last operation.
    fn let_all_progress(&self, machine: &Machine, watching: &mut Watching, progress: &mut Progress) {
        let visits = |system: &System| system.all_vcpus().map(|vcpu| vcpu.counts.visits.load(Relaxed)).collect::<Vec<_>>();
        let start = visits(&self.system);
        while watching.go_on() && visits(&self.system).iter().zip(&start).any(|(now, then)| now <= then) {
            std::thread::sleep(Duration::from_micros(200));
            watching.look(machine, &self.arena, &self.system, progress);
        }
    }
}

/// Repeats an operation until `stop`, or until there is nothing left to do.
fn repeat(
    operation: &mut dyn HostOperation,
    bed: &Bed<'_>,
    seed: u64,
    tally: &Tally,
    stop: &AtomicBool,
) -> Result<(), OperationError> {
    let mut rng = Rng::seed_from_u64(seed);
    while !stop.load(Relaxed) {
        match operation.perform(bed, &mut rng)? {
            Done::Pages(pages) => {
                tally.operations.fetch_add(1, Relaxed);
                tally.pages.fetch_add(pages, Relaxed);
            }
            Done::Busy => std::thread::sleep(AWAY),
            Done::Exhausted => break,
        }
    }
    Ok(())
}

/// Ends all threads of a scope, however it is left.
struct StopAll<'a>([&'a AtomicBool; 2], &'a AtomicBool);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|stop| stop.store(true, Relaxed));
        self.1.store(false, Release);
    }
}

/// Where a second memslot shows the witness to a guest that is made to use a stale translation.
fn alias_gpa(pages: u64) -> u64 {
    (layout::ARENA + pages * PAGE_SIZE).next_multiple_of(1 << 30)
}

/// FNV-1a: the same scenario gets the same random choices, whichever others run beside it.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
