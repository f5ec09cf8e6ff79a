//! The checker beside others, on the same protocol: time, memory, and whether all count the same. The tools take turns, so that
//! whatever else the machine does falls on all of them; figures are medians.

use clap::Parser;
use nostale_tests::{
    measured::{Measured, measured},
    median::median,
    peer::{RUMUR_FLAGS, missing, read_rumur, read_spin, run},
};
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Measures `nostale check`, spin and rumur on the reference protocol.
#[derive(Debug, Parser)]
struct Options {
    /// How often each tool runs
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

/// Where the models are.
fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench")
}

/// Something to measure.
struct Tool {
    name: &'static str,
    /// How to run it, once it is built; otherwise why it cannot be run.
    ready: Result<Vec<String>, String>,
    read: fn(&Measured) -> Result<Counts, String>,
    seconds: Vec<f64>,
    peak_bytes: Vec<f64>,
    counts: Option<Counts>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Counts {
    states: u64,
    transitions: u64,
    /// Steps on the way to a violation.
    counterexample: Option<u64>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match bench(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-checker: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all that ran count the same.
fn bench(options: &Options) -> Result<bool, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let models = models();
    let mut tools = vec![
        Tool::new("nostale, 1 worker", nostale(&models.join("reference.nst"), 1), read_nostale),
        Tool::new("nostale, 2 workers", nostale(&models.join("reference.nst"), 2), read_nostale),
        Tool::new("spin -DNOREDUCE", spin(dir.path(), &models.join("reference.pml"), "-DNOREDUCE"), spin_counts),
        Tool::new("spin, reduced", spin(dir.path(), &models.join("reference.pml"), "-DSAFETY"), spin_counts),
        Tool::new("rumur", rumur(dir.path(), &models.join("reference.m")), rumur_counts),
    ];
    for _ in 0..options.rounds {
        tools.iter_mut().for_each(Tool::run);
    }
    print(&mut tools, options.rounds);

    let mut broken = [
        Tool::new("nostale", nostale(&models.join("reference-broken.nst"), 1), read_nostale),
        Tool::new("rumur", rumur(dir.path(), &models.join("reference-broken.m")), rumur_counts),
    ];
    println!("\nthe broken protocol, steps of the counterexample");
    for tool in &mut broken {
        tool.run();
        match (&tool.ready, tool.counts.and_then(|counts| counts.counterexample)) {
            (Err(reason), _) => println!("  {:18} skipped: {reason}", tool.name),
            (Ok(_), Some(length)) => println!("  {:18} {length}", tool.name),
            (Ok(_), None) => println!("  {:18} none", tool.name),
        }
    }
    let lengths: Vec<_> = broken.iter().filter_map(|tool| tool.counts).map(|counts| counts.counterexample).collect();
    let counts: Vec<_> = tools.iter().filter_map(|tool| tool.counts).collect();
    let same = counts.windows(2).all(|pair| pair[0] == pair[1]) && lengths.windows(2).all(|pair| pair[0] == pair[1]);
    if !same {
        println!("\nthe tools do not count the same: their figures are of different things");
    }
    Ok(same)
}

/// A row for each tool; times are those of whole processes.
fn print(tools: &mut [Tool], rounds: u16) {
    let rate = |tool: &mut Tool| tool.counts.map(|counts| counts.states as f64 / median(&mut tool.seconds) / 1e6);
    let spin = tools.iter_mut().find(|tool| tool.name.starts_with("spin")).and_then(rate);
    println!("the reference protocol, medians of {rounds}");
    println!(
        "  {:18} {:>11} {:>12} {:>8} {:>11} {:>7} {:>9} {:>14}",
        "tool", "states", "transitions", "seconds", "M states/s", "/ spin", "memory", "bytes a state"
    );
    for tool in tools {
        let (rate, name) = (rate(tool), tool.name);
        match (&tool.ready, tool.counts, rate) {
            (Ok(_), Some(Counts { states, transitions, .. }), Some(rate)) => {
                let (seconds, bytes) = (median(&mut tool.seconds), median(&mut tool.peak_bytes));
                let ratio = spin.map_or("-".to_owned(), |spin| format!("{:.2}", rate / spin));
                let (mib, each) = (bytes / f64::from(1 << 20), bytes / states as f64);
                println!(
                    "  {name:18} {states:11} {transitions:12} {seconds:8.2} {rate:11.2} {ratio:>7} {mib:5.0} MiB {each:14.1}"
                );
            }
            (Err(reason), ..) => println!("  {name:18} skipped: {reason}"),
            (Ok(_), ..) => println!("  {name:18} skipped: not run"),
        }
    }
}

impl Tool {
    fn new(name: &'static str, ready: Result<Vec<String>, String>, read: fn(&Measured) -> Result<Counts, String>) -> Self {
        Self { name, ready, read, seconds: Vec::new(), peak_bytes: Vec::new(), counts: None }
    }

    /// Runs once, unless it cannot; a run that says nothing of use is the last.
    fn run(&mut self) {
        let Ok(command) = &self.ready else { return };
        let ended = measured(Command::new(&command[0]).args(&command[1..])).map_err(|error| error.to_string());
        match ended.and_then(|ended| Ok(((self.read)(&ended)?, ended))) {
            Ok((counts, ended)) => {
                self.counts = Some(counts);
                self.seconds.push(ended.seconds);
                self.peak_bytes.push(ended.peak_bytes as f64);
            }
            Err(reason) => {
                self.counts = None;
                self.ready = Err(reason.lines().next().unwrap_or("it says nothing").to_owned());
            }
        }
    }
}

fn nostale(model: &Path, workers: u32) -> Result<Vec<String>, String> {
    // Cargo puts the programs of a workspace side by side.
    let program = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("nostale");
    if !program.exists() {
        return Err(format!(
            "there is no `nostale` beside this program ({}): scripts/bench-checker builds it",
            program.display()
        ));
    }
    let workers = workers.to_string();
    let (program, model) = (program.to_string_lossy(), model.to_string_lossy());
    let command = [&*program, "check", &*model, "--format", "json", "--quiet", "--workers", &workers];
    Ok(command.map(str::to_owned).to_vec())
}

fn read_nostale(ended: &Measured) -> Result<Counts, String> {
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).map_err(|_| reason(ended))?;
    let file = &json["files"][0];
    if file["verdict"] == "bounded" {
        return Err("it did not see all states".to_owned());
    }
    let number = |field: &str| file[field].as_u64().ok_or_else(|| format!("no {field:?} in its output"));
    let counterexample = file["counterexample"].as_array().map(|steps| steps.len() as u64).filter(|steps| *steps > 0);
    Ok(Counts { states: number("states")?, transitions: number("transitions")?, counterexample })
}

fn spin(dir: &Path, model: &Path, flag: &str) -> Result<Vec<String>, String> {
    missing(&["spin", "cc"]).map_or(Ok(()), Err)?;
    let dir = dir.join(format!("spin{flag}"));
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    run(&dir, "spin", &["-o3", "-a", &model.to_string_lossy()])?;
    run(&dir, "cc", &["-w", "-O2", "-DSAFETY", flag, "-o", "pan", "pan.c"])?;
    Ok(vec![dir.join("pan").to_string_lossy().into_owned(), "-m100000".to_owned(), "-w24".to_owned()])
}

fn spin_counts(ended: &Measured) -> Result<Counts, String> {
    let said = read_spin(&ended.stdout).ok_or_else(|| reason(ended))?;
    if said.errors > 0 {
        return Err("it reports an error in the reference".to_owned());
    }
    Ok(Counts { states: said.states, transitions: said.transitions, counterexample: None })
}

fn rumur(dir: &Path, model: &Path) -> Result<Vec<String>, String> {
    missing(&["rumur", "cc"]).map_or(Ok(()), Err)?;
    let program = dir.join(model.file_stem().unwrap_or_default());
    let (source, output) = (program.with_extension("c"), program.to_string_lossy().into_owned());
    let (source, model) = (source.to_string_lossy(), model.to_string_lossy());
    let options = ["--threads", "1", "--deadlock-detection", "off", "--output-format", "machine-readable", "--output"];
    run(dir, "rumur", &[&options[..], &[&*source, &*model]].concat())?;
    run(dir, "cc", &["-w", "-O2", RUMUR_FLAGS, "-o", &output, &*source, "-lpthread", "-latomic"])?;
    Ok(vec![output])
}

fn rumur_counts(ended: &Measured) -> Result<Counts, String> {
    let said = read_rumur(&ended.stdout).ok_or_else(|| reason(ended))?;
    let counterexample = (said.errors > 0).then_some(said.length);
    // It leaves out the first state, which the others count as a transition.
    Ok(Counts { states: said.states, transitions: said.rules_fired + 1, counterexample })
}

/// Why a program said nothing of use.
fn reason(ended: &Measured) -> String {
    let first = ended.stderr.lines().chain(ended.stdout.lines()).find(|line| !line.trim().is_empty());
    format!("{}: {}", ended.status, first.unwrap_or("it says nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn said(stdout: &str, stderr: &str) -> Measured {
        let status = std::process::ExitStatus::from_raw(0);
        Measured { status, stdout: stdout.to_owned(), stderr: stderr.to_owned(), seconds: 1.0, peak_bytes: 1 }
    }

    #[test]
    fn what_nostale_says_is_read() {
        let holds = r#"{"version":1,"files":[{"verdict":"holds","states":9,"transitions":27,"counterexample":[]}]}"#;
        let counts = Counts { states: 9, transitions: 27, counterexample: None };
        assert_eq!(read_nostale(&said(holds, "")), Ok(counts));
        let fails = holds.replace("holds", "fails").replace("[]", r#"[{"thread":"a"},{"thread":"b"}]"#);
        assert_eq!(read_nostale(&said(&fails, "")), Ok(Counts { counterexample: Some(2), ..counts }));
    }

    #[test]
    fn figures_of_an_unfinished_run_are_none() {
        let bounded = r#"{"files":[{"verdict":"bounded","states":9,"transitions":27}]}"#;
        assert!(read_nostale(&said(bounded, "")).is_err());
        assert!(
            read_nostale(&said("", "\nerror: no such file\nmore")).is_err_and(|reason| reason.ends_with("error: no such file"))
        );
        assert!(rumur_counts(&said("killed", "")).is_err());
        assert!(spin_counts(&said("errors: 1\n 5 states, stored\n 7 transitions (", "")).is_err());
    }
}
