//! Rounds: all threads of a test at once, on all instances, and then a look at what came of each.

use super::{
    code::{LINE, MOST, Params, assemble},
    meeting::Meeting,
    program::{Part, Side, Test, Thread, Unsuited, Where},
    stage::Stage,
};
use crate::{
    machine::{
        Demands, GuestFinding, Machine, MachineConfig, MachineError, Observer, Privilege, Sample, Slot, StatsError, Stuck,
        VcpuState, VcpuView,
    },
    memory::{Role, System},
};
use nostale_guest::abi::{Command, Program};
use nostale_notifier::{
    Gpa,
    addr::PAGE_SIZE,
    litmus::{Outcome, exec::Exec},
    model::{Expr, Model, ThreadId, eval},
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};
use thiserror::Error;

/// Instances of a round at the most, and the bytes of an area that holds them.
const MOST_INSTANCES: usize = 2048;
const AREA: usize = MOST_INSTANCES * 64;
/// Where the guest finds the board and the areas of the addresses.
const BOARD: Gpa = Gpa::new(4 << 30);
const HOME: Gpa = Gpa::new(5 << 30);
/// Room for a guest thread's code and parameters behind the board.
const CODE: usize = 8 * PAGE_SIZE as usize;
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The instruction that returns.
const RET: u8 = 0xc3;
/// Observed words that can be told apart.
const WATCHED: usize = 12;

/// When a run has seen enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// After so many instances, or a few more.
    Instances(u64),
    /// After so long.
    For(Duration),
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When it has seen enough.
    pub until: Until,
    /// Where all choices come from.
    pub seed: u64,
    /// The guest keeps the page that was mapped first, whatever the host does: a KVM that misses every invalidation. To see that a test
    /// can fail.
    pub stale: bool,
}

/// What a run has seen.
#[derive(Clone, Debug)]
pub struct Run {
    /// How often each outcome came up, and when first.
    pub tally: BTreeMap<Outcome, (u64, Duration)>,
    /// All instances.
    pub instances: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// What KVM counted meanwhile.
    pub kvm: Sample,
    /// System calls of the operation.
    pub operations: u64,
}

impl Run {
    /// Why it proves nothing, if so: the guest did not use the secondary MMU, or nothing was ever taken from it.
    #[must_use]
    pub fn vacuous(&self) -> Option<&'static str> {
        if self.kvm.installs() == 0 {
            Some("no translation was installed in the secondary MMU")
        } else if self.operations > 0 && self.kvm.invalidations() == 0 {
            Some("no invalidation hit the secondary MMU")
        } else {
            None
        }
    }
}

/// Why a run could not be made, or not ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// No machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// No statistics.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// No memory.
    #[error("no memory for the pages of a litmus test: {0}")]
    Memory(io::Error),
    /// A system call of the operation failed.
    #[error("mmap over guest memory: {0}")]
    Remap(io::Error),
    /// A vCPU failed, or a round did not end.
    #[error("{0}")]
    Lost(String),
    /// vCPUs that do not stop.
    #[error(transparent)]
    Stuck(#[from] Stuck),
}

/// A test on real KVM.
#[derive(Debug)]
pub struct Kvm<'m> {
    test: Test<'m>,
    /// The code of each thread's parts, in the ways in which a part can be done; none for a system call.
    codes: Vec<Vec<Vec<Vec<u8>>>>,
    /// What is looked at in an instance.
    watched: Vec<(Where, Option<ThreadId>)>,
}

