//! What one round is like: the numbers behind a shape.

use super::{
    code::Params,
    program::{Deed, Part, Side, Test},
    shape::{Parameter, Shape},
    stage::{AREA, Stage, whole_pages},
};
use nostale_notifier::Gpa;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::time::Duration;

/// Instances of a round, at the most: each system call serves so many. Where there is none, it is only a barrier that they share.
pub(super) fn most_instances(test: &Test<'_>) -> usize {
    if deeds(test).next().is_some() { 8192 } else { 32_768 }
}
/// Where the guest finds the board and the areas of the addresses.
pub(super) const BOARD: Gpa = Gpa::new(4 << 30);
pub(super) const HOME: Gpa = Gpa::new(5 << 30);

/// What a round is like.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) instances: usize,
    /// By thread.
    pub(super) params: Vec<Params>,
    /// By thread: a number that chooses among the ways of each part; 0 is to do it as a whole.
    pub(super) ways: Vec<usize>,
    /// By thread: how long it waits before each system call.
    pub(super) waits: Vec<Duration>,
}

impl Plan {
    /// Bytes of an area that its instances take, in whole pages.
    pub(super) fn bytes(&self) -> usize {
        // What is mapped as a huge page is replaced as one.
        if self.shape.is_huge() { AREA } else { whole_pages(self.instances * self.shape.stride()) }
    }

    /// A round of this shape, for which the guests take about as long as `pass`.
    pub(super) fn draw(
        random: &mut Xoshiro256PlusPlus,
        (test, stage, most): (&Test<'_>, &Stage, usize),
        shape: Shape,
        pass: Duration,
    ) -> Self {
        let room = (AREA / shape.stride()).min(most);
        let instances = room >> shape.get(Parameter::Instances);
        let mut plan = Self { shape, instances, ..Self::default() };
        for (number, thread) in test.threads.iter().enumerate() {
            let guest = thread.side == Side::Guest;
            let late = match shape.get(Parameter::Start) {
                0 => false,
                1 => guest,
                _ => !guest,
            };
            let base = if guest { BOARD.get() } else { stage.board() };
            let anywhere = shape.get(Parameter::Order) == 1;
            let mut params = Params {
                board: base,
                own: base + ((1 + number) * most * test.line) as u64,
                stride: shape.stride() as u64,
                from: if anywhere { random.random_range(0..instances as u64) } else { 0 },
                instances: instances as u64,
                delay: turns(random, if late { pass } else { pass / 16 }),
                pause: turns(random, pass),
                ..Params::default()
            };
            for address in 0..test.first.len() {
                params.addresses[address] = if guest { HOME.get() + (address * AREA) as u64 } else { stage.address(address) };
            }
            if !guest {
                (0..test.pages).for_each(|page| params.pages[page] = stage.page(page, shape.is_huge()));
            }
            plan.params.push(params);
            plan.ways.push(if shape.get(Parameter::Visit) == 1 { random.random_range(1..1 << 16) } else { 0 });
            plan.waits.push(match shape.get(Parameter::Operation) {
                0 => Duration::ZERO,
                1 => pass.mul_f64(random.random_range(0.0..0.3)),
                _ => pass.mul_f64(random.random_range(0.3..1.2)),
            });
        }
        plan
    }
}

/// Turns of an empty loop, of about a nanosecond each: none half of the time, and otherwise for up to `most`.
fn turns(random: &mut Xoshiro256PlusPlus, most: Duration) -> u64 {
    if random.random_bool(0.5) { 0 } else { random.random_range(0..=most.as_nanos().min(1 << 24) as u64) }
}

/// The system calls of a test.
pub(super) fn deeds<'t>(test: &'t Test<'_>) -> impl Iterator<Item = (usize, Deed)> + 't {
    let parts = test.threads.iter().flat_map(|thread| &thread.parts);
    parts.filter_map(|part| if let Part::Deed { address, deed } = part { Some((*address, *deed)) } else { None })
}
