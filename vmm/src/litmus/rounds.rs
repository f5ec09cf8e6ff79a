//! Rounds: all threads of a test at once, on all instances, and then a look at what came of each.

use super::{
    code::{LINE, Params},
    crew::Crew,
    program::{Part, Where},
    run::{Kvm, Options, Run, RunError},
    stage::Stage,
};
use crate::{machine::Machine, memory::System};
use nostale_notifier::{
    Gpa,
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
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

/// Instances of a round at the most, and the bytes of an area that holds them.
pub(super) const MOST_INSTANCES: usize = 2048;
pub(super) const AREA: usize = MOST_INSTANCES * 64;
/// Where the guest finds the board and the areas of the addresses.
pub(super) const BOARD: Gpa = Gpa::new(4 << 30);
pub(super) const HOME: Gpa = Gpa::new(5 << 30);
/// Room for a guest thread's code and parameters behind the board.
pub(super) const CODE: usize = 8 * PAGE_SIZE as usize;
/// Observed words that can be told apart.
pub(super) const WATCHED: usize = 12;

/// What a round is like.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    instances: usize,
    stride: usize,
    /// By thread.
    params: Vec<Params>,
    /// By thread: a number that chooses among the ways of each part.
    ways: Vec<usize>,
    /// By thread: how long it waits before each system call.
    waits: Vec<Duration>,
}

/// What all rounds of a run use.
pub(super) struct Rounds<'a> {
    pub(super) kvm: &'a Kvm<'a>,
    pub(super) stage: &'a Stage,
    /// Bytes of the board, without code.
    pub(super) board: usize,
    pub(super) system: &'a System,
    /// Where each guest's thread can be entered.
    pub(super) entries: Vec<Vec<u64>>,
    pub(super) plan: Mutex<Plan>,
}

impl Rounds<'_> {
    fn plan(&self) -> Plan {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A thread of the host.
    pub(super) fn host(&self, number: usize, crew: &Crew) {
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
        let begin = Instant::now();
        let before = machine.sample()?;
        let (mut instances, mut rounds) = (0, 0);
        // How long a round takes: a system call is to come at any time of it.
        let mut typical = Duration::from_micros(200);
        let mut counts: Vec<([i32; WATCHED], u64, Duration)> = Vec::new();
        let mut marks = Marks::new(MOST_INSTANCES as u64);
        let moved: Vec<usize> = (0..test.first.len()).filter(|&address| test.first[address] != test.last[address]).collect();
        loop {
            if options.until.is_enough(instances, begin.elapsed()) || stop.load(Relaxed) {
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
            let took = crew.round().map_err(RunError::Lost)?;
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
            marks.reach(instances, || counts.iter().map(|(key, times, _)| (*key, *times)));
        }
        let operations =
            test.threads.iter().flat_map(|thread| &thread.parts).filter(|part| matches!(part, Part::Remap { .. })).count();
        let outcome = |key: &[i32; WATCHED]| {
            let word = |place, owner| {
                let at = self.kvm.watched.iter().position(|watched| *watched == (place, owner));
                at.map_or(0, |at| key[at])
            };
            let state = test.state(word);
            Outcome::Finished(test.columns.iter().map(|column| eval::value(test.model, &state, &column.value)).collect())
        };
        let batches = marks.finish(instances, counts.iter().map(|(key, times, _)| (*key, *times)), outcome);
        let mut tally: BTreeMap<Outcome, (u64, Duration)> = BTreeMap::new();
        for (key, times, first) in &counts {
            let seen = tally.entry(outcome(key)).or_insert((0, *first));
            (seen.0, seen.1) = (seen.0 + times, seen.1.min(*first));
        }
        let kvm = machine.sample()?.since(&before);
        Ok(Run { tally, instances, batches, elapsed: begin.elapsed(), kvm, operations: rounds * operations as u64 })
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
