//! Results of litmus tests, read back.

use super::{LitmusReport, histogram::Histogram};
use crate::report::json::{self, ReadError};
use std::path::Path;
use thiserror::Error;

/// The version of the schema that is written, and the only one there ever was.
const VERSION: u32 = 1;

/// Why a document is not the result of litmus tests.
#[derive(Debug, Error)]
pub enum BadDocument {
    /// Not JSON, or not the schema.
    #[error("not the result of `nostale litmus --format json`: {0}")]
    Json(serde_json::Error),
    /// It ends in the middle.
    #[error("not whole: {0}; was it copied while it was written, or is the disk full?")]
    Cut(serde_json::Error),
    /// A schema of the future.
    #[error("a result of version {0}: this nostale reads version {VERSION}")]
    Version(u32),
    /// Numbers that cannot come from a run.
    #[error("{path} {name}: the batches do not add up to the instances and states of the test; the file was changed")]
    Batches {
        /// The test.
        path: String,
        /// Which ordering and memory model.
        name: String,
    },
}

/// The results in a document that was written by this version or an older one, or by a newer one with fields that this one does not know.
///
/// # Errors
/// When it is anything else.
pub fn parse(text: &str) -> Result<LitmusReport, BadDocument> {
    // The end may be in the middle of a number, too.
    let is_cut = text.trim_start().starts_with('{') && !text.trim_end().ends_with('}');
    let bad = |error: serde_json::Error| {
        if error.is_eof() || is_cut { BadDocument::Cut(error) } else { BadDocument::Json(error) }
    };
    let version = json::version(text).map_err(bad)?;
    if version != VERSION {
        return Err(BadDocument::Version(version));
    }
    let report: LitmusReport = serde_json::from_str(text).map_err(bad)?;
    match report.tests.iter().find(|test| !Histogram::of(test).all(|histogram| histogram.adds_up())) {
        Some(test) => Err(BadDocument::Batches { path: test.path.clone(), name: test.name() }),
        None => Ok(report),
    }
}

/// The results in a file, or in a directory that `--out` made.
///
/// # Errors
/// The file's name, and what is wrong.
pub fn read(path: &Path) -> Result<LitmusReport, ReadError<BadDocument>> {
    if path.is_dir() { json::file(&path.join("report.json"), parse) } else { json::file(path, parse) }
}
