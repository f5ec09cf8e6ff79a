//! The line that runs one scenario in one kernel again.

use super::MatrixPlan;
use crate::{
    inside::{Pair, RunRequest},
    live::memory_option,
    report::matrix::MachineShape,
};

/// A machine of the command line's defaults, which a replay need not repeat.
const USUAL_CPUS: u32 = 2;
const USUAL_NODES: u32 = 2;
const USUAL_MEMORY: u64 = 2 << 30;

pub(super) fn replay(plan: &MatrixPlan<'_>, asked: &str, pair: &Pair, seconds: f64) -> String {
    let RunRequest { vcpus, host_writers, memory_bytes, plant, layout, .. } = &plan.request;
    let mut line = format!(
        "nostale matrix --kernel {} --ops {} --backing {} --vcpus {} --host-writers {host_writers} --memory {} --seconds {} --seed {:#x}",
        quoted(asked),
        pair.ops,
        pair.backing,
        vcpus.unwrap_or_default(),
        memory_option(*memory_bytes),
        seconds.ceil().max(1.0),
        plan.seed,
    );
    let mut add = |option: &str, value: &str| line.push_str(&format!(" --{option} {value}"));
    if let Some(plant) = plant {
        add("plant", plant);
    }
    if let Some(layout) = layout {
        add("layout", layout);
    }
    let MachineShape { cpus, memory_bytes, nodes, append } = &plan.machines.shape;
    if *cpus != USUAL_CPUS {
        add("cpus", &cpus.to_string());
    }
    if *memory_bytes != USUAL_MEMORY {
        add("machine-memory", &memory_option(*memory_bytes));
    }
    if *nodes != USUAL_NODES {
        add("nodes", &nodes.to_string());
    }
    for word in append {
        add("append", &quoted(word));
    }
    line
}

/// A word for a shell.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_./:,=@%~".contains(c);
    if !word.is_empty() && !word.starts_with('~') && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_what_was_meant() {
        assert_eq!([quoted("6.1"), quoted("/a b/bzImage"), quoted("it's")], ["6.1", "'/a b/bzImage'", r"'it'\''s'"]);
        assert_eq!([quoted(""), quoted("~x"), quoted("a=b")], ["''", "'~x'", "a=b"]);
    }
}
