//! A run for programs. The schema is [`RunReport`]; a number that is none (a rate over no time) is `null`.

use super::RunReport;
use serde::Serialize;

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
    use crate::report::sample;
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
}
