//! apt with a configuration of its own: it does not touch the machine's lists, needs no root, and runs no hooks of packages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use super::super::error::{KernelError, io_at};
use super::index::{self, Available};

/// Older lists are fetched again.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// Holds the time of the last update.
const STAMP: &str = "updated";

/// Why apt gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The program is not there.
    Missing(&'static str),
    /// It ran and failed.
    Said { command: String, said: String },
    /// Not apt's fault.
    Other(KernelError),
}

/// apt for one cache directory.
pub(super) struct Client {
    dir: PathBuf,
}

impl Client {
    /// Writes the configuration below `dir`, with the machine's mirror in `sources`.
    pub(super) fn new(dir: &Path, sources: &str) -> Result<Self, Failure> {
        let client = Self { dir: dir.to_owned() };
        for below in ["lists/partial", "archives/partial", "resolved"] {
            let path = dir.join(below);
            fs::create_dir_all(&path).map_err(io_at("make", &path)).map_err(Failure::Other)?;
        }
        // Other sources have other lists.
        if fs::read_to_string(dir.join("nostale.sources")).is_ok_and(|known| known != sources) {
            let _ = fs::remove_file(dir.join(STAMP));
        }
        client.keep("nostale.sources", sources)?;
        client.keep("status", "")?;
        let own = client.run("apt-config", &["dump"], dir, false).unwrap_or_default();
        client.keep("apt.conf", &configuration(dir, &own))?;
        Ok(client)
    }

    /// Changes a file only if it is to hold something else: apt makes its cache anew (seconds) when one of these is newer.
    fn keep(&self, name: &str, text: &str) -> Result<(), Failure> {
        if fs::read_to_string(self.dir.join(name)).is_ok_and(|known| known == text) {
            return Ok(());
        }
        self.write(name, text)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.dir.join(name);
        // Not at once into place: another run may read it (without a lock, if it only looks).
        let temporary = self.dir.join(format!(".{name}.new"));
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(io_at("write", &path))
            .map_err(Failure::Other)
    }

    /// Fetches the lists, if they are old or `always`. Suites that the mirror does not have are no error, as long as one is there.
    pub(super) fn update(&self, always: bool, say: &mut dyn FnMut(&str)) -> Result<bool, Failure> {
        if !always && age(&self.dir).is_some_and(|age| age < FRESH) {
            return Ok(false);
        }
        say("fetching Debian's package lists");
        let output = self.output("apt-get", &["update", "-q"], &self.dir, true)?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let got_one =
            stdout.lines().any(|line| (line.starts_with("Get:") || line.starts_with("Hit:")) && line.contains(" InRelease"));
        if !output.status.success() {
            let failure = failure("apt-get", &["update"], &output);
            if !got_one {
                return Err(failure);
            }
            if let Failure::Said { said, .. } = failure {
                say(&format!("some of Debian's package lists could not be fetched: {said}"));
            }
        }
        self.write(STAMP, "")?;
        Ok(true)
    }

    /// All kernels in the lists, newest first.
    pub(super) fn kernels(&self) -> Result<Vec<Available>, Failure> {
        let names = self.run("apt-cache", &["pkgnames", "linux-"], &self.dir, true)?;
        let names = index::names(&names);
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let arguments: Vec<&str> = ["show"].into_iter().chain(names).collect();
        Ok(index::kernels(&self.run("apt-cache", &arguments, &self.dir, true)?))
    }

    /// Downloads the packages of `kernel` into `to`; apt compares their checksums with the signed lists.
    pub(super) fn download(&self, kernel: &Available, to: &Path) -> Result<Vec<PathBuf>, Failure> {
        let wanted: Vec<String> = kernel.packages.iter().map(|package| format!("{}={}", package.name, kernel.version)).collect();
        let arguments: Vec<&str> = ["download", "-q"].into_iter().chain(wanted.iter().map(String::as_str)).collect();
        self.run("apt-get", &arguments, to, true)?;
        let files = fs::read_dir(to).map_err(io_at("read", to)).map_err(Failure::Other)?;
        let mut packages: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
        packages.retain(|path| path.extension().is_some_and(|end| end == "deb"));
        Ok(packages)
    }

