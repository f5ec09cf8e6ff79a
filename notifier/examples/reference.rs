//! Measures the explorer with the reference model: `cargo run --release --example reference [WORKERS [RUNS]]`.

use std::ops::ControlFlow;

use nostale_notifier::check::{Limits, explore};

#[path = "../tests/support/mod.rs"]
mod support;

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let (workers, runs) = (args.next().unwrap_or(1), args.next().unwrap_or(1));
    let model = support::reference::reference(true);
    for _ in 0..runs {
        let limits = Limits { max_states: u64::MAX, max_bytes: u64::MAX, workers };
        let outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("the reference is not too wide");
        let rate = outcome.states as f64 / outcome.elapsed.as_secs_f64() / 1e6;
        let bytes = outcome.peak_bytes as f64 / outcome.states as f64;
        println!(
            "{:?}: {} states, {} steps, depth {}, {} bits, {:.3} s, {rate:.2} M states/s, {bytes:.1} bytes a state",
            outcome.verdict,
            outcome.states,
            outcome.transitions,
            outcome.depth,
            outcome.state_bits,
            outcome.elapsed.as_secs_f64()
        );
    }
}
