//! `storm`: no operation of its own, but all of them, in rounds. See `live::storm`.

use super::{Effect, Operation};

/// The entry by which it is asked for.
pub static STORM: Operation = Operation {
    name: "storm",
    summary: "all operations that fit, several at once, in rounds drawn from the seed; what fails is shrunk to the fewest",
    // Each round has effects of its own.
    effect: |_| Effect::Preserves,
    not_hugetlb: None,
    ..Operation::USUAL
};
