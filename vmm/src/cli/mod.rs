//! The command line. Exit status: 0 held, 1 violation or stuck, 2 usage or environment, 3 vacuous or inconclusive, 4 skipped.

mod args;
mod check;
mod compare;
mod doctor;
mod files;
mod fmt;
mod interrupt;
mod litmus;
mod machine;
mod matrix;
mod models;
mod mutate;
mod output;
mod recording;
mod report;
mod run;
mod size;
mod trace;

pub(crate) use doctor::as_json as doctor_json;

use crate::{inside, migration};
use args::{Cli, Command};
use clap::Parser;
use std::{fmt::Display, process::ExitCode};

/// Usage or environment: the run could not be made.
const CANNOT: u8 = 2;

/// What ends a command early: one line for people, and an exit status of 2.
struct Refused(String);

impl<E: Display> From<E> for Refused {
    fn from(error: E) -> Self {
        // One line, whatever an error deep down has to say.
        Self(error.to_string().replace('\n', " "))
    }
}

/// Runs the command line that this process was started with.
#[must_use]
pub fn main() -> ExitCode {
    if inside::is_init() {
        inside::init();
    }
    if let Some(status) = migration::entry() {
        return status;
    }
    // A closed pipe (`nostale … | head`) comes back as an error, which `output::print` takes for what it is.
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Doctor => doctor::doctor(&cli.common),
        Command::Run(options) => run::run(options, &cli.common),
        Command::Matrix(options) => matrix::matrix(options, &cli.common),
        Command::Check(options) => check::check(options, &cli.common),
        Command::Litmus(options) => litmus::litmus(options, &cli.common),
        Command::Compare(options) => compare::compare(options, &cli.common),
        Command::Fmt(options) => fmt::fmt(options, &cli.common),
        Command::Trace(options) => trace::trace(options, &cli.common),
        Command::Mutate(options) => mutate::mutate(options, &cli.common),
        Command::Report(options) => report::report(options, &cli.common),
    };
    result.unwrap_or_else(|Refused(reason)| {
        eprintln!("nostale: {reason}");
        ExitCode::from(CANNOT)
    })
}
