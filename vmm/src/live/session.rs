//! One scenario, from an empty address space to a verdict.

use super::{
    Plant, Scenario,
    judge::{self, Conserved},
    third,
    watching::Watching,
    writer::{self, HostWriter},
};
use crate::{
    host::{clock, facts::Facts},
    machine::{GuestFinding, Machine, MachineConfig, MachineError, Observer, Privilege, Sample, Slot},
    memory::{Arena, ArenaError, Role, System},
    ops::{Bed, Done, Effect, HostOperation, Ledger, OperationError, Rng},
    oracle::{Findings, Watch, freshness, progress::Progress, vacuity},
    report::{ScenarioResult, Verdict},
};
use nostale_guest::{
    abi::{Program, layout},
    page::LINES,
};
use nostale_notifier::{Gpa, addr::PAGE_SIZE};
use rand::{RngExt, SeedableRng};
use std::{
    path::PathBuf,
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

/// How scenarios are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// vCPUs of each VM.
    pub vcpus: usize,
    /// Host threads that write beside them.
    pub host_writers: usize,
    /// Guest memory under test, in pages.
    pub pages: u64,
    /// Where everything random comes from.
    pub seed: u64,
    /// Where backing files are made.
    pub file_dir: PathBuf,
    /// How long a vCPU may be without progress.
    pub stall_bound: Duration,
    /// A deliberately wrong host.
    pub plant: Option<Plant>,
}

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

/// What happened while operations ran.
#[derive(Debug, Default)]
struct Tally {
    operations: AtomicU64,
    pages: AtomicU64,
}

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

struct Session<'a> {
    scenario: &'a Scenario,
    config: &'a Config,
    arena: Arc<Arena>,
    system: System,
    watch: Arc<Watch>,
    ledger: Ledger,
    operations: Vec<Box<dyn HostOperation>>,
    writers: Vec<HostWriter>,
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
        Ok(self.result(Run { seconds, start_us, check_us, lost, kvm, method, watching, failed, tally }))
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

    fn result(self, run: Run) -> ScenarioResult {
        let Run { seconds, start_us, check_us, lost, kvm, method, watching, failed, tally } = run;
        let (visits, write_visits) = judge::visits(&self.system);
        let host_visits: u64 = self.writers.iter().map(|writer| writer.visits.load(Relaxed)).sum();
        let operations = tally.operations.load(Relaxed);
        let Findings { violations, counts, stale_writes } = self.watch.take();
        let stale_reads: u64 = self.system.all_vcpus().map(|vcpu| vcpu.counts.findings.load(Relaxed)).sum();
        let Watching { stuck, failure, huge_bytes, efaults, .. } = watching;

        let vacuous = vacuity::judge(&kvm, visits, operations);
        let (verdict, reason) = if !counts.is_empty() {
            let oracles: Vec<_> = counts.iter().map(|(oracle, n)| format!("{oracle} ({n})")).collect();
            (Verdict::Violation, Some(oracles.join(", ")))
        } else if let Some(failure) = failure {
            // A vCPU that failed before it had a single translation says nothing about coherency.
            if kvm.installs() == 0 {
                (Verdict::Vacuous, Some(format!("no translation was installed, and then {failure}")))
            } else {
                (Verdict::Violation, Some(failure))
            }
        } else if let Some(stuck) = stuck {
            (Verdict::Stuck, Some(format!("no progress: {stuck}")))
        } else if let Some(error) = failed.first() {
            (Verdict::Vacuous, Some(format!("an operation failed: {error}")))
        } else if let Some(reason) = vacuous {
            (Verdict::Vacuous, Some(reason))
        } else {
            (Verdict::Coherent, None)
        };
        let lines = LINES as u64;
        let longest = self.system.all_vcpus().map(|vcpu| vcpu.counts.longest_gap.load(Relaxed)).max().unwrap_or(0);
        ScenarioResult {
            name: self.scenario.name(),
            backing: self.scenario.backing.name().to_owned(),
            verdict,
            reason,
            method,
            seconds,
            operations,
            operations_per_second: operations as f64 / seconds,
            pages: tally.pages.load(Relaxed),
            guest_writes: write_visits * lines,
            host_writes: host_visits * lines,
            writes_per_second: ((write_visits + host_visits) * lines) as f64 / seconds,
            lost_writes: lost,
            stale_writes,
            stale_reads,
            longest_stall_us: clock::microseconds(longest),
            invalidations: kvm.invalidations(),
            installs: kvm.installs(),
            efaults,
            huge_bytes,
            start_us,
            check_us,
            kvm,
            violations,
            replay: replay(self.scenario, self.config, seconds),
        }
    }
}

/// What is known when a scenario's threads have ended.
struct Run {
    seconds: f64,
    start_us: f64,
    check_us: f64,
    lost: u64,
    kvm: Sample,
    method: Option<String>,
    watching: Watching,
    failed: Vec<OperationError>,
    tally: Tally,
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
            Done::Busy => std::thread::yield_now(),
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

/// The line that runs this scenario alone, with the same choices.
pub(super) fn replay(scenario: &Scenario, config: &Config, seconds: f64) -> String {
    let plant = config.plant.map_or(String::new(), |plant| format!(" --plant {plant}"));
    format!(
        "nostale run --ops {} --backing {} --vcpus {} --host-writers {} --memory {}K --seconds {} --seed {:#x}{plant}",
        scenario.name(),
        scenario.backing,
        config.vcpus,
        config.host_writers,
        config.pages * PAGE_SIZE / 1024,
        seconds.ceil().max(1.0),
        config.seed,
    )
}