impl<'m> Kvm<'m> {
    /// Compiles a model that was read for a real machine
    /// ([`Program::read_real`](nostale_notifier::compile::Program::read_real)).
    ///
    /// # Errors
    /// Why it does not run there.
    pub fn new(model: &'m Model) -> Result<Self, Unsuited> {
        let test = Test::of(model)?;
        if test.pages > MOST || test.first.len() > MOST {
            return Err(Unsuited::Large(test.pages.max(test.first.len()), MOST));
        }
        let of_thread = |thread: &Thread| {
            let part = |part: &Part| match part {
                Part::Code(range) => ways(range).iter().map(|way| assemble(&test, thread, way)).collect(),
                Part::Remap { .. } => Ok(Vec::new()),
            };
            let codes = thread.parts.iter().map(part).collect::<Result<Vec<Vec<Vec<u8>>>, _>>()?;
            let bytes: usize = codes.iter().flatten().map(|code| code.len().next_multiple_of(16)).sum();
            let fits = bytes + PAGE_SIZE as usize <= CODE;
            if fits { Ok(codes) } else { Err(Unsuited::Code("a thread is too long".to_owned())) }
        };
        let codes = test.threads.iter().map(of_thread).collect::<Result<_, _>>()?;
        let mut watched = Vec::new();
        test.columns.iter().for_each(|column| watch(&test, &column.value, &mut watched));
        if watched.len() > WATCHED {
            return Err(Unsuited::Large(watched.len(), WATCHED));
        }
        Ok(Self { test, codes, watched })
    }

    /// Runs it until there is enough, or `stop` is set.
    ///
    /// # Errors
    /// What is wrong with the machine.
    pub fn run(&self, options: &Options, stop: &AtomicBool) -> Result<Run, RunError> {
        let threads = &self.test.threads;
        let board = (1 + threads.len()) * MOST_INSTANCES * LINE;
        let stage =
            Stage::new(self.test.first.len(), self.test.pages, AREA, board + threads.len() * CODE).map_err(RunError::Memory)?;
        let guests: Vec<usize> =
            threads.iter().enumerate().filter(|(_, thread)| thread.side == Side::Guest).map(|(n, _)| n).collect();
        let roles: Vec<Role> = guests.iter().map(|_| Role { program: Program::Call, seed: 1, arena: HOME.get() }).collect();
        if roles.is_empty() {
            return Err(RunError::Lost("no thread of the test is a guest's".to_owned()));
        }
        let mut entered = Vec::new();
        let system = System::new(1, &roles).map_err(RunError::Memory)?;
        for (vcpu, &number) in guests.iter().enumerate() {
            let params = board + number * CODE;
            let mut at = params + PAGE_SIZE as usize;
            // A guest's thread makes no system calls: it has one part.
            let entries = self.codes[number].iter().flatten().map(|code| {
                let entry = BOARD.get() + at as u64;
                stage.write(at, code);
                at += code.len().next_multiple_of(16);
                entry
            });
            entered.push(entries.collect::<Vec<u64>>());
            if let Some(block) = system.vcpu(vcpu) {
                block.argument.store(BOARD.get() + params as u64, SeqCst);
                // Whatever it is called for before the first round is to do nothing.
                stage.write(params + PAGE_SIZE as usize - 1, &[RET]);
                block.entry.store(BOARD.get() + (params + PAGE_SIZE as usize - 1) as u64, SeqCst);
            }
        }
        let unaligned = || RunError::Lost("unaligned memory".to_owned());
        let mut slots = vec![Slot::of(BOARD, stage.board_range().ok_or_else(unaligned)?)];
        for (address, first) in self.test.first.iter().enumerate() {
            let area = if options.stale { stage.page_range(*first) } else { stage.address_range(address) };
            let gpa = HOME.checked_add((address * AREA) as u64).ok_or_else(unaligned)?;
            slots.push(Slot::of(gpa, area.ok_or_else(unaligned)?));
        }
        let demands = Demands::default();
        let mut machine = Machine::new(&MachineConfig { system: &system, slots: &slots, privilege: Privilege::User, demands })?;
        let hosts: Vec<usize> = (0..threads.len()).filter(|number| !guests.contains(number)).collect();
        let crew = Arc::new(Crew {
            meeting: Meeting::new(1 + threads.len()),
            views: machine.views().cloned().collect(),
            begun: guests.iter().map(|_| AtomicBool::new(false)).collect(),
            since: Mutex::new(Instant::now()),
            wrong: Mutex::default(),
        });
        let observer: Arc<dyn Observer> = Arc::<Crew>::clone(&crew);
        machine.start(&observer)?;
        let rounds = Rounds { kvm: self, stage: &stage, board, system: &system, entries: entered, plan: Mutex::default() };
        let result = std::thread::scope(|scope| {
            for &number in &hosts {
                let (rounds, crew) = (&rounds, &crew);
                scope.spawn(move || rounds.host(number, crew));
            }
            let result = rounds.lead(options, stop, &crew, &machine, &guests);
            system.command(Command::Stop);
            crew.meeting.call_off();
            result
        });
        let stopped = machine.stop(PATIENCE);
        let joined = machine.join(PATIENCE);
        let run = result?;
        stopped?;
        joined?;
        Ok(run)
    }
}

