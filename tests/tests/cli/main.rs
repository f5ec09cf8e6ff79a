//! The command line as scripts meet it: exit statuses, what is on which output, and what is left behind. Where a test cannot run
//! it is listed as ignored, with the reason, and counted.

mod check;
mod compare;
mod ends;
mod fmt;
mod forms;
mod litmus;
mod litmus_diff;
mod litmus_generate;
mod matrix;
mod refusals;
mod report;
mod settings;
mod trace;
mod trace_kernel;

use libtest_mimic::{Arguments, Failed, Trial};
use nostale_vmm::host::facts::Facts;
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Output, Stdio},
    time::{Duration, Instant},
};

/// The program under test.
pub(crate) const NOSTALE: &str = env!("CARGO_BIN_EXE_nostale");
/// A run that is over soon.
pub(crate) const SHORT: &[&str] = &["run", "--quiet", "--memory", "4M", "--seconds", "0.3"];
/// A run that only ends when it is told to.
pub(crate) const ENDLESS: &[&str] = &["run", "--quiet", "--memory", "4M", "--seconds", "86400", "--format", "json"];
/// Nothing is judged by its time; this only turns a hang into a failure.
const BOUND: Duration = Duration::from_secs(120);

/// What is missing on this host for some of the tests.
pub(crate) struct Bench {
    pub(crate) facts: Facts,
}

impl Bench {
    pub(crate) fn no_kvm(&self) -> Option<String> {
        self.facts.need_kvm().err().map(|need| need.to_string())
    }

    pub(crate) fn not_root(&self) -> Option<String> {
        (!nix::unistd::geteuid().is_root()).then(|| "needs root".to_owned())
    }
}

/// One test: ignored where `missing` gives a reason.
pub(crate) fn trial(
    name: impl Into<String>,
    missing: Option<String>,
    body: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let trial = Trial::test(name, body);
    match missing {
        Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
        None => trial,
    }
}

/// Fails the test with a message, unless.
pub(crate) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(message().into()) }
}

/// An empty directory to run in, where temporary files would show, too.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Result<Self, Failed> {
        Ok(Self(tempfile::tempdir()?))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes `command` run here, without anybody's preferences.
    pub(crate) fn host<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.current_dir(self.path()).env("TMPDIR", self.path()).env_remove("NO_COLOR").stdin(Stdio::null())
    }

    /// `nostale` with these arguments, to its end.
    pub(crate) fn nostale(&self, arguments: &[&str]) -> Result<Output, Failed> {
        Ok(self.host(Command::new(NOSTALE).args(arguments)).output()?)
    }

    /// The same, behind `script` in a mount namespace of its own.
    pub(crate) fn behind(&self, script: &str, arguments: &[&str]) -> Result<Output, Failed> {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &format!("{script} && exec \"$@\""), "sh", NOSTALE]).args(arguments);
        Ok(self.host(&mut command).output()?)
    }

    /// `nostale` in the background.
    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Background, Failed> {
        let number = self.entries()?.len();
        let (stdout, stderr) = (self.path().join(format!("{number}.out")), self.path().join(format!("{number}.err")));
        // Into files, so that it never waits for a reader.
        let mut command = Command::new(NOSTALE);
        command.args(arguments).stdout(File::create_new(&stdout)?).stderr(File::create_new(&stderr)?);
        Ok(Background { child: self.host(&mut command).spawn()?, stdout, stderr })
    }

    /// The names of what is here.
    pub(crate) fn entries(&self) -> Result<Vec<String>, Failed> {
        let names = fs::read_dir(self.path())?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<Result<Vec<_>, Failed>>()?;
        names.sort();
        Ok(names)
    }
}

/// A run that goes on; killed if a test fails.
pub(crate) struct Background {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Background {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has a VM with a vCPU: from then on it is in the middle of a run.
    pub(crate) fn wait_for_vcpu(&mut self) -> Result<(), Failed> {
        let descriptors = format!("/proc/{}/fd", self.id());
        self.wait_until("has a vCPU", || {
            let links = fs::read_dir(&descriptors).into_iter().flatten().flatten().flat_map(|entry| fs::read_link(entry.path()));
            links.into_iter().any(|link| link.to_string_lossy().starts_with("anon_inode:kvm-vcpu"))
        })
    }

    pub(crate) fn wait_until(&mut self, what: &str, holds: impl Fn() -> bool) -> Result<(), Failed> {
        let begin = Instant::now();
        while !holds() {
            ensure(begin.elapsed() < BOUND, || format!("after {BOUND:?} it is still not so that it {what}"))?;
            let ended = self.child.try_wait()?;
            ensure(ended.is_none(), || format!("it ended ({ended:?}) before it {what}"))?;
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) -> Result<(), Failed> {
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(self.id())?), signal)?)
    }

    /// Waits for its end, which it has been told to come to.
    pub(crate) fn end(mut self) -> Result<Output, Failed> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Output { status, stdout: fs::read(&self.stdout)?, stderr: fs::read(&self.stderr)? });
            }
            ensure(begin.elapsed() < BOUND, || format!("it did not end within {BOUND:?}"))?;
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit status, and no trace of a panic.
pub(crate) fn ends_with(output: &Output, status: i32) -> Result<(), Failed> {
    let shown = || format!("{output:?}");
    ensure(output.status.code() == Some(status), || format!("expected exit status {status}: {}", shown()))?;
    ensure(!String::from_utf8_lossy(&output.stderr).contains("panicked"), shown)
}

pub(crate) fn json(output: &Output) -> Result<Value, Failed> {
    serde_json::from_slice(&output.stdout).map_err(|error| format!("no JSON ({error}): {output:?}").into())
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Live runs load all CPUs.
    arguments.test_threads.get_or_insert(1);
    let bench = Bench { facts: Facts::gather() };
    let trials = [
        check::trials(),
        compare::trials(),
        fmt::trials(),
        litmus::trials(&bench),
        litmus_generate::trials(),
        litmus_diff::trials(),
        refusals::trials(&bench),
        report::trials(),
        ends::trials(&bench),
        forms::trials(&bench),
        matrix::trials(),
        trace_kernel::trials(),
        settings::trials(&bench),
        trace::trials(&bench),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
