//! A program's time and memory, as the kernel counts them.

use std::{
    io::{self, Read, Seek},
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
    /// From its start to its end.
    pub seconds: f64,
    /// The most memory that it had at one time.
    pub peak_bytes: u64,
}

/// Runs a program to its end.
///
/// # Errors
/// Where it cannot be started or waited for.
pub fn measured(command: &mut Command) -> io::Result<Measured> {
    // A file, because nobody reads a pipe of errors while the output is read.
    let mut errors = tempfile::tempfile()?;
    let from = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.try_clone()?).spawn()?;
    let mut stdout = Vec::new();
    let read = child.stdout.take().map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut stdout));
    let (status, peak_bytes) = wait(child.id())?;
    let seconds = from.elapsed().as_secs_f64();
    read?;
    let mut stderr = Vec::new();
    errors.rewind()?;
    errors.read_to_end(&mut stderr)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Measured { status, stdout: text(&stdout), stderr: text(&stderr), seconds, peak_bytes })
}

/// Reaps a child; its status, and the most memory that it had.
fn wait(child: u32) -> io::Result<(ExitStatus, u64)> {
    let pid = libc::pid_t::try_from(child).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: all zeroes is a valid `rusage`, which is numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live variables of the right types. The child is nobody else's to wait for: its `Child` is
        // dropped without being waited for.
        let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if reaped == pid {
            // Kilobytes on Linux.
            return Ok((ExitStatus::from_raw(status), u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::measured;
    use std::process::Command;

    #[test]
    fn status_output_and_memory_of_a_program_are_its_own() {
        let ended =
            measured(Command::new("sh").args(["-c", "echo out; echo err >&2; sleep 0.05; exit 3"])).expect("there is a shell");
        assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(3), "out\n", "err\n"));
        assert!(ended.seconds >= 0.05);
        assert!(ended.peak_bytes > 100 << 10, "{} bytes", ended.peak_bytes);
        assert!(measured(&mut Command::new("/nonexistent")).is_err());
    }
}
