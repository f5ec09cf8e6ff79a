//! Rounds: all threads of a test at once, on all instances, and then a look at what came of each.

use super::{
    code::Params,
    cpus,
    crew::Crew,
    pace::Paces,
    plan::{Plan, deeds},
    program::{Deed, Part, Where},
    run::{Kvm, Options, Run, RunError, Seen},
    seen::{Ends, Key, WATCHED},
    shape::{EVEN, Parameter, Possible, Shape},
    stage::{AREA, Stage, Words},
};
use crate::{machine::Machine, memory::System, ops::OperationError};
use nix::unistd::{Pid, gettid};
use nostale_notifier::{
    addr::PAGE_SIZE,
    litmus::{Outcome, batches::Marks, exec::Exec},
    model::{ThreadId, eval},
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicI32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

/// Room for a guest thread's code and parameters behind the board.
pub(super) const CODE: usize = 8 * PAGE_SIZE as usize;
/// How long rounds have one shape: to move threads to other processors, or to other pages, takes as long as a round. Shapes share the time
/// and not the rounds, of which some take fifty times as long as others: a fault costs more than a hundred instances.
const ERA: Duration = Duration::from_millis(4);
/// The first rounds have each a shape of their own: a short run is to see some, too.
const FIRST: u64 = 48;

/// What all rounds of a run use.
pub(super) struct Rounds<'a> {
    pub(super) kvm: &'a Kvm<'a>,
    pub(super) stage: &'a Stage,
    /// Instances of a round, at the most.
    pub(super) most: usize,
    /// Bytes of the board, without code.
    pub(super) board: usize,
    pub(super) system: &'a System,
    /// Where each guest's thread can be entered.
    pub(super) entries: Vec<Vec<u64>>,
    pub(super) nodes: Vec<i32>,
    pub(super) cpus: cpus::Allowed,
    pub(super) plan: Mutex<Plan>,
    /// By thread of the test: the host's thread that it is, as soon as there is one.
    pub(super) tids: Vec<AtomicI32>,
    /// System calls that did something.
    pub(super) done: AtomicU64,
}

/// A part's machine code, called.
fn call(code: &Exec, params: &Params) {
    type Code = unsafe extern "sysv64" fn(*const Params);
    // SAFETY: the code begins there, and follows the calling convention of the type.
    let code: Code = unsafe { std::mem::transmute(code.start()) };
    // SAFETY: it accesses the stage, at the addresses and for as many instances as the parameters say.
    unsafe { code(params) };
}

