//! How the threads of a test come together: the shape of a round.
//!
//! A bug that shows for some nanoseconds is found by chance when threads race through single instances, and at once where a thread
//! leaves thousands of instances in that very state until the others have passed by. No shape is best for every test, so rounds of
//! all shapes take turns; when some time has passed, those that bring up rare outcomes come more often.

use std::{fmt, time::Duration};

/// How far a thread goes in an instance before it leaves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    /// As far as it can.
    Whole,
    /// The same number of steps in all instances of a chunk, up to so many.
    Even(u32),
    /// In each instance another number of steps, up to so many.
    Uneven(u32),
}

/// The most steps of a visit: a thread that polls would never come back.
pub(super) const WHOLE: u32 = 256;

/// How the threads of a test come together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// All processors are in the same chunk of instances at a time, and race; otherwise each has chunks for itself, and only the
    /// order in which it carries the threads through them is left to chance.
    pub(super) together: bool,
    pub(super) pace: Pace,
    /// Processors begin somewhere in the chunk.
    pub(super) skewed: bool,
    /// Instances of a chunk.
    pub(super) chunk: usize,
}

const fn shape(together: bool, pace: Pace, skewed: bool, chunk: usize) -> Shape {
    Shape { together, pace, skewed, chunk }
}

/// All shapes there are.
pub const SHAPES: [Shape; 10] = [
    shape(false, Pace::Whole, false, 64),
    shape(false, Pace::Even(1), false, 64),
    shape(false, Pace::Even(6), false, 64),
    shape(false, Pace::Uneven(3), false, 64),
    shape(false, Pace::Uneven(12), false, 64),
    shape(true, Pace::Whole, false, 16),
    shape(true, Pace::Whole, true, 64),
    shape(true, Pace::Even(3), false, 64),
    shape(true, Pace::Uneven(4), true, 64),
    shape(true, Pace::Uneven(12), false, 16),
];

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.together { "together" } else { "apart" })?;
        match self.pace {
            Pace::Whole => f.write_str(", as far as they can")?,
            Pace::Even(1) => f.write_str(", step by step")?,
            Pace::Even(most) => write!(f, ", up to {most} steps alike")?,
            Pace::Uneven(most) => write!(f, ", up to {most} steps each")?,
        }
        write!(f, ", {} instances{}", self.chunk, if self.skewed { ", skewed" } else { "" })
    }
}

/// How likely each shape should be the next, by what it has brought up so far: `counts` of each outcome by shape, all `instances`, and
/// the time that they took. Every shape keeps a share of the time; an outcome that a shape brings up more often in the same time than
/// others do speaks for it, if it is a rare one.
pub(super) fn weights(
    counts: &[[u64; SHAPES.len()]],
    instances: &[u64; SHAPES.len()],
    times: &[Duration; SHAPES.len()],
) -> [f64; SHAPES.len()] {
    let seconds = times.map(|time| time.as_secs_f64().max(1e-9));
    let mut shares = [1.0; SHAPES.len()];
    let all: u64 = instances.iter().sum();
    for count in counts {
        let total: u64 = count.iter().sum();
        if total == 0 || total > all / 100 {
            continue;
        }
        let rates = count.iter().zip(seconds).map(|(count, seconds)| *count as f64 / seconds);
        let sum: f64 = rates.clone().sum();
        for (share, rate) in shares.iter_mut().zip(rates) {
            *share += SHAPES.len() as f64 * rate / sum;
        }
    }
    // All rounds have as many instances: those that take less time have to come more often for the same share of it.
    let mut weights = shares;
    for ((weight, instances), seconds) in weights.iter_mut().zip(instances).zip(seconds) {
        *weight *= *instances as f64 / seconds;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_brings_up_what_is_rare_comes_more_often_and_none_is_left_out() {
        let (instances, mut times) = ([1_000_000; SHAPES.len()], [Duration::from_millis(100); SHAPES.len()]);
        let (mut common, mut rare) = ([400_000; SHAPES.len()], [0; SHAPES.len()]);
        (common[0], rare[3]) = (1, 12);
        let even = weights(&[common], &instances, &times);
        assert!(even.iter().all(|weight| (weight - even[0]).abs() < 1.0), "{even:?}");
        let dwells = weights(&[common, rare], &instances, &times);
        assert!(dwells.iter().enumerate().all(|(shape, weight)| (shape == 3) == (*weight > 5.0 * even[0])), "{dwells:?}");
        times[5] *= 2;
        let slower = weights(&[common], &instances, &times);
        assert!((slower[5] * 2.0 - slower[0]).abs() < 1.0, "the same time, and half of the rounds: {slower:?}");
    }

    #[test]
    fn every_shape_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = SHAPES.iter().map(Shape::to_string).collect();
        assert_eq!(names.len(), SHAPES.len(), "{names:?}");
    }
}
