//! What is needed of statistics to say of two recordings that they differ: pure functions of numbers, without any knowledge of what was
//! counted.

mod bootstrap;
mod holm;
mod permutation;

pub use bootstrap::{Interval, median, median_ratio, ratio};
pub use holm::holm;
pub use permutation::{Exact, exact, levels, ranks};
