//! What the stress programs and benchmarks share.

pub mod measured;
pub mod median;
pub mod peer;
pub mod stress;
