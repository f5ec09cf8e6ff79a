//! A model through another checker: export, build, run, read.

use nostale_notifier::{
    export::{murphi, promela},
    model::Model,
};
use nostale_tests::peer::{RUMUR_FLAGS, Rumur, Spin, read_rumur, read_spin, run};
use std::{fs, path::Path, process::Command};

/// What rumur says of a model.
pub(crate) fn rumur(model: &Model) -> Result<Rumur, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let text = murphi(model, "model.m").map_err(|error| error.to_string())?;
    write(dir.path(), "model.m", &text)?;
    let options = ["--threads", "1", "--deadlock-detection", "off", "--value-type", "int32_t"];
    let files = ["--output-format", "machine-readable", "--output", "model.c", "model.m"];
    run(dir.path(), "rumur", &[&options[..], &files].concat())?;
    // Without optimisation: these models are small, and compiling is what takes the time.
    run(dir.path(), "cc", &["-w", RUMUR_FLAGS, "-o", "model", "model.c", "-lpthread", "-latomic"])?;
    // It exits with 1 after an error of the model, too.
    let said = output(dir.path(), "./model", &[])?;
    read_rumur(&said).ok_or_else(|| format!("rumur said what this test cannot read:\n{said}"))
}

/// What spin says of a model, and the steps on the way to the first error: breadth first, if that is to be short; with one
/// `sometimes` to be looked for.
pub(crate) fn spin(model: &Model, breadth_first: bool, sometimes: Option<usize>) -> Result<(Spin, Vec<String>), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let text = promela(model, "model.pml").map_err(|error| error.to_string())?;
    write(dir.path(), "model.pml", &text)?;
    let wanted: Vec<_> = sometimes.map(|number| format!("-DSOMETIMES={number}")).into_iter().collect();
    let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
    run(dir.path(), "spin", &[&wanted[..], &["-o3", "-a", "model.pml"]].concat())?;
    let order = if breadth_first { "-DBFS" } else { "-DNOREDUCE" };
    run(dir.path(), "cc", &["-w", "-DSAFETY", order, "-o", "pan", "pan.c"])?;
    let said = output(dir.path(), "./pan", if breadth_first { &["-w16"] } else { &["-m100000", "-w16"] })?;
    let spin = read_spin(&said).ok_or_else(|| format!("spin said what this test cannot read:\n{said}"))?;
    let mut trail = Vec::new();
    if dir.path().join("model.pml.trail").exists() {
        let replay = output(dir.path(), "spin", &[&wanted[..], &["-t", "model.pml"]].concat())?;
        let step = |line: &str| model.threads.iter().any(|thread| line.starts_with(&format!("{}: ", thread.name)));
        trail.extend(replay.lines().map(str::trim_start).filter(|line| step(line)).map(str::to_owned));
    }
    Ok((spin, trail))
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), String> {
    fs::write(dir.join(name), text).map_err(|error| format!("{name}: {error}"))
}

/// What a program writes to its standard output, however it ends.
fn output(dir: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let ended = Command::new(program).args(args).current_dir(dir).output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}
