//! The running program as something that starts in an otherwise empty file system.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use super::places::Places;

mod elf;

use elf::Elf;

/// Why the running program cannot be put into an initramfs.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// A file of it cannot be read (any more).
    #[error("cannot read {path}: {source} (was it replaced while this program runs? start again)")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A file of it is not what it must be.
    #[error("{path} is not an x86-64 ELF file that can be started: {why}")]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A library that the program needs is not mapped: then how does it run?
    #[error("{needed_by} needs {library}, which is not mapped by this process; a static build needs no libraries")]
    NotMapped {
        /// Who needs it.
        needed_by: PathBuf,
        /// The library as it is named there.
        library: String,
    },
    /// A library that another program needs is not on this host.
    #[error("{needed_by} needs {library}, which its loader does not find")]
    NotFound {
        /// Who needs it.
        needed_by: PathBuf,
        /// The library as it is named there.
        library: String,
    },
    /// The loader of another program cannot be asked.
    #[error("cannot ask {loader} what {program} needs: {why}")]
    Loader {
        /// The loader.
        loader: PathBuf,
        /// The program.
        program: PathBuf,
        /// Why.
        why: String,
    },
}

/// A program with all that it needs to start: nothing if it is static, else its loader and its libraries.
#[derive(Clone, Debug)]
pub struct Program {
    executable: Vec<u8>,
    libraries: Vec<Library>,
}

/// A file that the loader maps, or the loader itself.
#[derive(Clone, Debug)]
struct Library {
    /// As others ask for it.
    name: String,
    /// Where it is on this host; programs with a search path of their own (Nix) look there.
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Program {
    /// The program that runs right now, even if its file has been replaced since.
    pub fn this() -> Result<Self, ProgramError> {
        let maps = Path::new("/proc/self/maps");
        let text = fs::read(maps).map_err(read_failed(maps))?;
        Self::of(Path::new("/proc/self/exe"), &mapped(&String::from_utf8_lossy(&text)))
    }

    /// The program in `path`, which need not run. Its loader is asked where its libraries are (`--list`, in glibc and musl): it does what
    /// it would do at a start, and ends before the program begins.
    pub(super) fn at(path: &Path) -> Result<Self, ProgramError> {
        let (_, elf) = load(path)?;
        let found = elf.interpreter.map(PathBuf::from).map(|loader| listed(&loader, path)).transpose()?;
        Self::of(path, &found.unwrap_or_default()).map_err(|error| match error {
            ProgramError::NotMapped { needed_by, library } => ProgramError::NotFound { needed_by, library },
            error => error,
        })
    }

    /// The program in `path`, with its libraries taken from `mapped`: what a process that runs it has mapped. Asking its loader
    /// (`ldd`) would start it once more, and to search again might find other files.
    fn of(path: &Path, mapped: &[PathBuf]) -> Result<Self, ProgramError> {
        let (executable, elf) = load(path)?;
        let mut libraries = Vec::new();
        if let Some(interpreter) = elf.interpreter.map(PathBuf::from) {
            let (bytes, _) = load(&interpreter)?;
            let name = interpreter.file_name().unwrap_or_default().to_string_lossy().into_owned();
            libraries.push(Library { name, path: interpreter, bytes });
        }
        let mut open: Vec<(PathBuf, String)> = elf.needed.into_iter().map(|name| (path.to_owned(), name)).collect();
        while let Some((needed_by, name)) = open.pop() {
            if libraries.iter().any(|known| known.name == name) {
                continue;
            }
            let Some((path, bytes, elf)) = find(&name, mapped)? else {
                return Err(ProgramError::NotMapped { needed_by, library: name });
            };
            open.extend(elf.needed.into_iter().map(|name| (path.clone(), name)));
            libraries.push(Library { name, path, bytes });
        }
        Ok(Self { executable, libraries })
    }

    /// How many bytes it takes in an initramfs, about.
    pub fn size(&self) -> usize {
        self.executable.len() + self.libraries.iter().map(|library| library.bytes.len()).sum::<usize>()
    }

    /// Puts it into an archive as `path`, and beside it what it needs.
    pub(super) fn install(&self, path: &Path, places: &mut Places) {
        places.file(path, &self.executable);
        for library in &self.libraries {
            places.library(&library.name, &library.path, &library.bytes);
        }
    }
}

fn read_failed(path: &Path) -> impl FnOnce(io::Error) -> ProgramError {
    let path = path.to_owned();
    move |source| ProgramError::Read { path, source }
}

/// A file without what is not loaded, and what it needs.
fn load(path: &Path) -> Result<(Vec<u8>, Elf), ProgramError> {
    let mut bytes = fs::read(path).map_err(read_failed(path))?;
    let bad = |why| ProgramError::Elf { path: path.to_owned(), why };
    let elf = Elf::read(&bytes).map_err(bad)?;
    elf::keep_what_is_loaded(&mut bytes, elf.loaded);
    Ok((bytes, elf))
}

/// The mapped file that is library `name`: by its file name or, for one with a longer version in it, by what it calls itself.
fn find(name: &str, mapped: &[PathBuf]) -> Result<Option<(PathBuf, Vec<u8>, Elf)>, ProgramError> {
    if let Some(path) = mapped.iter().find(|path| path.file_name().is_some_and(|file| file == name)) {
        return load(path).map(|(bytes, elf)| Some((path.clone(), bytes, elf)));
    }
    for path in mapped {
        // Data files and devices are mapped, too.
        if let Ok((bytes, elf)) = load(path)
            && elf.soname.as_deref() == Some(name)
        {
            return Ok(Some((path.clone(), bytes, elf)));
        }
    }
    Ok(None)
}

/// The files that `loader` would map for the program in `path`.
fn listed(loader: &Path, path: &Path) -> Result<Vec<PathBuf>, ProgramError> {
    let failed = |why| ProgramError::Loader { loader: loader.to_owned(), program: path.to_owned(), why };
    // What is preloaded here is not there.
    let output = Command::new(loader).arg("--list").arg(path).env_remove("LD_PRELOAD").stdin(Stdio::null()).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let found = loaded(&String::from_utf8_lossy(&output.stdout));
    // A static program that can lie anywhere names a loader too, and needs nothing.
    if !output.status.success() && found.is_empty() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(found)
}

/// The files in what a loader lists: `NAME => PATH (ADDRESS)` or `PATH (ADDRESS)`.
fn loaded(list: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let found = line.split_once(" => ").map_or(line, |(_, found)| found).trim();
        let path = found.rsplit_once(" (0x").map_or(found, |(path, _)| path);
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    list.lines().filter_map(path).collect()
}

/// The regular files in the text of `/proc/PID/maps`, in order.
fn mapped(maps: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for line in maps.lines() {
        // Address, permissions, offset, device, inode; then, after blanks, a path that may hold blanks itself.
        let Some(start) = line.find('/') else { continue };
        let path = PathBuf::from(&line[start..]);
        let is_code = line.split_whitespace().nth(1).is_some_and(|permissions| permissions.contains('x'));
        if is_code && !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

#[cfg(test)]
mod tests;
