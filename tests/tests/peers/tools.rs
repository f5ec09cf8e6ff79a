//! Other checkers as programs: write their model, build it, run it, read what they say.

use nostale_notifier::{
    export::{murphi, promela},
    model::Model,
};
use std::{fs, path::Path, process::Command};

/// Which of the programs is not there.
pub(crate) fn missing(programs: &[&str]) -> Option<String> {
    let absent = |program: &&&str| Command::new(program).arg("--version").output().is_err();
    programs.iter().find(absent).map(|program| format!("`{program}` is not installed"))
}

/// What rumur says of a model.
#[derive(Debug)]
pub(crate) struct Rumur {
    pub(crate) states: u64,
    pub(crate) rules_fired: u64,
    pub(crate) errors: u64,
    /// The first error's text.
    pub(crate) message: Option<String>,
    /// How many rules fired on the way to that error.
    pub(crate) length: u64,
    /// For each cover property, in its order, in how many states it held.
    pub(crate) covers: Vec<u64>,
}

/// What spin says of a model.
#[derive(Debug)]
pub(crate) struct Spin {
    pub(crate) states: u64,
    pub(crate) transitions: u64,
    pub(crate) errors: u64,
    /// The steps on the way to the first error.
    pub(crate) trail: Vec<String>,
}

pub(crate) fn rumur(model: &Model) -> Result<Rumur, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let text = murphi(model).map_err(|error| error.to_string())?;
    write(dir.path(), "model.m", &text)?;
    let options = ["--threads", "1", "--deadlock-detection", "off", "--value-type", "int32_t"];
    run(
        dir.path(),
        "rumur",
        &[&options[..], &["--output-format", "machine-readable", "--output", "model.c", "model.m"]].concat(),
    )?;
    // Without optimisation: these models are small, and compiling is what takes the time.
    let double_width = if cfg!(target_arch = "x86_64") { "-mcx16" } else { "-w" };
    run(dir.path(), "cc", &["-w", double_width, "-o", "model", "model.c", "-lpthread", "-latomic"])?;
    // It exits with 1 after an error of the model, too.
    let said = output(dir.path(), "./model", &[])?;
    read_rumur(&said).ok_or_else(|| format!("rumur said what this test cannot read:\n{said}"))
}

/// Reads the XML, which rumur writes one element a line.
fn read_rumur(said: &str) -> Option<Rumur> {
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

/// Runs spin; breadth first, if the way to an error is to be short; with one `sometimes` to be looked for.
pub(crate) fn spin(model: &Model, breadth_first: bool, sometimes: Option<usize>) -> Result<Spin, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let text = promela(model).map_err(|error| error.to_string())?;
    write(dir.path(), "model.pml", &text)?;
    let wanted: Vec<_> = sometimes.map(|number| format!("-DSOMETIMES={number}")).into_iter().collect();
    let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
    run(dir.path(), "spin", &[&wanted[..], &["-o3", "-a", "model.pml"]].concat())?;
    let order = if breadth_first { "-DBFS" } else { "-DNOREDUCE" };
    run(dir.path(), "cc", &["-w", "-DSAFETY", order, "-o", "pan", "pan.c"])?;
    let said = output(dir.path(), "./pan", if breadth_first { &["-w16"] } else { &["-m100000", "-w16"] })?;
    let mut spin = read_spin(&said).ok_or_else(|| format!("spin said what this test cannot read:\n{said}"))?;
    if dir.path().join("model.pml.trail").exists() {
        let replay = output(dir.path(), "spin", &[&wanted[..], &["-t", "model.pml"]].concat())?;
        let step = |line: &str| model.threads.iter().any(|thread| line.starts_with(&format!("{}: ", thread.name)));
        spin.trail = replay.lines().map(str::trim_start).filter(|line| step(line)).map(str::to_owned).collect();
    }
    Ok(spin)
}

fn read_spin(said: &str) -> Option<Spin> {
    let before = |word: &str| {
        let line = said.lines().find(|line| line.contains(word))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let errors = said.lines().find_map(|line| line.split("errors: ").nth(1))?;
    Some(Spin {
        states: before(" states, stored")?,
        transitions: before(" transitions (")?,
        errors: errors.trim().parse().ok()?,
        trail: Vec::new(),
    })
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), String> {
    fs::write(dir.join(name), text).map_err(|error| format!("{name}: {error}"))
}

/// What a program writes to its standard output, however it ends.
fn output(dir: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let ended = Command::new(program).args(args).current_dir(dir).output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// Runs a program that must succeed without a complaint about the model.
fn run(dir: &Path, program: &str, args: &[&str]) -> Result<(), String> {
    let ended = Command::new(program).args(args).current_dir(dir).output().map_err(|error| format!("{program}: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = [&ended.stdout[..], &ended.stderr[..]].concat();
    Err(format!("{program} {}: {}\n{}", args.join(" "), ended.status, String::from_utf8_lossy(&said)))
}
