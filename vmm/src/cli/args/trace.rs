//! Options of `nostale trace`.

use crate::cli::size::parse_seconds;
use clap::{Args, ValueEnum};
use std::{ffi::OsString, path::PathBuf, time::Duration};

pub(super) const STATUS: &str = "\
Exit status:
  0  every rule that could be asked held
  1  a rule was broken
  2  usage or environment: nothing was recorded, or a recording could not be read
  3  vacuous: no invalidation met anything that was installed";

/// Options of `nostale trace`.
#[derive(Args, Debug)]
pub(in crate::cli) struct TraceOptions {
    /// The process whose VM is recorded; it is not touched
    #[arg(long, value_name = "PID", conflicts_with_all = ["read", "command"], value_parser = clap::value_parser!(i32).range(1..))]
    pub(in crate::cli) pid: Option<i32>,
    /// Record nothing: read what was recorded before
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "command"])]
    pub(in crate::cli) read: Option<PathBuf>,
    /// How long to record [default: 10 with --pid, until its end with a command]
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub(in crate::cli) seconds: Option<Duration>,
    /// Also write the recording in the formats of other tools, into --out
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST", requires = "out")]
    pub(in crate::cli) export: Vec<ExportTo>,
    /// A command to start and record, from its first instruction
    #[arg(last = true, value_name = "COMMAND")]
    pub(in crate::cli) command: Vec<OsString>,
}

/// The formats of other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ExportTo {
    /// For ui.perfetto.dev
    Perfetto,
    /// A table as text
    Csv,
    /// The same table for DuckDB, pandas and the like
    Parquet,
    /// For trace-cmd and KernelShark
    TraceDat,
}
