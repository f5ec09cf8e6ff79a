//! What recordings cost: reading and judging them, making them, keeping them in memory. Figures are compared with others of the same run;
//! nothing here passes or fails.

mod memory;
mod reading;
mod recording;

use clap::Parser;
use nostale_vmm::host::facts::Facts;
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Measures recordings: events a second of reading and judging beside trace-cmd, what recording costs a run, and memory.
#[derive(Debug, Parser)]
struct Options {
    /// How long the run is that is recorded and read
    #[arg(long, default_value_t = 15.0, value_name = "S")]
    seconds: f64,
    /// How often each thing is measured
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Events of the made-up recording whose reading shows how much memory that takes; a second one has four times as many
    #[arg(long, default_value_t = 5_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..))]
    events: u64,
    /// Only this part
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Reading and judging, beside trace-cmd
    Reading,
    /// What recording costs a run
    Recording,
    /// Memory
    Memory,
}

fn main() -> ExitCode {
    match bench(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-trace: {error}");
            ExitCode::from(2)
        }
    }
}

fn bench(options: &Options) -> Result<(), Box<dyn Error>> {
    let program = nostale()?;
    let dir = tempfile::tempdir()?;
    let wanted = |part| options.only.is_none_or(|only| only == part);
    let missing = cannot_record();
    if wanted(Part::Reading) {
        match &missing {
            None => reading::bench(&program, dir.path(), options)?,
            Some(why) => println!("reading a real recording: skipped: {why}"),
        }
    }
    if wanted(Part::Recording) {
        match &missing {
            None => recording::bench(&program, dir.path(), options.rounds)?,
            Some(why) => println!("\nwhat recording costs: skipped: {why}"),
        }
    }
    if wanted(Part::Memory) {
        memory::bench(&program, dir.path(), options.events)?;
    }
    Ok(())
}

/// Cargo puts the programs of a workspace side by side.
fn nostale() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?.with_file_name("nostale");
    if !program.exists() {
        let beside = program.display();
        return Err(format!("there is no `nostale` beside this program ({beside}): scripts/bench-trace builds it").into());
    }
    Ok(program)
}

/// Why no run can be recorded here, if so.
fn cannot_record() -> Option<String> {
    let facts = Facts::gather();
    if let Err(need) = facts.need_kvm() {
        return Some(need.to_string());
    }
    let tracefs = match nostale_notifier::trace::record::find_tracefs() {
        Ok(tracefs) => tracefs,
        Err(error) => return Some(error.to_string()),
    };
    let probe = tracefs.join("instances").join(format!("nostale_bench_{}", std::process::id()));
    let made = std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe));
    made.err().map(|error| format!("{}: {error}", probe.display()))
}

/// `nostale run` with these arguments, quietly.
fn run(program: &Path, seconds: f64, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["run", "--quiet", "--seed", "1", "--format", "json", "--seconds", &seconds.to_string()]).args(arguments);
    command
}