impl Rounds<'_> {
    fn plan(&self) -> Plan {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A thread of the host.
    pub(super) fn host(&self, number: usize, crew: &Crew) {
        self.tids[number].store(gettid().as_raw(), SeqCst);
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
                match part {
                    Part::Code(_) => {
                        if let Some(code) = ways.get(plan.ways[number] % ways.len().max(1)) {
                            call(code, &plan.params[number]);
                        }
                    }
                    Part::Deed { address, deed } => {
                        let since = Instant::now();
                        while since.elapsed() < plan.waits[number] {
                            std::hint::spin_loop();
                        }
                        match self.deed(*address, *deed, &plan) {
                            Ok(done) => _ = self.done.fetch_add(done.into(), Relaxed),
                            Err(error) => {
                                crew.say(RunError::from(error).to_string());
                                return crew.meeting.call_off();
                            }
                        }
                    }
                }
            }
            if !crew.meet() {
                return;
            }
        }
    }

    /// Makes a system call; whether it did anything.
    fn deed(&self, address: usize, deed: Deed, plan: &Plan) -> Result<bool, OperationError> {
        match deed {
            Deed::Remap(page) => self.stage.remap(address, page, plan.shape.is_huge(), plan.bytes()).map(|()| true),
            Deed::Migrate if plan.shape.between_nodes() => self.stage.move_between(address, plan.bytes(), &self.nodes),
            Deed::Migrate => self.stage.collapse(address),
            Deed::Protect { writable } => self.stage.protect(address, plan.bytes(), writable).map(|()| true),
        }
    }

    /// Which shapes rounds of this test can have on this machine.
    fn possible(&self, stale: bool) -> Possible {
        let mut possible = Possible::all();
        let (calls, migrates) = (deeds(&self.kvm.test).count() > 0, deeds(&self.kvm.test).any(|(_, deed)| deed == Deed::Migrate));
        if !self.stage.has_huge() || migrates || stale {
            possible = possible.only_first(Parameter::Pages);
        }
        if !self.cpus.several() {
            possible = possible.only_first(Parameter::Cpus);
        }
        if self.kvm.codes.iter().flatten().all(|ways| ways.len() < 2) {
            possible = possible.only_first(Parameter::Visit);
        }
        if !calls {
            possible = possible.only_first(Parameter::Operation);
        }
        match (migrates, self.nodes.len() > 1, self.stage.has_huge()) {
            (true, true, true) => possible,
            (true, true, false) => possible.only(Parameter::Mover, 1),
            _ => possible.only_first(Parameter::Mover),
        }
    }

    /// One round after the other, until there is enough.
    pub(super) fn lead(
        &self,
        options: &Options,
        stop: &AtomicBool,
        crew: &Crew,
        machine: &Machine,
        guests: &[usize],
    ) -> Result<Run, RunError> {
        let test = &self.kvm.test;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(options.seed);
        let possible = self.possible(options.stale);
        let begin = Instant::now();
        let before = machine.sample()?;
        let (mut ends, mut marks) = (Ends::default(), Marks::new(self.most as u64));
        let mut paces = Paces::default();
        let (mut shape, mut rounds, mut eras, mut pages) = (Shape::default(), 0, 0u64, None);
        let mut era = begin;
        while !options.until.is_enough(ends.instances, begin.elapsed()) && !stop.load(Relaxed) {
            if rounds < FIRST || era.elapsed() > ERA {
                (era, eras) = (Instant::now(), eras + 1);
                // The second half dwells on what was rare in the first, every other time.
                let dwells = options.until.is_enough(ends.instances * 2, begin.elapsed() * 2) && eras.is_multiple_of(2);
                let weights = if dwells { ends.dwell(&mut random) } else { None };
                shape = Shape::draw(&mut random, &possible, &weights.unwrap_or(EVEN));
                if possible.varies(Parameter::Cpus) && rounds > 0 {
                    self.cpus.place(&self.threads(machine, guests), shape.cpus(), random.random_range(0..64));
                }
            }
            let plan = Plan::draw(&mut random, (test, self.stage, self.most), shape, paces.of(shape));
            self.prepare(&plan, pages != Some(shape.is_huge()))?;
            pages = Some(shape.is_huge());
            for (vcpu, (&number, entries)) in guests.iter().zip(&self.entries).enumerate() {
                if let (Some(block), false) = (self.system.vcpu(vcpu), entries.is_empty()) {
                    block.entry.store(entries[plan.ways[number] % entries.len()], SeqCst);
                }
                // SAFETY: plain numbers, of which each byte is one.
                let params =
                    unsafe { std::slice::from_raw_parts((&raw const plan.params[number]).cast::<u8>(), size_of::<Params>()) };
                self.stage.write(self.board + number * CODE, params);
            }
            *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan.clone();
            crew.round().map_err(RunError::Lost)?;
            paces.learn(shape, crew.guests_took());
            self.look(&plan, &mut ends, || begin.elapsed());
            ends.end_round(shape);
            rounds += 1;
            marks.reach(ends.instances, || ends.counts());
        }
        let outcome = |key: &Key| {
            let word = |place, owner| {
                let at = self.kvm.watched.iter().position(|watched| *watched == (place, owner));
                at.map_or(0, |at| key[at])
            };
            let state = test.state(word);
            Outcome::Finished(test.columns.iter().map(|column| eval::value(test.model, &state, &column.value)).collect())
        };
        let batches = marks.finish(ends.instances, ends.counts(), outcome);
        let mut tally: BTreeMap<Outcome, Seen> = BTreeMap::new();
        for entry in &ends.entries {
            let empty = || Seen { times: 0, first: entry.first, by_value: Default::default() };
            let seen = tally.entry(outcome(&entry.key)).or_insert_with(empty);
            (seen.times, seen.first) = (seen.times + entry.times, seen.first.min(entry.first));
            let sums = seen.by_value.iter_mut().flatten();
            sums.zip(entry.by_value.iter().flatten()).for_each(|(sum, count)| *sum += count);
        }
        let kvm = machine.sample()?.since(&before);
        Ok(Run {
            tally,
            instances: ends.instances,
            by_value: ends.by_value,
            batches,
            elapsed: begin.elapsed(),
            kvm,
            calls: deeds(test).count() as u64 * rounds,
            operations: self.done.load(Relaxed),
        })
    }

    /// The threads that carry those of the test.
    fn threads(&self, machine: &Machine, guests: &[usize]) -> Vec<Pid> {
        let vcpus: Vec<Option<Pid>> = machine.views().map(crate::machine::VcpuView::thread).collect();
        let thread = |(number, tid): (usize, &AtomicI32)| match guests.iter().position(|guest| *guest == number) {
            Some(vcpu) => vcpus.get(vcpu).copied().flatten(),
            None => Some(tid.load(SeqCst)).filter(|&tid| tid != 0).map(Pid::from_raw),
        };
        self.tids.iter().enumerate().filter_map(thread).collect()
    }

    /// Puts every instance into its first state. `new`: the last round had other pages.
    fn prepare(&self, plan: &Plan, new: bool) -> Result<(), RunError> {
        let (test, huge) = (&self.kvm.test, plan.shape.is_huge());
        for (address, deed) in deeds(test) {
            if deed == Deed::Migrate && !plan.shape.between_nodes() {
                self.stage.renew(test.first[address])?;
            }
        }
        for address in 0..test.first.len() {
            if new || test.first[address] != test.last[address] {
                self.stage.remap(address, test.first[address], huge, AREA)?;
            }
        }
        let fill = |words: Words<'_>, value: i32| {
            (0..plan.instances).for_each(|instance| words.of(instance).store(value as u32, Relaxed));
        };
        for (page, value) in test.contents.iter().enumerate() {
            fill(self.stage.page_words(page, huge, plan.shape.stride(), plan.instances), *value);
        }
        let lines = |first: usize, values: &[i32]| {
            (0..).zip(values).for_each(|(word, value)| fill(self.stage.board_words(first, word, plan.instances), *value));
        };
        lines(0, &test.board);
        test.threads.iter().enumerate().for_each(|(number, thread)| lines((1 + number) * self.most, &test.own(thread.id)));
        Ok(())
    }

    /// Looks at every instance.
    fn look(&self, plan: &Plan, ends: &mut Ends, elapsed: impl Fn() -> Duration) {
        let places: Vec<Words<'_>> = self.kvm.watched.iter().map(|(place, owner)| self.words(*place, *owner, plan)).collect();
        for instance in 0..plan.instances {
            let mut key: Key = [0; WATCHED];
            for (slot, words) in key.iter_mut().zip(&places) {
                *slot = words.of(instance).load(Relaxed) as i32;
            }
            ends.add(key, places.len(), &elapsed);
        }
    }

    /// Where all instances have something that is watched.
    fn words(&self, place: Where, owner: Option<ThreadId>, plan: &Plan) -> Words<'_> {
        let first = owner.map_or(0, |thread| (1 + thread.0 as usize) * self.most);
        match place {
            Where::Page(page) => self.stage.page_words(page, plan.shape.is_huge(), plan.shape.stride(), plan.instances),
            Where::Own(word) => self.stage.board_words(first, word, plan.instances),
            // Of an address, nothing is watched: what is there in the end is a page.
            Where::Board(word) | Where::Guest(word) | Where::Host(word) => self.stage.board_words(0, word, plan.instances),
        }
    }
}
