//! The recording that a command makes of its own VMs (`--trace`), and where a recording is made.

use super::Refused;
use crate::{
    report::outdir::OutDir,
    trace::{OwnTrace, export::RECORDING},
};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// In the directory of results, if there is to be one; otherwise it is read and forgotten.
pub(super) fn place(out: Option<&OutDir>, scratch: &Path) -> PathBuf {
    out.map_or_else(|| scratch.join(RECORDING), |out| out.place(RECORDING))
}

/// Begins one for a command of this name; gives also the directory that it may be in, which must outlive it.
pub(super) fn begin(name: &str, out: Option<&OutDir>) -> Result<(OwnTrace, TempDir), Refused> {
    let scratch = tempfile::tempdir()?;
    let trace = OwnTrace::start(&place(out, scratch.path()), name).map_err(|error| format!("--trace: {error}"))?;
    Ok((trace, scratch))
}
