//! The stress programs: one phenomenon each, KTAP on standard output as results come, kselftest exit codes.

use clap::Parser;
use nostale_guest::abi::MAX_VCPUS;
use nostale_vmm::{
    host::{clock, facts::Facts, knobs::Knobs},
    live::{self, Config, Hooks, Scenario},
    report::{ScenarioResult, ktap},
};
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::Duration,
};

/// kselftest: the test could not be run as asked.
const KSFT_FAIL: u8 = 1;
/// kselftest: skipped.
const KSFT_SKIP: u8 = 4;

/// Stresses one phenomenon, and prints KTAP.
#[derive(Debug, Parser)]
struct Options {
    /// Time for each scenario
    #[arg(long, default_value_t = 5.0, value_name = "S")]
    seconds: f64,
    /// Where everything random comes from
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// vCPUs of each VM
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MAX_VCPUS as i64))]
    vcpus: u8,
}

struct Ktap {
    number: usize,
    ticks_per_us: f64,
}

impl Hooks for Ktap {
    fn ends(&mut self, result: &ScenarioResult) {
        self.number += 1;
        say(&ktap::result(self.number, result, self.ticks_per_us));
    }
}

fn say(text: &str) {
    // A reader that went away is no reason to stop testing.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Runs these scenarios, given as operations and backing.
#[must_use]
pub fn main(scenarios: &[(&str, &str)]) -> ExitCode {
    // Guests are migrated to this program.
    if let Some(status) = nostale_vmm::migration::entry() {
        return status;
    }
    let options = Options::parse();
    let plan: Result<Vec<Vec<Scenario>>, _> = scenarios
        .iter()
        .map(|(operations, backing)| live::plan(Some(&[(*operations).to_owned()]), Some(&[(*backing).to_owned()])))
        .collect();
    let (Ok(plan), Ok(time)) = (plan, Duration::try_from_secs_f64(options.seconds * scenarios.len() as f64)) else {
        eprintln!("--seconds {}: not a time", options.seconds);
        return ExitCode::from(KSFT_FAIL);
    };
    let plan = plan.concat();
    let facts = Facts::gather();
    if let Err(need) = facts.need_kvm() {
        say(&format!("KTAP version 1\n1..0 # SKIP {need}\n"));
        return ExitCode::from(KSFT_SKIP);
    }
    let config = Config {
        vcpus: usize::from(options.vcpus),
        host_writers: 1,
        pages: 16384,
        seed: options.seed,
        file_dir: std::env::temp_dir(),
        stall_bound: Duration::from_secs(10),
        plant: None,
        until_violation: false,
        storm_round: false,
        layout: None,
        told: None,
    };
    // Without it host settings stay as they are, and what needs them is skipped or says so.
    let knobs = Knobs::open(Knobs::default_dir()).ok();
    say(&ktap::plan(plan.len()));
    let mut hooks = Ktap { number: 0, ticks_per_us: clock::hertz() / 1e6 };
    match live::run(&plan, &config, &facts, knobs.as_ref(), time, &AtomicBool::new(false), &mut hooks) {
        Ok(report) => {
            report.notes.iter().for_each(|note| say(&format!("# {note}\n")));
            ExitCode::from(ktap::exit_status(report.verdict))
        }
        Err(error) => {
            say(&format!("Bail out! {error}\n"));
            ExitCode::from(KSFT_FAIL)
        }
    }
}
