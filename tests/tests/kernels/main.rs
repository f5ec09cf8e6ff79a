//! Runs inside another kernel. Where there is no QEMU, or the kernel cannot be fetched, they are listed as ignored, with the reason.

mod traced;

use libtest_mimic::{Arguments, Failed, Trial};
use nostale_vmm::{
    kernels::{self, Cache},
    qemu::Installed,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
};

/// The program under test.
const NOSTALE: &str = env!("CARGO_BIN_EXE_nostale");
/// The kernel that it runs in: the oldest that is tested, and the smallest.
const KERNEL: &str = "6.1";
/// A run that is over soon, of an operation that is quick under emulation.
const SHORT: &[&str] = &["--ops", "remap", "--backing", "memfd", "--memory", "4M", "--seconds", "2", "--seed", "0x5eed"];

/// Why nothing can be tested here, if so. Fetches the kernel, once.
fn missing() -> Option<String> {
    let installed = Installed::find().map_err(|error| error.to_string());
    let cache = || Cache::open().map_err(|error| error.to_string());
    let found = |cache| kernels::find(KERNEL, &cache, &mut |_| ()).map(drop).map_err(|error| error.to_string());
    installed.and_then(|_| cache()).and_then(found).err()
}

fn matrix(place: &Path, more: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(NOSTALE);
    command.args(["matrix", "--kernel", KERNEL, "--quiet"]).args(SHORT).args(more).env("TMPDIR", place);
    Ok(command.stdin(Stdio::null()).output()?)
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(message().into()) }
}

/// The exit status, and the only kernel in the result.
fn kernel(output: &Output, status: i32) -> Result<Value, Failed> {
    let shown = || format!("expected exit status {status}: {output:?}");
    ensure(output.status.code() == Some(status) && output.stderr.is_empty(), shown)?;
    let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    ensure(report["seed"] == 0x5eed && report["kernels"].as_array().is_some_and(|all| all.len() == 1), shown)?;
    Ok(report["kernels"][0].clone())
}

/// Nothing is wrong with a kernel of Debian; whatever emulation does to one, it has not seen a violation twice.
fn coherent() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let kept = place.path().join("kept");
    let run = || matrix(place.path(), &["--format", "json", "--out", &kept.to_string_lossy()]);
    let mut output = run()?;
    // Inconclusive: emulation stumbles now and then, and seldom twice.
    if output.status.code() == Some(3) {
        std::fs::remove_dir_all(&kept)?;
        output = run()?;
    }
    let kernel = kernel(&output, 0)?;
    let scenario = &kernel["scenarios"][0];
    let shown = || format!("{kernel:#}");
    ensure(kernel["verdict"] == "coherent" && kernel["confirmed"].is_null(), shown)?;
    ensure(kernel["release"].as_str().is_some_and(|release| release.starts_with("6.1.")), shown)?;
    ensure(kernel["mmu"].as_str().is_some_and(|mmu| mmu != "unknown"), shown)?;
    ensure(kernel["boot_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), shown)?;
    ensure(scenario["operations"].as_u64() > Some(0) && scenario["guest_writes"].as_u64() > Some(0), shown)?;
    ensure(scenario["invalidations"].as_u64() > Some(0), shown)?;
    for file in ["report.json", "table.txt", "junit.xml", "ktap.txt", "README.txt", "1-6_1/console.log", "1-6_1/kernel.json"] {
        ensure(kept.join(file).is_file(), || format!("{file} was not kept"))?;
    }
    let left: Vec<_> = std::fs::read_dir(place.path())?.flatten().map(|entry| entry.file_name()).collect();
    ensure(left == ["kept"], || format!("left behind: {left:?}"))
}

/// What a stale translation does is seen in there, and again in a second machine.
fn violation() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let kernel = kernel(&matrix(place.path(), &["--format", "json", "--plant", "stale-translation"])?, 1)?;
    let scenario = &kernel["scenarios"][0];
    let shown = || format!("{kernel:#}");
    ensure(kernel["verdict"] == "violation", shown)?;
    // Where the host's KVM runs the machine, once is enough.
    ensure(kernel["confirmed"] == true || kernel["accelerator"] == "kvm", shown)?;
    ensure(scenario["violations"].as_array().is_some_and(|all| !all.is_empty()), shown)?;
    ensure(scenario["replay"].as_str().is_some_and(|line| line.starts_with("nostale matrix --kernel 6.1 --ops remap ")), shown)
}

