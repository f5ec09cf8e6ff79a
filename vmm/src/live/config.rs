//! How scenarios are run.

use super::Plant;
use std::{path::PathBuf, time::Duration};

/// How scenarios are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// vCPUs of each VM.
    pub vcpus: usize,
    /// Host threads that write beside them.
    pub host_writers: usize,
    /// Guest memory under test, in pages.
    pub pages: u64,
    /// Where everything random comes from.
    pub seed: u64,
    /// Where backing files are made.
    pub file_dir: PathBuf,
    /// How long a vCPU may be without progress.
    pub stall_bound: Duration,
    /// A deliberately wrong host.
    pub plant: Option<Plant>,
}
