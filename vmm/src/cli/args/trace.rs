//! Options of `nostale trace`.

use super::MachineOptions;
use crate::cli::size::parse_seconds;
use clap::{
    Args, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    time::Duration,
};

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
    /// How long to record [default: 10 with --pid or --kernel, until its end with a command]
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub(in crate::cli) seconds: Option<Duration>,
    /// Also write the recording in the formats of other tools, into --out
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST", requires = "out")]
    pub(in crate::cli) export: Vec<ExportTo>,
    /// Do it in another kernel, which is booted in QEMU: a Debian version (6.1, 6.12.95, fetched with apt), a .deb, a directory, or a
    /// bzImage, with :DIR for its modules. The command is started in there with its libraries, recorded by its pid once it has a VM, and
    /// ended when the time is over
    #[arg(long, value_name = "NAME|PATH", requires = "command", conflicts_with_all = ["pid", "read", "export"])]
    pub(in crate::cli) kernel: Option<String>,
    /// A file that the command needs in there, and where it is to be [default: where it is here]; again for more
    #[arg(long, value_name = "HOST[:GUEST]", requires = "kernel", value_parser = OsStringValueParser::new().map(FileThere::from))]
    pub(in crate::cli) file: Vec<FileThere>,
    /// What moves the memory of the command in there, over and over: compaction of all memory, migration of all its pages from one NUMA
    /// node to the next (of which --nodes makes several), or nothing but itself
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST", default_value = "compact,migrate")]
    pub(in crate::cli) disturb: Vec<Disturb>,
    #[command(flatten, next_help_heading = "The machine of --kernel")]
    pub(in crate::cli) machine: MachineOptions,
    /// A command to start and record, from its first instruction
    #[arg(last = true, value_name = "COMMAND")]
    pub(in crate::cli) command: Vec<OsString>,
}

/// What can move memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Disturb {
    /// Nothing
    None,
    /// /proc/sys/vm/compact_memory
    Compact,
    /// migrate_pages(2), where there are several NUMA nodes
    Migrate,
}

/// A file of this host, and where it is to be elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct FileThere {
    pub(in crate::cli) here: PathBuf,
    pub(in crate::cli) there: PathBuf,
}

impl From<OsString> for FileThere {
    /// `HOST:GUEST`, or `HOST` alone. What follows a colon is a place only if it is one: names of files may have colons.
    fn from(text: OsString) -> Self {
        let bytes = text.as_bytes();
        match bytes.windows(2).rposition(|two| two == b":/") {
            Some(at) => {
                let [here, there] = [&bytes[..at], &bytes[at + 1..]].map(|part| PathBuf::from(OsStr::from_bytes(part)));
                Self { here, there }
            }
            None => {
                let here = PathBuf::from(text);
                // One that cannot be made absolute is refused where it is read.
                let there = std::path::absolute(&here).unwrap_or_else(|_| here.clone());
                Self { here, there }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_where_it_is_here_or_where_it_is_said_to_be() {
        let of = |text: &str| {
            let FileThere { here, there } = FileThere::from(OsString::from(text));
            [here, there].map(|path| path.display().to_string())
        };
        assert_eq!(of("/a/b"), ["/a/b", "/a/b"]);
        assert_eq!(of("/a/b:/c"), ["/a/b", "/c"]);
        assert_eq!(of("/a:b"), ["/a:b", "/a:b"]);
        assert_eq!(of("a:/b:/c"), ["a:/b", "/c"]);
        let here = std::env::current_dir().expect("somewhere").join("b");
        assert_eq!(of("b"), ["b".to_owned(), here.display().to_string()]);
    }
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
