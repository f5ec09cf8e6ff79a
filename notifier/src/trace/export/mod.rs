//! A recording in the formats of other tools: tables for spreadsheets and SQL, timelines for Perfetto, and `trace.dat` for `trace-cmd`
//! and KernelShark.
//!
//! All of them take items in order of time, one by one, and need memory that does not grow with the recording (except for a word on
//! every thread). A file appears under its name when it is whole.
//!
//! Names of threads are known at the end of a recording only, so tables have the number of the thread in each row and its name in a
//! second table beside them, `NAME.threads.csv`: `SELECT * FROM 'x.parquet' LEFT JOIN 'x.threads.csv' USING (tid)`.
//!
//! [`trace_dat`] is apart: it takes the kernel's own pages, not items.

mod csv;
mod parquet;
mod perfetto;
mod proto;
mod row;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests;
pub mod trace_dat;

use super::{
    event::Item,
    head::{Head, Tail},
};
use std::{
    fs::Permissions,
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::{Builder, NamedTempFile};

/// What kept a recording from being exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file could not be written.
    #[error("{path}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The writer of Parquet files refused.
    #[error("{path}: {source}")]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ::parquet::errors::ParquetError,
    },
    /// The recording says nothing about its clock that could be true.
    #[error("the recording's clock makes {0} ticks a second: no time can be told from that")]
    Clock(f64),
}

/// Takes a recording, item by item.
pub trait Export {
    /// One more item. None is earlier than the one before.
    ///
    /// # Errors
    /// If it cannot be written.
    fn item(&mut self, item: &Item) -> Result<(), ExportError>;

    /// There are no more. Until now there was no file of this name, or an older one.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn finish(self: Box<Self>, tail: Option<&Tail>) -> Result<(), ExportError>;
}

/// A format that items can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For ui.perfetto.dev and `trace_processor`.
    Perfetto,
    /// A table as text (RFC 4180), one row for each event.
    Csv,
    /// The same table in columns, for DuckDB, pandas and everything else that does SQL.
    Parquet,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Perfetto, Self::Csv, Self::Parquet];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Perfetto => "perfetto",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// Begins a file in this format. It must have a name of its own: what is there gives way.
    ///
    /// # Errors
    /// If nothing can be written there, or the recording does not know its clock.
    pub fn open(self, path: &Path, head: &Head) -> Result<Box<dyn Export>, ExportError> {
        let clock = Clock::new(head.hertz)?;
        Ok(match self {
            Self::Perfetto => Box::new(perfetto::Perfetto::create(path, head, clock)?),
            Self::Csv => Box::new(csv::Csv::create(path, clock)?),
            Self::Parquet => Box::new(parquet::Parquet::create(path, head, clock)?),
        })
    }
}

/// Ticks as time since the first item.
#[derive(Clone, Copy, Debug)]
struct Clock {
    hertz: f64,
    first: Option<u64>,
}

impl Clock {
    fn new(hertz: f64) -> Result<Self, ExportError> {
        if hertz.is_finite() && hertz >= 1.0 { Ok(Self { hertz, first: None }) } else { Err(ExportError::Clock(hertz)) }
    }

    /// Ticks since the first time that this was asked of, or that time if it is the first.
    fn ticks(&mut self, tsc: u64) -> u64 {
        tsc.saturating_sub(*self.first.get_or_insert(tsc))
    }

    fn microseconds(&mut self, tsc: u64) -> f64 {
        self.ticks(tsc) as f64 * 1e6 / self.hertz
    }

    fn nanoseconds(&mut self, tsc: u64) -> u64 {
        (self.ticks(tsc) as f64 * 1e9 / self.hertz) as u64
    }
}

/// A file that gets its name when it is whole.
#[derive(Debug)]
struct Whole {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl Whole {
    fn create(path: &Path) -> Result<Self, ExportError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // As any other new file: what the umask leaves of it.
        let file = Builder::new().prefix(".nostale-").permissions(Permissions::from_mode(0o666)).tempfile_in(folder);
        let file = file.map_err(|source| ExportError::Write { path: path.to_owned(), source })?;
        Ok(Self { file: BufWriter::with_capacity(1 << 16, file), path: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.file.write_all(bytes).map_err(|source| ExportError::Write { path: self.path.clone(), source })
    }

    fn keep(self) -> Result<(), ExportError> {
        let Self { file, path } = self;
        let kept = file.into_inner().map_err(io::IntoInnerError::into_error);
        let kept = kept.and_then(|file| file.persist(&path).map_err(|refused| refused.error));
        kept.map(drop).map_err(|source| ExportError::Write { path, source })
    }
}

/// Where the names of threads of a table stand.
#[must_use]
pub fn threads_beside(path: &Path) -> PathBuf {
    path.with_extension("threads.csv")
}

fn write_threads(path: &Path, tail: Option<&Tail>) -> Result<(), ExportError> {
    let mut file = Whole::create(&threads_beside(path))?;
    file.write(b"tid,thread\r\n")?;
    for (tid, name) in tail.iter().flat_map(|tail| &tail.threads) {
        file.write(format!("{tid},{}\r\n", csv::quoted(name)).as_bytes())?;
    }
    file.keep()
}
