//! A test on real KVM: its code, its machine, and what a run is asked and answers.

use super::{
    code::{MOST, assemble},
    cpus,
    crew::{Crew, PATIENCE},
    plan::{BOARD, HOME, most_instances},
    program::{Part, Side, Test, Thread, Unsuited, Where, reads},
    rounds::{CODE, Rounds},
    seen::WATCHED,
    shape::ByValue,
    stage::{AREA, Stage, whole_pages},
};
use crate::{
    host::facts::Facts,
    machine::{Demands, Machine, MachineConfig, MachineError, Observer, Privilege, Sample, Slot, SlotsTold, StatsError, Stuck},
    memory::{Role, System},
    ops::OperationError,
};
use nostale_guest::abi::{Command, Program};
use nostale_notifier::{
    Gpa,
    addr::PAGE_SIZE,
    litmus::{Outcome, Until, batches::Batch},
    model::{self, Model, Observed, ThreadId},
};
use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use thiserror::Error;

/// The instruction that returns.
const RET: u8 = 0xc3;

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// When it has seen enough.
    pub until: Until,
    /// Where all choices come from.
    pub seed: u64,
    /// The guest keeps the page that was mapped first, whatever the host does: a KVM that misses every invalidation. To see that a test
    /// can fail.
    pub stale: bool,
    /// Who is told how the guest's memory lies in the host, while a recording is made.
    pub told: Option<SlotsTold>,
}

/// What a run has seen.
#[derive(Clone, Debug)]
pub struct Run {
    /// How often each outcome came up.
    pub tally: BTreeMap<Outcome, Seen>,
    /// All instances.
    pub instances: u64,
    /// The same by the values of each [`Parameter`](super::Parameter).
    pub by_value: ByValue<u64>,
    /// How long it took.
    pub elapsed: Duration,
    /// What KVM counted meanwhile.
    pub kvm: Sample,
    /// System calls of the operations,
    pub calls: u64,
    /// and those of them that did something.
    pub operations: u64,
    /// Instances and outcomes in slices of the run.
    pub batches: Vec<Batch>,
}

/// How often an outcome was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// How many instances ended so.
    pub times: u64,
    /// When the first one was seen, from the beginning of the run.
    pub first: Duration,
    /// The same by the values of each [`Parameter`](super::Parameter).
    pub by_value: ByValue<u64>,
}

impl Run {
    /// Why it proves nothing, if so: the guest did not use the secondary MMU, or nothing was ever taken from it.
    #[must_use]
    pub fn vacuous(&self) -> Option<&'static str> {
        if self.kvm.installs() == 0 {
            Some("no translation was installed in the secondary MMU")
        } else if self.calls > 0 && self.operations == 0 {
            Some("no system call did anything")
        } else if self.calls > 0 && self.kvm.invalidations() == 0 {
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
    #[error(transparent)]
    Operation(#[from] OperationError),
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
    pub(super) test: Test<'m>,
    /// The code of each thread's parts, in the ways in which a part can be done; none for a system call.
    pub(super) codes: Vec<Vec<Vec<Vec<u8>>>>,
    /// What is looked at in an instance.
    pub(super) watched: Vec<(Where, Option<ThreadId>)>,
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
                Part::Deed { .. } => Ok(Vec::new()),
            };
            let codes = thread.parts.iter().map(part).collect::<Result<Vec<Vec<Vec<u8>>>, _>>()?;
            let bytes: usize = codes.iter().flatten().map(|code| code.len().next_multiple_of(16)).sum();
            let fits = bytes + PAGE_SIZE as usize <= CODE;
            if fits { Ok(codes) } else { Err(Unsuited::Code("a thread is too long".to_owned())) }
        };
        let codes = test.threads.iter().map(of_thread).collect::<Result<_, _>>()?;
        let mut watched = Vec::new();
        test.columns.iter().for_each(|column| watch(&test, column, &mut watched));
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
        let (line, most) = (self.test.line, most_instances(&self.test));
        let board = whole_pages((1 + threads.len()) * most * line);
        let stage = Stage::new(self.test.first.len(), self.test.pages, board + threads.len() * CODE, line);
        let stage = stage.map_err(RunError::Memory)?;
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
        let board_range = stage.board_range().ok_or_else(|| RunError::Lost("unaligned memory".to_owned()))?;
        let mut slots = vec![Slot::of(BOARD, board_range)];
        for (address, first) in self.test.first.iter().enumerate() {
            let area = if options.stale { stage.page_range(*first) } else { stage.address_range(address) };
            slots.push(Slot::of(Gpa::new(HOME.get() + (address * AREA) as u64), area));
        }
        let demands = Demands::default();
        let mut machine = Machine::new(&MachineConfig {
            system: &system,
            slots: &slots,
            privilege: Privilege::User,
            demands,
            told: options.told.clone(),
        })?;
        let hosts: Vec<usize> = (0..threads.len()).filter(|number| !guests.contains(number)).collect();
        let crew = Arc::new(Crew::new(threads.len(), machine.views().cloned().collect()));
        let observer: Arc<dyn Observer> = Arc::<Crew>::clone(&crew);
        machine.start(&observer)?;
        let rounds = Rounds {
            kvm: self,
            stage: &stage,
            most,
            board,
            system: &system,
            entries: entered,
            // What stands in files is enough: to try what else this host can takes longer than a short run.
            nodes: Facts::gather_at(Path::new("/")).numa.ids(),
            cpus: cpus::Allowed::here(),
            plan: Mutex::default(),
            tids: threads.iter().map(|_| AtomicI32::new(0)).collect(),
            done: AtomicU64::new(0),
        };
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
        if let Err(stuck) = machine.join(PATIENCE) {
            // The VM stays, and must not find anything else where its memory was.
            std::mem::forget(stage);
            return Err(stuck.into());
        }
        let run = result?;
        stopped?;
        Ok(run)
    }
}

/// The ways in which a part can be done: all of it in one instance after the other; or up to some step in all of them, and then the rest,
/// which leaves all instances in the middle for as long as that takes.
fn ways(range: &Range<i32>) -> Vec<Vec<Range<i32>>> {
    let split = (range.start + 1..range.end).map(|at| vec![range.start..at, at..range.end]);
    std::iter::once(vec![range.clone()]).chain(split).collect()
}

/// What a column reads, each place once.
fn watch(test: &Test<'_>, column: &Observed, watched: &mut Vec<(Where, Option<ThreadId>)>) {
    let mut places = Vec::new();
    reads(&column.value, &mut places);
    for place in places {
        let owner = test.model.vars.get(place.var.0 as usize).and_then(|var| match var.role {
            model::Role::Local(thread) => Some(thread),
            _ => None,
        });
        if let Some(place) = test.seen(place)
            && !watched.contains(&(place, owner))
        {
            watched.push((place, owner));
        }
    }
}
