//! The command whose VM is recorded: an ordinary process.

use super::super::protocol::TraceRequest;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a command may take until it has a VM.
const MAKES_A_VM: Duration = Duration::from_secs(60);
/// And until its VM has begun with what it does: nobody who attaches to a VM comes at its first instruction.
const SETTLES: Duration = Duration::from_millis(500);
/// How long it may take until its threads are stopped: one in the middle of a system call ends that first.
const STANDS: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(20);
/// What it prints.
const OUTPUT: &str = "/output-of-command";
/// So much of that is told when it ends early.
const TOLD: usize = 2000;

/// A process that is killed when nobody wants it any more.
#[derive(Debug)]
pub(super) struct Started {
    child: Child,
    name: String,
}

impl Started {
    pub(super) fn new(request: &TraceRequest) -> Result<Self, String> {
        let (name, arguments) = request.command.split_first().ok_or("there is no command to start")?;
        let failed = |error: io::Error| format!("cannot start {}: {error}", name.display());
        let output = File::create(OUTPUT).map_err(failed)?;
        let mut command = Command::new(&request.program);
        command.arg0(name).args(arguments).current_dir("/").stdin(Stdio::null());
        command.stdout(output.try_clone().map_err(failed)?).stderr(output);
        let child = command.spawn().map_err(failed)?;
        Ok(Self { child, name: name.display().to_string() })
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits until the process has a vCPU, and a moment longer; `tick` is called meanwhile.
    pub(super) fn wait_for_vm(&mut self, tick: &mut dyn FnMut()) -> Result<(), String> {
        let (began, mut since) = (Instant::now(), None);
        loop {
            tick();
            if self.child.try_wait().ok().flatten().is_some() {
                let end = self.end();
                return Err(format!("{} ended before it could be recorded: {end}", self.name));
            }
            if since.is_none() && has_vcpu(self.pid()) {
                since = Some(Instant::now());
            }
            match since {
                Some(since) if since.elapsed() >= SETTLES => return Ok(()),
                Some(_) => {}
                None if began.elapsed() >= MAKES_A_VM => {
                    let said = self.said();
                    return Err(format!("{} has made no vCPU in {} s{said}", self.name, MAKES_A_VM.as_secs()));
                }
                None => {}
            }
            thread::sleep(TICK);
        }
    }

    /// Stops all of its threads, and waits until they have.
    pub(super) fn halt(&self) {
        let began = Instant::now();
        let _ = kill(Pid::from_raw(self.pid()), Signal::SIGSTOP);
        while !stands(self.pid()) && began.elapsed() < STANDS {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets them go on.
    pub(super) fn go_on(&self) {
        let _ = kill(Pid::from_raw(self.pid()), Signal::SIGCONT);
    }

    /// How it ended, and what it had printed.
    pub(super) fn end(&mut self) -> String {
        let status = match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            Ok(None) => "it still runs".to_owned(),
            // PID 1 reaps what it does not know, but never what is ours.
            Err(error) => error.to_string(),
        };
        status + &self.said()
    }

    fn said(&self) -> String {
        let output = fs::read(OUTPUT).unwrap_or_default();
        let text = String::from_utf8_lossy(&output[output.len().saturating_sub(TOLD)..]).trim().to_owned();
        if text.is_empty() { "; it printed nothing".to_owned() } else { format!("; it printed: {text}") }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(OUTPUT);
    }
}

/// Whether all threads of a process are stopped, or gone.
fn stands(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok()).all(|stat| is_still(&stat))
}

/// `proc_pid_stat(5)`: the state follows the name, which may hold anything, parentheses too.
fn is_still(stat: &str) -> bool {
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']))
}

/// Whether a process holds a vCPU: what KVM calls its files is all that others see of a VM.
fn has_vcpu(pid: i32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|name| is_vcpu(&name))
}

fn is_vcpu(name: &Path) -> bool {
    name.as_os_str().as_encoded_bytes().starts_with(b"anon_inode:kvm-vcpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vcpu_is_known_by_what_kvm_calls_it() {
        assert!(is_vcpu(Path::new("anon_inode:kvm-vcpu:0")) && is_vcpu(Path::new("anon_inode:kvm-vcpu")));
        assert!(!is_vcpu(Path::new("anon_inode:kvm-vm")) && !is_vcpu(Path::new("/dev/kvm")));
        assert!(!has_vcpu(std::process::id() as i32) && !has_vcpu(i32::MAX));
    }

    #[test]
    fn a_command_stands_still_and_goes_on() -> Result<(), String> {
        assert!(is_still("7 (a) R) T 1 7") && is_still("7 (b) t 1") && !is_still("7 (T) S 1") && !is_still(""));
        let command = Command::new("sleep").arg("60").spawn().map_err(|error| error.to_string())?;
        let started = Started { child: command, name: "sleep".to_owned() };
        assert!(!stands(started.pid()));
        started.halt();
        assert!(stands(started.pid()));
        started.go_on();
        let began = Instant::now();
        while stands(started.pid()) && began.elapsed() < Duration::from_secs(20) {
            thread::sleep(TICK);
        }
        assert!(!stands(started.pid()));
        Ok(())
    }
}
