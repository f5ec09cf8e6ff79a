//! How long the guests take for a round: what is to come at any time of it has to know.

use super::shape::{Parameter, Shape, VALUES};
use std::time::Duration;

/// What a round's time depends on most: how many instances there are, and how many faults.
const DEPENDS: [Parameter; 3] = [Parameter::Stride, Parameter::Pages, Parameter::Instances];

/// No round is worth waiting longer for.
const LONGEST: Duration = Duration::from_millis(20);

/// How long the guests took for rounds of each kind, lately.
#[derive(Debug)]
pub(super) struct Paces([Duration; VALUES * VALUES * VALUES]);

impl Default for Paces {
    fn default() -> Self {
        Self([Duration::from_micros(200); VALUES * VALUES * VALUES])
    }
}

impl Paces {
    fn kind(shape: Shape) -> usize {
        DEPENDS.iter().fold(0, |kind, parameter| kind * VALUES + shape.get(*parameter))
    }

    /// How long they will take for a round of this shape, as far as is known.
    pub(super) fn of(&self, shape: Shape) -> Duration {
        self.0[Self::kind(shape)]
    }

    /// They took so long.
    pub(super) fn learn(&mut self, shape: Shape, took: Duration) {
        let known = &mut self.0[Self::kind(shape)];
        *known = (*known * 3 + took.min(LONGEST)) / 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::litmus::shape::Possible;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn each_kind_of_round_is_learnt_by_itself() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut draw = |value| {
            let possible = Possible::all().only(Parameter::Stride, value);
            Shape::draw(&mut random, &possible, &crate::litmus::shape::EVEN)
        };
        let (near, far) = (draw(0), draw(2));
        let mut paces = Paces::default();
        let before = paces.of(far);
        (0..40).for_each(|_| paces.learn(near, Duration::from_secs(3600)));
        assert_eq!((paces.of(near).as_millis(), paces.of(far)), (LONGEST.as_millis() - 1, before));
    }
}
