//! What a document is, by its contents: people rename files.

use super::headline::{self, Headline};
use crate::report::{
    RunReport, json, litmus::LitmusReport, litmus::diff::DiffReport, matrix::MatrixReport, mutate::MutateReport,
};
use nostale_notifier::trace::{
    compare::Comparison,
    profile::{self, Profile},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The commands whose results a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `nostale run`.
    Run,
    /// `nostale matrix`.
    Matrix,
    /// `nostale mutate`.
    Mutate,
    /// `nostale check`.
    Check,
    /// `nostale litmus`.
    Litmus,
    /// `nostale litmus --diff`.
    LitmusDiff,
    /// The analysis of a kernel's trace.
    Trace,
    /// `nostale compare`.
    Compare,
    /// JSON of some other kind.
    Unknown,
}

/// What the page needs of a check, whose own structures are only written.
#[derive(Debug, Deserialize)]
pub(super) struct Checked {
    pub(super) files: Vec<CheckedCase>,
    pub(super) errors: Vec<Value>,
    pub(super) interrupted: bool,
}

/// A case of it.
#[derive(Debug, Deserialize)]
pub(super) struct CheckedCase {
    pub(super) verdict: String,
    pub(super) agrees: bool,
    pub(super) vacuous: bool,
    pub(super) states: u64,
    pub(super) seconds: f64,
    pub(super) replay: String,
}

impl Kind {
    /// The command that makes such a document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Matrix => "matrix",
            Self::Mutate => "mutate",
            Self::Check => "check",
            Self::Litmus => "litmus",
            Self::LitmusDiff => "litmus --diff",
            Self::Trace => "trace",
            Self::Compare => "compare",
            Self::Unknown => "unknown",
        }
    }

    /// By the fields that no other kind has.
    pub(super) fn of(document: &Value) -> Self {
        let has = |names: &[&str]| names.iter().all(|name| document.get(name).is_some());
        match () {
            () if !has(&["version"]) => Self::Unknown,
            () if has(&["scenarios", "host", "setup"]) => Self::Run,
            () if has(&["kernels", "setup"]) => Self::Matrix,
            () if has(&["kernels", "seed"]) => Self::Mutate,
            () if has(&["files", "errors"]) => Self::Check,
            () if has(&["tests", "seed"]) => Self::Litmus,
            () if has(&["pairs", "method", "alpha"]) => Self::LitmusDiff,
            () if has(&["rules", "operations", "timelines"]) => Self::Trace,
            () if has(&["rules", "operations", "only_in_a"]) => Self::Compare,
            () => Self::Unknown,
        }
    }

    /// What it comes to, in a sentence; or what is wrong with it.
    pub(super) fn headline(self, text: &str, document: &Value) -> Result<Headline, String> {
        // Every schema is in its first version.
        let version = document.get("version").and_then(Value::as_u64);
        if self != Self::Unknown && version != Some(profile::VERSION.into()) {
            let version = version.map_or("none that it could have".to_owned(), |version| version.to_string());
            return Err(format!("its version is {version}: this nostale reads version {}", profile::VERSION));
        }
        match self {
            Self::Run => json::parse(text).map(|report: RunReport| headline::run(&report)).map_err(|error| error.to_string()),
            Self::Matrix => read(document).map(|report: MatrixReport| headline::matrix(&report)),
            Self::Mutate => read(document).map(|report: MutateReport| headline::mutate(&report)),
            Self::Check => read(document).map(|report: Checked| headline::check(&report)),
            Self::Litmus => read(document).map(|report: LitmusReport| headline::litmus(&report)),
            Self::LitmusDiff => read(document).map(|report: DiffReport| headline::litmus_diff(&report)),
            Self::Trace => read(document).map(|profile: Profile| headline::trace(&profile)),
            Self::Compare => read(document).map(|comparison: Comparison| headline::compare(&comparison)),
            Self::Unknown => Ok(Headline::unknown(document)),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(document: &'a Value) -> Result<T, String> {
    T::deserialize(document).map_err(|error| error.to_string())
}
