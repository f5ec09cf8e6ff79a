//! What can be said to `nostale compare`.

use crate::cli::size::parse_probability;
use clap::Args;
use std::path::PathBuf;

pub(super) const STATUS: &str = "\
Exit status:
  0  no relevant difference; that frequencies and times have moved is information
  1  an order that no rule permits is in B, if only once, and never in A for that operation; or a rule that held in A is broken in B
  2  usage; a recording could not be read
  3  nothing could be compared: no operation in common, or both are vacuous";

/// Options of `nostale compare`.
#[derive(Args, Debug)]
pub(in super::super) struct CompareOptions {
    /// The recording to compare with: a directory of `nostale trace --out`, its trace.json, or the recording itself
    #[arg(value_name = "A")]
    pub(in super::super) a: PathBuf,
    /// The recording to be judged
    #[arg(value_name = "B")]
    pub(in super::super) b: PathBuf,
    /// The probability of one false alarm or more among frequencies and times, at the most
    #[arg(long, value_name = "P", default_value = "0.01", value_parser = parse_probability)]
    pub(in super::super) alpha: f64,
}
