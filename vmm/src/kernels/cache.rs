//! Where fetched and unpacked kernels are kept between runs.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::{KernelError, io_at};

/// Begins the names of directories that are not complete.
const HALF_MADE: &str = ".making-";
/// After that time nobody is working on one any more.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory of one's own for kernels. What is in it appears whole and is never changed, so it is read without a lock.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// `$NOSTALE_CACHE`, else `$XDG_CACHE_HOME/nostale`, else `~/.cache/nostale`.
    pub fn open() -> Result<Self, KernelError> {
        Self::chosen(|name| std::env::var_os(name)).map(Self::at).ok_or(KernelError::NoCache)
    }

    /// This directory; it is made when something is put into it.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// A relative path would put a cache into every directory that somebody works in (and XDG says to ignore it).
    fn chosen(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("NOSTALE_CACHE")
            .or_else(|| absolute("XDG_CACHE_HOME").map(|above| above.join("nostale")))
            .or_else(|| absolute("HOME").map(|home| home.join(".cache/nostale")))
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// apt's lists and its configuration.
    pub(super) fn apt(&self) -> PathBuf {
        self.dir.join("apt")
    }

    fn kernels(&self) -> PathBuf {
        self.dir.join("kernels")
    }

    /// The kernel that is kept as `key`, if it is there.
    pub(super) fn entry(&self, key: &str) -> Option<PathBuf> {
        Some(self.kernels().join(key)).filter(|path| path.is_dir())
    }

    /// The names of all kernels that are there.
    pub(super) fn keys(&self) -> Vec<String> {
        let entries = fs::read_dir(self.kernels()).into_iter().flatten().flatten();
        // Half-made ones begin with a dot.
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.')).collect()
    }

    /// What is kept there.
    pub fn contents(&self) -> Contents {
        let mut kernels = self.keys();
        kernels.sort_unstable();
        Contents { bytes: bytes_below(&self.dir), kernels }
    }

    /// Has `fill` make the kernel `key` in a directory that gets its name when it is complete.
    pub(super) fn add(&self, key: &str, fill: impl FnOnce(&Path) -> Result<(), KernelError>) -> Result<PathBuf, KernelError> {
        let temporary = self.temporary()?;
        let made = temporary.path().join("made");
        fs::create_dir(&made).map_err(io_at("make", &made))?;
        fill(&made)?;
        let place = self.kernels().join(key);
        match fs::rename(&made, &place) {
            // Another run was faster, with the same contents.
            Err(_) if place.is_dir() => Ok(place),
            done => done.map(|()| place.clone()).map_err(io_at("rename into place", &place)),
        }
    }

    /// A directory on the file system of the kernels, gone when it is dropped.
    pub(super) fn temporary(&self) -> Result<tempfile::TempDir, KernelError> {
        let kernels = self.kernels();
        fs::create_dir_all(&kernels).map_err(io_at("make", &kernels))?;
        self.sweep();
        tempfile::Builder::new().prefix(HALF_MADE).tempdir_in(&kernels).map_err(io_at("make a directory in", &kernels))
    }

    /// Removes what killed runs left behind, 100 MB each. Nobody fetches for a whole day.
    fn sweep(&self) {
        for entry in fs::read_dir(self.kernels()).into_iter().flatten().flatten() {
            let is_half_made = entry.file_name().to_str().is_some_and(|name| name.starts_with(HALF_MADE));
            let modified = entry.metadata().and_then(|data| data.modified());
            if is_half_made && modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Waits until no other run uses apt in this cache. The kernel lets go of it when a process dies.
    pub(super) fn lock(&self, say: &mut dyn FnMut(&str)) -> Result<Flock<File>, KernelError> {
        let apt = self.apt();
        fs::create_dir_all(&apt).map_err(io_at("make", &apt))?;
        let path = apt.join("in-use");
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(io_at("open", &path))?;
        let mut told = false;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((same, Errno::EWOULDBLOCK | Errno::EINTR)) => file = same,
                Err((_, error)) => return Err(io_at("lock", &path)(io::Error::from(error))),
            }
            if !std::mem::replace(&mut told, true) {
                say("waiting for another nostale that is fetching kernels");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What a cache holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// All of it, on the disk.
    pub bytes: u64,
    /// The kernels, under the names that they have there: where they are from, release, and version.
    pub kernels: Vec<String>,
}

/// What the files in `dir` and below take; links are not followed.
fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_place_follows_the_environment_and_is_absolute() {
        let chosen = |set: &[(&str, &str)]| {
            let find = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            Cache::chosen(find).map(|path| path.to_string_lossy().into_owned())
        };
        let (own, xdg, home) = (("NOSTALE_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c"));
        assert_eq!(chosen(&[home, xdg, own]).as_deref(), Some("/a"));
        assert_eq!(chosen(&[home, xdg]).as_deref(), Some("/b/nostale"));
        assert_eq!(chosen(&[home, ("XDG_CACHE_HOME", "relative"), ("NOSTALE_CACHE", "")]).as_deref(), Some("/c/.cache/nostale"));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn an_entry_is_whole_or_not_there() {
        let above = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(above.path().join("cache"));
        let failed = cache.add("k", |dir| {
            fs::write(dir.join("half"), "").expect("written");
            Err(KernelError::NoCache)
        });
        assert!(failed.is_err() && cache.entry("k").is_none() && cache.keys().is_empty());
        let fill = |text: &'static str| move |dir: &Path| fs::write(dir.join("file"), text).map_err(io_at("write", dir));
        let made = cache.add("k", fill("first")).expect("made");
        assert_eq!(cache.add("k", fill("second")).expect("there already"), made);
        assert_eq!(fs::read_to_string(made.join("file")).expect("there"), "first");
        assert_eq!(cache.keys(), ["k"]);
        assert_eq!(cache.contents(), Contents { bytes: 5, kernels: vec!["k".to_owned()] });
        for (name, age) in [("old", ABANDONED + Duration::from_secs(1)), ("young", Duration::ZERO)] {
            let half = cache.kernels().join(format!("{HALF_MADE}{name}"));
            fs::create_dir(&half).expect("made");
            let opened = File::open(&half).expect("there");
            opened.set_modified(std::time::SystemTime::now() - age).expect("ours");
        }
        cache.sweep();
        assert!(!cache.kernels().join(".making-old").exists());
        fs::remove_dir(cache.kernels().join(".making-young")).expect("somebody may be at work in it");
        assert_eq!(fs::read_dir(cache.kernels()).expect("there").count(), 1, "nothing half-made is left");
    }

    #[test]
    fn the_second_waits_for_the_first() {
        let above = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(above.path());
        let first = cache.lock(&mut |_| ()).expect("free");
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let (cache, tell) = (&cache, tell);
            let second = scope.spawn(move || cache.lock(&mut |line| tell.send(line.to_owned()).expect("heard")).map(drop));
            assert!(told.recv().expect("it waits and says so").contains("waiting"));
            drop(first);
            second.join().expect("no panic").expect("its turn");
        });
    }
}
