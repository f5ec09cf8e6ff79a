//! The order in which a vCPU visits pages: sequential, random and hot set by turns, all from one seed.

/// How the next page is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after the other, with wrap-around: long runs through large translations.
    Sequential,
    /// Anywhere: translations come and go.
    Random,
    /// Within the pages that host operations are working on: the narrow race windows.
    HotSet,
}

/// Which pages a walk prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Mostly all over the arena.
    Roams,
    /// Mostly in the hot set. Where host operations are slow (under emulation a few dozen a second) a walk that roams would be
    /// elsewhere nearly always, and what lasts for a moment would go unseen.
    Lingers,
}

impl Habit {
    /// Half of the vCPUs have either habit, the first one lingers.
    #[must_use]
    pub const fn of(vcpu: u64) -> Self {
        if vcpu.is_multiple_of(2) { Self::Lingers } else { Self::Roams }
    }

    /// Visits after which the order changes. Visits to the hot set meet faults and may be many times slower than others.
    /// Odd and prime, so that turns do not fall in step with anything.
    const fn turn(self, order: Order) -> u32 {
        match (self, order) {
            (Self::Roams, Order::HotSet) | (Self::Lingers, Order::Sequential | Order::Random) => 4093,
            (Self::Lingers, Order::HotSet) | (Self::Roams, Order::Sequential | Order::Random) => 32749,
        }
    }
}

/// A walk over the pages of the arena.
#[derive(Clone, Debug)]
pub struct Walk {
    state: u64,
    pages: u64,
    next: u64,
    habit: Habit,
    order: Order,
    left: u32,
}

/// SplitMix64: every seed gives a full-period sequence, and neighbouring seeds unrelated ones.
#[inline(always)]
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `0..n` from 64 random bits, without a division.
#[inline(always)]
fn below(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}

impl Walk {
    /// A walk over `pages` pages (at least 1).
    #[must_use]
    pub fn new(seed: u64, pages: u64, habit: Habit) -> Self {
        let mut state = seed;
        let bits = mix(&mut state);
        let order = [Order::HotSet, Order::Random, Order::Sequential][(bits % 3) as usize];
        let next = below(mix(&mut state), pages);
        Self { state, pages, next, habit, order, left: habit.turn(order) }
    }

    /// The next page, below the number of pages. `hot` gives start and size of the hot set at this moment.
    #[inline(always)]
    pub fn next(&mut self, hot: impl FnOnce() -> (u64, u64)) -> u64 {
        if self.left == 0 {
            self.take_turns();
        }
        self.left -= 1;
        match self.order {
            Order::Sequential => {
                let page = self.next;
                self.next = if page + 1 == self.pages { 0 } else { page + 1 };
                page
            }
            Order::Random => below(mix(&mut self.state), self.pages),
            Order::HotSet => {
                let (start, pages) = hot();
                let page = start + below(mix(&mut self.state), pages);
                // The two words are not read as one: a set that moved in between may reach over the end.
                if page < self.pages { page } else { start.min(self.pages - 1) }
            }
        }
    }

    #[cold]
    fn take_turns(&mut self) {
        self.order = match self.order {
            Order::HotSet => Order::Sequential,
            Order::Sequential => Order::Random,
            Order::Random => Order::HotSet,
        };
        self.left = self.habit.turn(self.order);
        self.next = below(mix(&mut self.state), self.pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_stays_inside_and_all_pages_are_visited() {
        let mut seen = [false; 300];
        let mut walk = Walk::new(7, 300, Habit::Roams);
        for _ in 0..4 * Habit::Roams.turn(Order::Random) {
            // A torn hot set: it starts inside and ends outside.
            seen[walk.next(|| (290, 64)) as usize] = true;
        }
        assert!(seen.iter().all(|&s| s));
    }

    #[test]
    fn a_seed_gives_the_same_walk_twice_and_another_seed_another() {
        let take = |seed| {
            let mut walk = Walk::new(seed, 1 << 20, Habit::of(0));
            core::array::from_fn::<u64, 64, _>(|_| walk.next(|| (0, 1 << 20)))
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn one_page_is_enough() {
        let mut walk = Walk::new(3, 1, Habit::of(1));
        assert!((0..3 * Habit::Roams.turn(Order::Random)).all(|_| walk.next(|| (0, 1)) == 0));
    }
}
