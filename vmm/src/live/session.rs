//! One scenario, from an empty address space to a verdict.

use super::{
    Config, Plant, Scenario,
    judge::{self, Conserved},
    knobs::Held,
    threads::{Ended, Ground, Threads},
    verdict::{self, Run},
    watching::Watching,
    writer::HostWriter,
};
use crate::{
    host::facts::Facts,
    machine::{GuestFinding, Layout, Machine, MachineConfig, MachineError, Observer, Privilege, Sample, Slot},
    memory::{Arena, ArenaError, Role, System},
    migration::SILENCE,
    ops::{Effect, HostOperation, OperationError, Rng},
    oracle::{Access, Oracle, Violation, Watch, freshness, progress::Progress},
    report::ScenarioResult,
};
use nostale_guest::{abi::Program, page::VALUE};
use nostale_notifier::Gpa;
use rand::{RngExt, SeedableRng};
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};
use thiserror::Error;

/// Why a scenario could not be set up.
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
    /// There is no doing it without a VM.
    #[error("{0} changes the VM itself: it has no bare loop")]
    WantsVm(&'static str),
    /// An operation cannot be set up, or failed where nothing may.
    #[error(transparent)]
    Operation(#[from] OperationError),
}

/// How often the run is looked at while it goes on.
const TICK: Duration = Duration::from_millis(20);
/// How much longer than its time a scenario goes on until each of its operations has completed once. What did nothing proves nothing,
/// and on a busy host the share of one scenario of a whole run may be shorter than an operation's first round.
const FIRST_ROUND: Duration = Duration::from_secs(2);
/// How long threads that get nothing done may take to stop, at least.
const STOP_BOUND: Duration = Duration::from_secs(10);

struct SessionObserver {
    arena: Arc<Arena>,
    watch: Arc<Watch>,
    operation: String,
    hold: AtomicBool,
    /// Whether the guest is one that KVM may interpret, all of it (a planted fault).
    interpreted: bool,
}

impl Observer for SessionObserver {
    fn finding(&self, finding: GuestFinding) {
        self.watch.report(freshness::violation(finding, &self.operation, &self.arena));
    }

    fn missed_slot(&self, vcpu: usize, gpa: Gpa, write: bool) {
        // Where KVM interprets every access, a page that is away for a moment looks the same, again and again.
        if self.interpreted {
            return;
        }
        let access = if write { Access::Write } else { Access::Read };
        let detail = format!(
            "vcpu {vcpu} was entered when there was a memslot at gpa {gpa}, and KVM takes its accesses there for MMIO again and again: \
             it still uses what it remembered from the time when there was none"
        );
        let mut violation = Violation::new(Oracle::Freshness, &self.operation, detail);
        (violation.writer, violation.access) = (Some(format!("vcpu {vcpu}")), Some(access));
        self.watch.report(violation);
    }

    fn before_entry(&self, vcpu: usize) {
        while vcpu == 0 && self.hold.load(Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Lets a held vCPU go, however a scenario is left.
struct LetGo<'a>(&'a AtomicBool);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

/// Runs `scenario` for `time`, or until `interrupted`, and leaves all host settings alone.
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
    Session::new(scenario, config, facts, &Held::default())?.run(time, &mut || interrupted.load(Relaxed))
}

/// Operations a second of `scenario` in a bare loop: the same operations on the same memory, with every page in use, but without
/// a VM and without any writer.
///
/// # Errors
/// When it could not be set up, or an operation fails.
pub fn bare_rate(scenario: &Scenario, config: &Config, facts: &Facts, time: Duration) -> Result<f64, SessionError> {
    if let Some(operation) = scenario.operations.iter().find(|operation| operation.machine.vm) {
        return Err(SessionError::WantsVm(operation.name));
    }
    let mut session = Session::new(scenario, config, facts, &Held::default())?;
    let arena = &session.ground.arena;
    for page in 0..arena.pages() {
        let _ = arena.store_word(arena.hva(page), VALUE, 0);
    }
    let mut threads = Threads::new(&session.ground);
    let from = Instant::now();
    for (number, operation) in std::mem::take(&mut session.operations).into_iter().enumerate() {
        threads.start_operation(number, operation, config.seed);
    }
    while from.elapsed() < time && !threads.operations_ended() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let ended = threads.end_operations(session.bound());
    if let Some((_, error)) = ended.failed.into_iter().next() {
        return Err(error.into());
    }
    let operations: u64 = session.ground.operations.iter().map(|(_, tally)| tally.operations.load(Relaxed)).sum();
    Ok(operations as f64 / from.elapsed().as_secs_f64())
}

/// A scenario that is set up.
pub(super) struct Session<'a> {
    scenario: &'a Scenario,
    config: &'a Config,
    layout: Layout,
    slots: Vec<Slot>,
    ground: Arc<Ground>,
    operations: Vec<Box<dyn HostOperation>>,
    rng: Rng,
    replaces: bool,
}

impl<'a> Session<'a> {
    /// Sets `scenario` up, with what is `held` for it.
    pub(super) fn new(scenario: &'a Scenario, config: &'a Config, facts: &Facts, held: &Held) -> Result<Self, SessionError> {
        let mut rng = Rng::seed_from_u64(config.seed ^ name_hash(&scenario.to_string()));
        let file_dir = held.disk.as_deref().unwrap_or(&config.file_dir);
        let arena = Arc::new(Arena::new(scenario.backing, scenario.pages(config.pages), file_dir)?);
        let stale = config.plant.is_some_and(Plant::is_stale) && arena.witness().is_some();
        let pages = arena.pages();
        // Choices of their own, so that a layout that was asked for leaves all others as they are.
        let mut shape = Rng::seed_from_u64(config.seed.rotate_left(32) ^ name_hash(&scenario.to_string()));
        let drawn = Layout::draw(&mut shape);
        let layout = match config.layout.unwrap_or(drawn) {
            Layout::Alias if scenario.demands().is_ok_and(|demands| demands.once) => Layout::Plain,
            layout => layout,
        };
        let bases = layout.bases(pages, &mut shape);
        let mut slots = layout.slots(&arena, &bases, &mut shape);
        let end = slots.iter().map(|slot| slot.end().get()).max().unwrap_or(0).next_multiple_of(1 << 30);
        if stale {
            slots.extend(Slot::witness(Gpa::new(end), &arena));
        }
        let roles: Vec<Role> = (0..config.vcpus)
            .map(|vcpu| Role {
                program: Program::Storm,
                seed: rng.random(),
                arena: if stale && vcpu == 0 { end } else { bases[vcpu % bases.len()] },
            })
            .collect();
        let system = System::new(pages, &roles).map_err(SessionError::System)?;
        let replaces = scenario.effects().any(|effect| effect != Effect::Preserves);
        let names = scenario.operations.iter().map(|operation| operation.name).collect();
        let mut ground = Ground::new(arena, system, names, config.plant, held.knobs.clone());
        let operations = scenario.operations.iter().enumerate();
        let operations = operations.map(|(n, operation)| (operation.make)(&ground.bed(n), facts)).collect::<Result<_, _>>()?;
        let lies = config.plant == Some(Plant::UnwrittenValue);
        let of = config.host_writers as u64;
        ground.writers = (0..of).map(|number| HostWriter::new(number, of, pages, !replaces, lies)).collect();
        Ok(Self { scenario, config, layout, slots, ground: Arc::new(ground), operations, rng, replaces })
    }

    /// How long threads may take to stop.
    fn bound(&self) -> Duration {
        // A guest that is being migrated is so page by page, and one that is lost on the way is found to be, which says more than that
        // somebody still waits for it.
        let migrating = if self.ground.arena.devices().is_some() {
            SILENCE + Duration::from_micros(50) * self.config.pages as u32
        } else {
            Duration::ZERO
        };
        STOP_BOUND.max(self.config.stall_bound) + migrating
    }

    /// Runs it for `time`, or until there is `enough` of it for another reason.
    pub(super) fn run(mut self, time: Duration, enough: &mut dyn FnMut() -> bool) -> Result<ScenarioResult, SessionError> {
        let begin = Instant::now();
        let mut machine = self.machine()?;
        let _ = self.ground.vm.set(Arc::clone(machine.vm()));
        let observer = Arc::new(SessionObserver {
            arena: Arc::clone(&self.ground.arena),
            watch: Arc::clone(&self.ground.watch),
            operation: self.scenario.name(),
            hold: AtomicBool::new(false),
            interpreted: self.config.plant == Some(Plant::Ring0),
        });
        let observing: Arc<dyn Observer> = observer.clone();
        machine.start(&observing)?;
        let mut watching = Watching::new(Sample::default());
        self.wait_for_first_write(&machine, &mut watching);
        let start_us = begin.elapsed().as_secs_f64() * 1e6;
        let before = machine.sample().map_err(MachineError::from)?;

        let method = self.operations.iter().find_map(|operation| operation.method()).map(str::to_owned);
        let from = Instant::now();
        let ended = {
            let _release = LetGo(&observer.hold);
            let threads = self.start_threads();
            let mut progress = Progress::new(self.config.vcpus, self.config.stall_bound, Instant::now());
            let mut held = self.config.plant != Some(Plant::HeldVcpu);
            let mut over = || enough() || self.config.until_violation && self.ground.watch.tripped();
            let in_time = || {
                let elapsed = from.elapsed();
                let begun = || self.config.storm_round || self.ground.idle().is_none();
                elapsed < time || elapsed < time + FIRST_ROUND && !begun()
            };
            while in_time() && !over() && watching.go_on() && !threads.operations_ended() {
                if !held && from.elapsed() > time / 4 {
                    held = true;
                    observer.hold.store(true, Release);
                    let _ = machine.pause(self.bound());
                }
                let left = time.checked_sub(from.elapsed()).unwrap_or(TICK);
                std::thread::sleep(TICK.min(left));
                watching.look(&machine, &self.ground, &mut progress);
            }
            self.end(threads, &machine, &mut watching, &mut progress)
        };
        let seconds = from.elapsed().as_secs_f64();
        // vCPUs that failed or are stuck left in the middle of a visit: their tallies cannot be compared with anything.
        watching.note_failures(&machine);
        let after = machine.sample().map_err(MachineError::from)?;
        if let Err(stuck) = machine.join(self.bound()) {
            watching.stuck.get_or_insert(stuck.to_string());
        }

        let check = Instant::now();
        let bed = self.ground.bed(self.ground.operations.len() + 1);
        let whole = watching.go_on() && ended.failed.is_empty();
        let how = Conserved::by(self.scenario.effects());
        let lost = if whole { judge::conservation(&bed, &self.ground.writers, how) } else { 0 };
        // An operation that never returned may hold the pool for ever.
        if ended.stuck.is_empty() {
            judge::parked(&bed);
        }
        let check_us = check.elapsed().as_secs_f64() * 1e6;
        let kvm = watching.with_most(after.since(&before));
        let layout = self.layout;
        let run =
            Run { ground: &self.ground, layout, seconds, start_us, check_us, lost, kvm, method, watching, failed: ended.failed };
        Ok(verdict::conclude(self.scenario, self.config, run))
    }

    fn start_threads(&mut self) -> Threads {
        let mut threads = Threads::new(&self.ground);
        for number in 0..self.ground.writers.len() {
            threads.start_writer(number, self.rng.random());
        }
        if self.replaces {
            threads.start_third();
        }
        threads.start_plant();
        for (number, operation) in std::mem::take(&mut self.operations).into_iter().enumerate() {
            threads.start_operation(number, operation, self.rng.random());
        }
        threads
    }

    /// Ends all threads and all vCPUs, in the order that leaves every page at home and every visit whole.
    fn end(&self, mut threads: Threads, machine: &Machine, watching: &mut Watching, progress: &mut Progress) -> Ended {
        let ended = threads.end_operations(self.bound());
        if !ended.stuck.is_empty() {
            let names = ended.stuck.join(", ");
            watching.stuck.get_or_insert(format!("no return from the kernel: {names}"));
        }
        // An operation that failed may have left its pages away, where nobody can get on.
        if ended.failed.is_empty() {
            self.let_all_progress(machine, watching, progress);
        }
        let bound = if watching.go_on() && ended.failed.is_empty() { self.bound() } else { Duration::from_millis(500) };
        if let Err(stuck) = machine.stop(bound) {
            watching.stuck.get_or_insert(stuck.to_string());
        }
        let stuck = threads.end_others(self.bound());
        if !stuck.is_empty() {
            watching.stuck.get_or_insert(format!("{} did not end", stuck.join(", ")));
        }
        if let Some(page) = self.ground.writers.iter().find_map(HostWriter::gave_up) {
            watching.stuck.get_or_insert(format!("a host writer could not reach page {page} any more"));
        }
        ended
    }

    fn machine(&self) -> Result<Machine, MachineError> {
        let privilege = if self.config.plant == Some(Plant::Ring0) { Privilege::Supervisor } else { Privilege::User };
        // Contradictory demands make no scenario that is run.
        let demands = self.scenario.demands().unwrap_or_default();
        Machine::new(&MachineConfig {
            system: &self.ground.system,
            slots: &self.slots,
            privilege,
            demands,
            told: self.config.told.clone(),
        })
    }

    /// Waits for the first write of each vCPU. One that fails or takes too long is noted, not an error: it is the kernel's doing.
    fn wait_for_first_write(&self, machine: &Machine, watching: &mut Watching) {
        let deadline = Instant::now() + self.bound();
        for (vcpu, view) in machine.views().enumerate() {
            let wrote = || self.ground.system.vcpu(vcpu).is_some_and(|block| block.counts.write_visits.load(Relaxed) > 0);
            while !wrote() {
                if view.state().is_final() {
                    return watching.note_failures(machine);
                }
                if Instant::now() > deadline {
                    watching.stuck = Some(format!("vCPU {vcpu} wrote nothing within {:?}: {:?}", self.bound(), view.state()));
                    return;
                }
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    /// Waits until every vCPU has completed visits that began after the last operation.
    fn let_all_progress(&self, machine: &Machine, watching: &mut Watching, progress: &mut Progress) {
        let visits = || self.ground.system.all_vcpus().map(|vcpu| vcpu.counts.visits.load(Relaxed)).collect::<Vec<_>>();
        let start = visits();
        while watching.go_on() && visits().iter().zip(&start).any(|(now, then)| now <= then) {
            std::thread::sleep(Duration::from_micros(200));
            watching.look(machine, &self.ground, progress);
        }
    }
}

/// FNV-1a: the same scenario gets the same random choices, whichever others run beside it.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
