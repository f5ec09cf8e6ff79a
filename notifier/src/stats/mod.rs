//! What is needed of statistics to say of two recordings that they differ: pure functions of numbers, without any knowledge of what was
//! counted.

mod bootstrap;
mod holm;
mod permutation;

pub use bootstrap::{Interval, ratio};
pub use holm::holm;
pub use permutation::{Exact, exact, levels};
