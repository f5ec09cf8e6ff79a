//! Options of `nostale report`.

use clap::Args;
use std::path::PathBuf;

pub(super) const STATUS: &str = "\
Exit status:
  0  the page is there, whatever it says
  2  there is no result in the directory, or the page could not be written";

/// Options of `nostale report`.
#[derive(Args, Debug)]
pub(in crate::cli) struct ReportOptions {
    /// A directory that --out has made, or one with several of them
    #[arg(value_name = "DIR")]
    pub(in crate::cli) directory: PathBuf,
    /// Where to write the page [default: report.html in DIR]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) to: Option<PathBuf>,
}