    fn run(&self, program: &'static str, arguments: &[&str], at: &Path, ours: bool) -> Result<String, Failure> {
        let output = self.output(program, arguments, at, ours)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(failure(program, arguments, &output))
        }
    }

    /// With `ours`, under our configuration; without, under the machine's.
    fn output(&self, program: &'static str, arguments: &[&str], at: &Path, ours: bool) -> Result<Output, Failure> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(at).env("LC_ALL", "C").stdin(Stdio::null());
        if ours {
            command.env("APT_CONFIG", self.dir.join("apt.conf"));
        }
        command.output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Missing(program),
            _ => Failure::Other(io_at("start", Path::new(program))(error)),
        })
    }
}

/// Whether this is a system with apt.
pub(super) fn is_installed() -> bool {
    Command::new("apt-get").arg("--version").stdin(Stdio::null()).output().is_ok()
}

/// How old the lists in `dir` are.
pub(super) fn age(dir: &Path) -> Option<Duration> {
    let updated = fs::metadata(dir.join(STAMP)).and_then(|data| data.modified()).ok()?;
    // A clock that went back makes them old.
    SystemTime::now().duration_since(updated).ok()
}

/// Whether the lists in `dir` need not be fetched again.
pub(super) fn is_fresh(dir: &Path) -> bool {
    age(dir).is_some_and(|age| age < FRESH)
}

/// Everything below `dir`, and of the machine's own configuration (`apt-config dump`) what it takes to reach a mirror: proxies,
/// time limits, sandbox.
fn configuration(dir: &Path, dump: &str) -> String {
    let dir = dir.display();
    let kept = dump.lines().filter(|line| {
        let foreign = ["Acquire::IndexTargets", "Acquire::Languages", "Acquire::Changelogs"];
        (line.starts_with("Acquire::") || line.starts_with("APT::Sandbox")) && !foreign.iter().any(|name| line.starts_with(name))
    });
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    // More retries make everybody without a network wait for ten seconds.
    // This file is read before Dir::Etc, so the machine's own files are not read at all: they may have hooks.
    format!(
        "{kept}Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\nDir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::sourcelist \"{dir}/nostale.sources\";\nDir::State \"{dir}\";\nDir::State::lists \"{dir}/lists\";\n\
         Dir::State::status \"{dir}/status\";\nDir::Cache \"{dir}\";\nDir::Cache::archives \"{dir}/archives\";\n\
         Acquire::Languages \"none\";\nAcquire::Retries \"1\";\nAPT::Update::Error-Mode \"any\";\n"
    )
}

/// What went wrong, in one line.
fn failure(program: &'static str, arguments: &[&str], output: &Output) -> Failure {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let find = |mark: &str| stderr.lines().find_map(|line| line.strip_prefix(mark));
    let said = find("E: ").or_else(|| find("W: ")).or_else(|| stderr.lines().next());
    let said = said.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned());
    let shown: Vec<&str> = [program].into_iter().chain(arguments.iter().copied().take(4)).collect();
    Failure::Said { command: shown.join(" "), said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_kept_and_hooks_are_not() {
        let dump = "APT \"\";\nAPT::Update::Post-Invoke:: \"rm -f /var/cache/apt/*.deb\";\nAcquire::http::Proxy \"http://proxy:3128\";\n\
                    Acquire::IndexTargets::deb::DEP-11 \"\";\nAcquire::Languages:: \"de\";\nDir::State::lists \"lists/\";\n";
        let text = configuration(Path::new("/c/apt"), dump);
        assert!(
            text.contains("Acquire::http::Proxy \"http://proxy:3128\";") && text.contains("Dir::State::lists \"/c/apt/lists\";")
        );
        assert!(
            !text.contains("Post-Invoke") && !text.contains("DEP-11") && !text.contains("\"de\"") && !text.contains("\"lists/\"")
        );
    }

    #[test]
    fn lists_are_fresh_for_a_day() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(!is_fresh(dir.path()));
        let stamp = fs::File::create(dir.path().join(STAMP)).expect("written");
        assert!(is_fresh(dir.path()));
        stamp.set_modified(SystemTime::now() - FRESH - Duration::from_secs(1)).expect("ours");
        assert!(!is_fresh(dir.path()));
        stamp.set_modified(SystemTime::now() + FRESH).expect("ours");
        assert!(!is_fresh(dir.path()), "the clock went back");
    }
}