/// The ways in which a part can be done: all of it in one instance after the other; or up to some step in all of them, and then the rest,
/// which leaves all instances in the middle for as long as that takes.
fn ways(range: &std::ops::Range<i32>) -> Vec<Vec<std::ops::Range<i32>>> {
    let split = (range.start + 1..range.end).map(|at| vec![range.start..at, at..range.end]);
    std::iter::once(vec![range.clone()]).chain(split).collect()
}

/// What an expression reads, each place once.
fn watch(test: &Test<'_>, expr: &Expr, watched: &mut Vec<(Where, Option<ThreadId>)>) {
    match expr {
        Expr::Const(_) => {}
        Expr::Read(place) => {
            let owner = test.model.vars.get(place.var.0 as usize).and_then(|var| match var.role {
                nostale_notifier::model::Role::Local(thread) => Some(thread),
                _ => None,
            });
            if let Some(place) = test.place(place)
                && !watched.contains(&(place, owner))
            {
                watched.push((place, owner));
            }
        }
        Expr::Not(operand) => watch(test, operand, watched),
        Expr::Binary(_, left, right) => [left, right].into_iter().for_each(|operand| watch(test, operand, watched)),
        Expr::Select(parts) => parts.iter().for_each(|part| watch(test, part, watched)),
    }
}

/// All who take part in a round, and what has gone wrong.
struct Crew {
    meeting: Meeting,
    views: Vec<VcpuView>,
    begun: Vec<AtomicBool>,
    since: Mutex<Instant>,
    wrong: Mutex<Option<String>>,
}

impl Crew {
    fn meet(&self) -> bool {
        self.meeting.meet(&|| self.look())
    }

    /// Whether all can still come.
    fn look(&self) -> bool {
        let failed = self.views.iter().enumerate().find_map(|(vcpu, view)| match view.state() {
            VcpuState::Failed(failure) => Some(format!("vCPU {vcpu}: {failure}")),
            _ => None,
        });
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let late = || (since.elapsed() > PATIENCE).then(|| format!("a round did not end within {PATIENCE:?}"));
        let Some(wrong) = failed.or_else(late) else { return true };
        self.say(wrong);
        false
    }

    fn say(&self, wrong: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(wrong);
    }
}

impl Observer for Crew {
    fn finding(&self, finding: GuestFinding) {
        self.say(format!("the guest of a litmus test has a finding: {finding:?}"));
    }

    fn before_entry(&self, vcpu: usize) {
        // It has ended a round, unless it has not begun one.
        if !self.begun[vcpu].swap(true, Relaxed) || self.meet() {
            self.meet();
        }
    }
}

/// What a round is like.
#[derive(Clone, Debug, Default)]
struct Plan {
    instances: usize,
    stride: usize,
    /// By thread.
    params: Vec<Params>,
    /// By thread: a number that chooses among the ways of each part.
    ways: Vec<usize>,
    /// By thread: how long it waits before each system call.
    waits: Vec<Duration>,
}

struct Rounds<'a> {
    kvm: &'a Kvm<'a>,
    stage: &'a Stage,
    /// Bytes of the board, without code.
    board: usize,
    system: &'a System,
    /// Where each guest's thread can be entered.
    entries: Vec<Vec<u64>>,
    plan: Mutex<Plan>,
}