/// A kernel that dies while it boots is a result, and what it said is shown.
fn panic() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let output = matrix(place.path(), &["--append", "rdinit=/nowhere", "--append", "root=/dev/nothing"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(output.status.code() == Some(3) && output.stderr.is_empty(), || format!("{output:?}"))?;
    ensure(text.contains(" did not come up: the guest reset itself"), || text.to_string())?;
    ensure(text.contains("  its console:\n") && text.contains("Kernel panic - not syncing"), || text.to_string())
}

fn mutate(place: &Path, more: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(NOSTALE);
    let common = ["mutate", "--kernel", KERNEL, "--quiet", "--format", "json", "--ops", "protect,remap", "--backing", "memfd"];
    command.args(common).args(["--seed", "0x5eed"]).args(more).env("TMPDIR", place);
    Ok(command.stdin(Stdio::null()).output()?)
}

/// The only mutant in a result.
fn mutant(output: &Output, status: i32) -> Result<Value, Failed> {
    let kernel = kernel(output, status)?;
    ensure(kernel["mutants"].as_array().is_some_and(|all| all.len() == 1), || format!("{kernel:#}"))?;
    Ok(kernel["mutants"][0].clone())
}

/// A kernel in which mprotect does not tell anybody is noticed, twice, after controls that notice nothing.
fn killed() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let mutant = mutant(&mutate(place.path(), &["--only", "change_protection/both", "--afresh"])?, 0)?;
    let shown = || format!("{mutant:#}");
    ensure(mutant["fate"] == "killed" && mutant["expected"] == true, shown)?;
    ensure(mutant["killed_by"]["oracle"].as_str().is_some_and(|oracle| oracle.contains("permission")), shown)?;
    ensure(mutant["patches"].as_array().is_some_and(|all| all.len() >= 2), shown)?;
    let trials = mutant["trials"].as_array().cloned().unwrap_or_default();
    let kills = trials.iter().filter(|trial| trial["outcome"]["saw"] == "kill").count();
    ensure(kills >= 2 && trials.iter().any(|trial| trial["control"]["verdict"] == "coherent"), shown)
}

/// What nothing reaches is listed with what was measured, and not tried; what is not called anything is refused.
fn unreached() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let mutant = mutant(&mutate(place.path(), &["--only", "copy_page_range/both"])?, 1)?;
    let shown = || format!("{mutant:#}");
    // `fork` is there, and leads there: that it was left out is no excuse.
    ensure(mutant["fate"] == "unreached" && mutant["expected"] == false, shown)?;
    ensure(mutant["why"].as_str().is_some_and(|why| why.contains("never called") && why.contains("fork")), shown)?;
    ensure(mutant["trials"].as_array().is_some_and(Vec::is_empty), shown)?;
    let output = mutate(place.path(), &["--only", "change_protectoin/both"])?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure(output.status.code() == Some(2) && text.contains("did you mean 'change_protection/both'?"), || format!("{output:?}"))
}

/// A litmus test runs in there, and its table names the kernel.
fn litmus_allowed() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let mut command = Command::new(NOSTALE);
    let options = ["--kernel", KERNEL, "--seconds", "1", "--seed", "0x5eed", "--quiet", "--format", "json"];
    command.arg("litmus").arg(litmus_test("coherence-2-write-twice")).args(options).env("TMPDIR", place.path());
    let output = command.stdin(Stdio::null()).output()?;
    let shown = || format!("{output:?}");
    ensure(output.status.code() == Some(0) && output.stderr.is_empty(), shown)?;
    let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    ensure(report["host"]["kernel"].as_str().is_some_and(|release| release.starts_with("6.1.")), shown)?;
    let test = &report["tests"][0];
    ensure(test["verdict"] == "agrees" && test["variant"] == "start_end", shown)?;
    ensure(test["kvm"]["instances"].as_u64() > Some(0) && test["kvm"]["operations_done"].as_u64() > Some(0), shown)?;
    let replay = test["replay"].as_str().unwrap_or_default();
    ensure(replay.contains("--kernel 6.1 --seconds 1 --seed 0x5eed"), || replay.to_owned())
}

/// In a kernel that replaces mappings and tells nobody, it ends in a state that is forbidden.
fn litmus_forbidden() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let mut command = Command::new(NOSTALE);
    command.args(["mutate", "--kernel", KERNEL, "--quiet", "--format", "json", "--seed", "0x5eed", "--afresh"]);
    command.args(["--only", "unmap_vmas/both", "--litmus"]).arg(litmus_test("coherence-2-write-twice"));
    let mutant = mutant(&command.env("TMPDIR", place.path()).stdin(Stdio::null()).output()?, 0)?;
    let shown = || format!("{mutant:#}");
    ensure(mutant["fate"] == "killed" && mutant["killed_by"]["oracle"] == "litmus", shown)?;
    ensure(mutant["killed_by"]["scenario"] == "litmus:coherence-2-write-twice", shown)?;
    ensure(mutant["replay"].as_str().is_some_and(|line| line.contains(" --litmus ")), shown)
}

fn litmus_test(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/litmus/{name}.nst"))
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A machine loads two CPUs.
    arguments.test_threads.get_or_insert(1);
    let missing = if arguments.list { None } else { missing() };
    let trial = |name: &str, body: fn() -> Result<(), Failed>| {
        let trial = Trial::test(name, body);
        match &missing {
            Some(reason) => trial.with_kind(format!("skipped: {}", reason.replace('\n', " "))).with_ignored_flag(true),
            None => trial,
        }
    };
    let trials = vec![
        trial("coherent", coherent),
        trial("violation", violation),
        trial("panic", panic),
        trial("mutant-killed", killed),
        trial("mutant-unreached", unreached),
        trial("litmus-allowed", litmus_allowed),
        trial("litmus-forbidden", litmus_forbidden),
        trial("traced-qemu", traced::qemu),
        trial("traced-nothing", traced::nothing),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
