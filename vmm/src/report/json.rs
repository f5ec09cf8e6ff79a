//! A run for programs, written and read back. The schema is [`RunReport`]; a number that is none (a rate over no time) is `null`.

use super::RunReport;
use serde::Serialize;
use std::{
    io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The version of the schema that is written, and the only one there ever was.
const VERSION: u32 = 1;

/// Why a document is not the result of a run.
#[derive(Debug, Error)]
pub enum BadDocument {
    /// Not JSON, not the schema, or not whole.
    #[error("not the result of a run: {0}")]
    Json(#[from] serde_json::Error),
    /// A schema of the future.
    #[error("a result of version {0}: this nostale reads version {VERSION}")]
    Version(u32),
}

/// Why a file could not be read as a result.
#[derive(Debug, Error)]
pub enum ReadError<E> {
    /// No file, or no right to it.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file with something else in it.
    #[error("{}: {error}", path.display())]
    Document {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: E,
    },
}

/// The result in a file, which `parse` understands.
pub(super) fn file<T, E>(path: &Path, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, ReadError<E>> {
    let text = std::fs::read_to_string(path).map_err(|error| ReadError::Io { path: path.to_owned(), error })?;
    parse(&text).map_err(|error| ReadError::Document { path: path.to_owned(), error })
}

/// The version that a document says it has: before anything else in it is understood.
pub(super) fn version(text: &str) -> Result<u32, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    serde_json::from_str(text).map(|Version { version }| version)
}

/// The run in a document that [`render`] wrote, or that a newer version wrote with fields that this one does not know.
///
/// # Errors
/// When it is anything else.
pub fn parse(text: &str) -> Result<RunReport, BadDocument> {
    let version = version(text)?;
    if version != VERSION {
        return Err(BadDocument::Version(version));
    }
    Ok(serde_json::from_str(text)?)
}

/// The run in a file.
///
/// # Errors
/// The file's name, and what is wrong.
pub fn read(path: &Path) -> Result<RunReport, ReadError<BadDocument>> {
    file(path, parse)
}

/// The document, indented for whoever looks into it, ending in a newline.
#[must_use]
pub fn render(report: &RunReport) -> String {
    document(report)
}

/// Any part of a result as a document of its own.
pub(super) fn document(part: &impl Serialize) -> String {
    let document = serde_json::to_string_pretty(part);
    // Only a map with keys that are no strings, or a serializer that fails by itself, gets here: results have neither. Should one
    // ever come, readers find a document that says so in place of a verdict.
    let document = document.unwrap_or_else(|error| format!("{:#}", serde_json::json!({ "error": error.to_string() })));
    document + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        machine::Sample,
        report::{OperationCount, sample},
    };
    use serde_json::Value;

    fn parsed(report: &RunReport) -> Value {
        let text = render(report);
        assert!(text.ends_with("}\n"));
        serde_json::from_str(&text).expect("valid JSON")
    }

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    /// Scripts rely on these. A new field may be added to a list; none may be renamed or go.
    #[test]
    fn the_names_of_the_contract_are_there() {
        let run = parsed(&sample::run());
        for name in ["version", "verdict", "seed", "host", "setup", "interrupted", "scenarios", "notes"] {
            assert!(keys(&run).contains(&name), "{name}");
        }
        assert_eq!(run["version"], 1);
        for name in ["kernel", "mmu", "cpu", "cpus"] {
            assert!(keys(&run["host"]).contains(&name), "{name}");
        }
        for name in [
            "name",
            "backing",
            "verdict",
            "reason",
            "seconds",
            "operations",
            "operations_per_second",
            "guest_writes",
            "host_writes",
            "writes_per_second",
            "lost_writes",
            "stale_writes",
            "stale_reads",
            "longest_stall_us",
            "invalidations",
            "installs",
            "efaults",
            "replay",
        ] {
            for scenario in run["scenarios"].as_array().expect("a list") {
                assert!(keys(scenario).contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn values_are_what_the_contract_says() {
        let run = parsed(&sample::run());
        assert_eq!(run["verdict"], "violation");
        assert_eq!(run["seed"], 0x5eed);
        assert_eq!(run["scenarios"][0]["reason"], Value::Null);
        assert_eq!(run["scenarios"][5]["verdict"], "skipped");
        assert_eq!(run["scenarios"][1]["violations"][0]["oracle"], "finality");
    }

    #[test]
    fn extreme_numbers_survive_and_what_is_no_number_is_null() {
        let mut report = sample::run();
        report.seed = u64::MAX;
        report.scenarios[0].guest_writes = u64::MAX;
        report.scenarios[0].writes_per_second = f64::NAN;
        report.scenarios[0].operations_per_second = f64::INFINITY;
        let run = parsed(&report);
        assert_eq!(run["seed"], u64::MAX);
        assert_eq!(run["scenarios"][0]["guest_writes"], u64::MAX);
        assert_eq!(run["scenarios"][0]["writes_per_second"], Value::Null);
        assert_eq!(run["scenarios"][0]["operations_per_second"], Value::Null);
    }

    /// A run in which no field of any part has the value that a reader would come to by itself.
    fn full() -> RunReport {
        let mut report = sample::run();
        let scenario = &mut report.scenarios[1];
        scenario.method = Some("move_pages between nodes".to_owned());
        scenario.by_operation = vec![OperationCount { name: "mremap".to_owned(), operations: 3, pages: u64::MAX }];
        scenario.seconds = 0.1 + 0.2;
        scenario.kvm = serde_json::from_value(
            serde_json::to_value(Sample::default())
                .expect("a map")
                .as_object()
                .expect("a map")
                .keys()
                .zip(1u64..)
                .map(|(name, n)| (name.clone(), n.into()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        )
        .expect("counters");
        report.interrupted = true;
        report
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = render(&full());
        assert!(!written.contains(": []") || parsed(&full())["scenarios"][1]["violations"] != serde_json::json!([]));
        assert_eq!(render(&parse(&written).expect("our own")), written);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let mut report = full();
        report.scenarios[0].writes_per_second = f64::NAN;
        report.scenarios[0].longest_stall_us = f64::INFINITY;
        let back = parse(&render(&report)).expect("our own");
        assert!(back.scenarios[0].writes_per_second.is_nan() && back.scenarios[0].longest_stall_us.is_nan());
        assert_eq!(render(&back), render(&report));
    }

    #[test]
    fn a_newer_document_may_say_more() {
        let mut value = parsed(&full());
        value["scenarios"][0]["of_the_future"] = 1.into();
        let counters = value["scenarios"][0]["kvm"].as_object_mut().expect("a map");
        counters.remove("pf_taken");
        assert_eq!(parse(&value.to_string()).expect("a superset").scenarios.len(), 6);
    }

    /// One change each to a good document, and what the error must name.
    #[test]
    fn a_bad_document_is_an_error_that_says_what_is_wrong() {
        let cases: [(&str, Value, &str); 8] = [
            ("/version", 2.into(), "version 2"),
            ("/verdict", "fine".into(), "unknown variant `fine`"),
            ("/scenarios/1/violations/0/oracle", "delphi".into(), "delphi"),
            ("/scenarios/1/violations/0/range/end", "0x7f0000011001".into(), "no range of whole pages"),
            ("/scenarios/1/violations/0/range/start", "7f".into(), "'7f' is no address"),
            ("/scenarios/1/violations/0/pages/0/lines/0/0", "12".into(), "'12' is no word of a page"),
            ("/scenarios/0/seconds", "long".into(), "invalid type"),
            ("/host", Value::Null, "struct Host"),
        ];
        for (place, value, names) in cases {
            let mut document = parsed(&full());
            *document.pointer_mut(place).expect("it is there") = value;
            let error = parse(&document.to_string()).expect_err(place).to_string();
            assert!(error.contains(names), "{place}: {error}");
        }
        let mut document = parsed(&full());
        document["scenarios"][0].as_object_mut().expect("a map").remove("guest_writes");
        let error = parse(&document.to_string()).expect_err("a hole").to_string();
        assert!(error.contains("guest_writes"), "{error}");
        let whole = render(&full());
        for end in (0..whole.len() - 2).step_by(97) {
            assert!(parse(&whole[..end]).is_err(), "{end}");
        }
        let error = read(Path::new("/nowhere/run.json")).expect_err("missing").to_string();
        assert!(error.starts_with("cannot read /nowhere/run.json: "), "{error}");
    }
}
