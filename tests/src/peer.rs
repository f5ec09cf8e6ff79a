//! Other checkers as programs, and what they say.

use std::{path::Path, process::Command};

/// The first of some programs that is not there.
#[must_use]
pub fn missing(programs: &[&str]) -> Option<String> {
    let absent = |program: &&&str| Command::new(program).arg("--version").output().is_err();
    programs.iter().find(absent).map(|program| format!("`{program}` is not installed"))
}

/// Runs a program that must succeed.
///
/// # Errors
/// The command, and what it wrote.
pub fn run(dir: &Path, program: &str, args: &[&str]) -> Result<(), String> {
    let ended = Command::new(program).args(args).current_dir(dir).output().map_err(|error| format!("{program}: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = [&ended.stdout[..], &ended.stderr[..]].concat();
    Err(format!("{program} {}: {}\n{}", args.join(" "), ended.status, String::from_utf8_lossy(&said)))
}

/// What a C compiler must be told about the double-width compare and swap of rumur's programs.
pub const RUMUR_FLAGS: &str = if cfg!(target_arch = "x86_64") { "-mcx16" } else { "-w" };

/// What a program says that rumur made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rumur {
    /// Distinct states.
    pub states: u64,
    /// Steps taken from them.
    pub rules_fired: u64,
    /// Violations.
    pub errors: u64,
    /// The first error's text.
    pub message: Option<String>,
    /// How many rules fired on the way to that error.
    pub length: u64,
    /// For each cover property, in its order, in how many states it held.
    pub covers: Vec<u64>,
}

/// Reads the machine-readable output of rumur, which writes one element a line.
#[must_use]
pub fn read_rumur(said: &str) -> Option<Rumur> {
    let summary = said.lines().find(|line| line.starts_with("<summary "))?;
    let message = said.split("<message>").nth(1).and_then(|rest| rest.split("</message>").next());
    let covers = said.lines().filter(|line| line.starts_with("<cover_result "));
    Some(Rumur {
        states: attribute(summary, "states")?,
        rules_fired: attribute(summary, "rules_fired")?,
        errors: attribute(summary, "errors")?,
        message: message.map(str::to_owned),
        length: said.lines().filter(|line| line.starts_with("<transition>Rule ")).count() as u64,
        covers: covers.map(|line| attribute(line, "count")).collect::<Option<_>>()?,
    })
}

fn attribute(element: &str, name: &str) -> Option<u64> {
    element.rsplit(&format!(" {name}=\"")).next()?.split('"').next()?.parse().ok()
}

/// What a program says that spin made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spin {
    /// Distinct states.
    pub states: u64,
    /// Steps taken from them, and one for the first state.
    pub transitions: u64,
    /// Violations.
    pub errors: u64,
}

/// Reads the output of a program that spin made.
#[must_use]
pub fn read_spin(said: &str) -> Option<Spin> {
    let before = |word: &str| {
        let line = said.lines().find(|line| line.contains(word))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let errors = said.lines().find_map(|line| line.split("errors: ").nth(1))?;
    Some(Spin { states: before(" states, stored")?, transitions: before(" transitions (")?, errors: errors.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rumur_says_is_read() {
        let said = "<rumur_run>\n<cover_result message=\"count=&quot;9&quot;\" count=\"0\"/>\n<error includes_trace=\"true\">\n\
                    <message>liveness property &quot;l&quot; violated</message>\n<transition>Startstate 1</transition>\n\
                    <transition>Rule &quot;inc&quot;</transition>\n</error>\n\
                    <summary states=\"6\" rules_fired=\"7\" errors=\"2\" duration_seconds=\"0\"/>\n</rumur_run>";
        let read = read_rumur(said).expect("it is all there");
        assert_eq!((read.states, read.rules_fired, read.errors, read.length), (6, 7, 2, 1));
        assert_eq!(read.covers, [0]);
        assert!(read.message.is_some_and(|message| message.starts_with("liveness")));
        assert_eq!(read_rumur("Segmentation fault"), None);
    }

    #[test]
    fn what_spin_says_is_read() {
        let said = "State-vector 20 byte, depth reached 4, errors: 1\n        5 states, stored\n\t       4 nominal states\n\
                    \x20       2 states, matched\n        7 transitions (= stored+matched)\n";
        assert_eq!(read_spin(said), Some(Spin { states: 5, transitions: 7, errors: 1 }));
        assert_eq!(read_spin("pan: out of memory"), None);
    }
}
