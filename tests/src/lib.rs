//! What the stress programs and benchmarks share.

pub mod median;
pub mod stress;