impl Rounds<'_> {
    fn plan(&self) -> Plan {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A thread of the host.
    fn host(&self, number: usize, crew: &Crew) {
        type Code = unsafe extern "sysv64" fn(*const Params);
        let parts = &self.kvm.test.threads[number].parts;
        let exec = |code: &Vec<u8>| Exec::new(code.len(), |_| code.clone());
        let ways = |ways: &Vec<Vec<u8>>| ways.iter().map(exec).collect::<Result<Vec<_>, _>>();
        let codes = match self.kvm.codes[number].iter().map(ways).collect::<Result<Vec<_>, _>>() {
            Ok(codes) => codes,
            Err(error) => {
                crew.say(format!("no memory for machine code: {error}"));
                return crew.meeting.call_off();
            }
        };
        while crew.meet() {
            let plan = self.plan();
            for (part, ways) in parts.iter().zip(&codes) {
                match (part, ways.get(plan.ways[number] % ways.len().max(1))) {
                    (Part::Code(_), Some(code)) => {
                        // SAFETY: the code begins there, and follows the calling convention of the type.
                        let code: Code = unsafe { std::mem::transmute(code.start()) };
                        // SAFETY: it accesses the stage, at the addresses and for as many instances as the parameters say.
                        unsafe { code(&raw const plan.params[number]) };
                    }
                    (Part::Remap { address, page }, _) => {
                        let since = Instant::now();
                        while since.elapsed() < plan.waits[number] {
                            std::hint::spin_loop();
                        }
                        if let Err(error) = self.stage.remap(*address, *page, bytes(&plan)) {
                            crew.say(RunError::Remap(error).to_string());
                            return crew.meeting.call_off();
                        }
                    }
                    (Part::Code(_), None) => {}
                }
            }
            if !crew.meet() {
                return;
            }
        }
    }

    /// One round after the other, until there is enough.
    fn lead(
        &self,
        options: &Options,
        stop: &AtomicBool,
        crew: &Crew,
        machine: &Machine,
        guests: &[usize],
    ) -> Result<Run, RunError> {
        let test = &self.kvm.test;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(options.seed);
        let begin = Instant::now();
        let before = machine.sample()?;
        let (mut instances, mut rounds) = (0, 0);
        // How long a round takes: a system call is to come at any time of it.
        let mut typical = Duration::from_micros(200);
        let mut counts: Vec<([i32; WATCHED], u64, Duration)> = Vec::new();
        let moved: Vec<usize> = (0..test.first.len()).filter(|&address| test.first[address] != test.last[address]).collect();
        loop {
            let enough = match options.until {
                Until::Instances(wanted) => instances >= wanted,
                Until::For(time) => begin.elapsed() >= time,
            };
            if enough || stop.load(Relaxed) {
                break;
            }
            let plan = self.draw(&mut random, guests, typical);
            for address in 0..test.first.len() {
                if rounds == 0 || moved.contains(&address) {
                    self.stage.remap(address, test.first[address], AREA).map_err(RunError::Remap)?;
                }
            }
            self.reset(&plan);
            for (vcpu, (&number, entries)) in guests.iter().zip(&self.entries).enumerate() {
                if let (Some(block), false) = (self.system.vcpu(vcpu), entries.is_empty()) {
                    block.entry.store(entries[plan.ways[number] % entries.len()], SeqCst);
                }
                // SAFETY: plain numbers, of which each byte is one.
                let params =
                    unsafe { std::slice::from_raw_parts((&raw const plan.params[number]).cast::<u8>(), size_of::<Params>()) };
                self.stage.write(self.board + number * CODE, params);
            }
            let (count, stride) = (plan.instances, plan.stride);
            *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
            *crew.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            if !(crew.meet() && crew.meet()) {
                let wrong = crew.wrong.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Err(RunError::Lost(wrong.unwrap_or_else(|| "a round was called off".to_owned())));
            }
            let took = crew.since.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            typical = (typical * 15 + took) / 16;
            for instance in 0..count {
                let mut key = [0; WATCHED];
                for (slot, (place, owner)) in key.iter_mut().zip(&self.kvm.watched) {
                    *slot = self.word(*place, *owner, instance, stride);
                }
                match counts.iter_mut().find(|(known, ..)| *known == key) {
                    Some((_, times, _)) => *times += 1,
                    None => counts.push((key, 1, begin.elapsed())),
                }
            }
            instances += count as u64;
            rounds += 1;
        }
        let operations =
            test.threads.iter().flat_map(|thread| &thread.parts).filter(|part| matches!(part, Part::Remap { .. })).count();
        let mut tally: BTreeMap<Outcome, (u64, Duration)> = BTreeMap::new();
        for (key, times, first) in counts {
            let word = |place, owner| {
                let at = self.kvm.watched.iter().position(|watched| *watched == (place, owner));
                at.map_or(0, |at| key[at])
            };
            let state = test.state(word);
            let values = test.columns.iter().map(|column| eval::value(test.model, &state, &column.value)).collect();
            let seen = tally.entry(Outcome::Finished(values)).or_insert((0, first));
            (seen.0, seen.1) = (seen.0 + times, seen.1.min(first));
        }
        let kvm = machine.sample()?.since(&before);
        Ok(Run { tally, instances, elapsed: begin.elapsed(), kvm, operations: rounds * operations as u64 })
    }

    /// Chooses what a round is like.
    fn draw(&self, random: &mut Xoshiro256PlusPlus, guests: &[usize], typical: Duration) -> Plan {
        let stride = 64 << random.random_range(0..3_usize);
        let instances = (AREA / stride) >> random.random_range(0..3_usize);
        let threads = self.kvm.test.threads.len();
        let params = (0..threads).map(|number| {
            let guest = guests.contains(&number);
            let own = ((1 + number) * MOST_INSTANCES * LINE) as u64;
            let base = if guest { BOARD.get() } else { self.stage.board() };
            let mut params = Params {
                board: base,
                own: base + own,
                stride: stride as u64,
                from: if random.random_range(0..2) == 0 { 0 } else { random.random_range(0..instances as u64) },
                instances: instances as u64,
                delay: delay(random),
                pause: delay(random),
                ..Params::default()
            };
            for address in 0..self.kvm.test.first.len() {
                params.addresses[address] =
                    if guest { HOME.get() + (address * AREA) as u64 } else { self.stage.address(address) };
            }
            if !guest {
                (0..self.kvm.test.pages).for_each(|page| params.pages[page] = self.stage.page(page));
            }
            params
        });
        let params = params.collect();
        let wait =
            |random: &mut Xoshiro256PlusPlus| if random.random_range(0..4) == 0 { 0.0 } else { random.random_range(0.0..1.0) };
        let waits = (0..threads).map(|_| typical.mul_f64(wait(random))).collect();
        Plan { instances, stride, params, waits, ways: (0..threads).map(|_| random.random_range(0..1 << 16)).collect() }
    }

    /// Puts every instance into its first state.
    fn reset(&self, plan: &Plan) {
        let test = &self.kvm.test;
        for instance in 0..plan.instances {
            for (page, value) in test.contents.iter().enumerate() {
                self.stage.set_page(page, instance * plan.stride, *value);
            }
            for (word, value) in test.board.iter().enumerate() {
                self.stage.word(instance, word).store(*value as u32, Relaxed);
            }
        }
        for (number, thread) in test.threads.iter().enumerate() {
            let own: Vec<i32> = test.own(thread.id);
            for instance in 0..plan.instances {
                for (word, value) in own.iter().enumerate() {
                    self.stage.word((1 + number) * MOST_INSTANCES + instance, word).store(*value as u32, Relaxed);
                }
            }
        }
    }

    /// What an instance has come to.
    fn word(&self, place: Where, owner: Option<ThreadId>, instance: usize, stride: usize) -> i32 {
        let line = match (place, owner) {
            (Where::Page(page), _) => return self.stage.page_word(page, instance * stride),
            // In the end, an address shows the page that was mapped last.
            (Where::Guest(address) | Where::Host(address), _) => {
                return self.stage.page_word(self.kvm.test.last[address], instance * stride);
            }
            (Where::Own(_), Some(thread)) => (1 + thread.0 as usize) * MOST_INSTANCES + instance,
            _ => instance,
        };
        let (Where::Board(word) | Where::Own(word)) = place else { return 0 };
        self.stage.word(line, word).load(Relaxed) as i32
    }
}

/// How long to wait: often not at all, and otherwise about as long as something else takes: an instance, a fault, a system call.
fn delay(random: &mut Xoshiro256PlusPlus) -> u64 {
    match random.random_range(0..4) {
        0 | 1 => 0,
        2 => random.random_range(0..4096),
        _ => random.random_range(0..65_536),
    }
}

/// Bytes of an area that the instances of a round take.
fn bytes(plan: &Plan) -> usize {
    (plan.instances * plan.stride).next_multiple_of(PAGE_SIZE as usize)
}
