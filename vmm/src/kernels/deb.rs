//! Kernel packages: `ar` with a packed `tar` inside, from which a few files out of four thousand are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use object::read::ReadCache;
use object::read::archive::ArchiveFile;

use super::cache::Cache;
use super::error::{KernelError, io_at};
use super::{Kernel, image, modinfo, modules, tree, unpack};

/// Images have up to 20 MB and modules of debug builds up to some 100 MB.
const FILE_LIMIT_BYTES: u64 = 256 << 20;

/// The kernel in package `path`; its modules may be in a package beside it.
pub(super) fn find(asked: &str, path: &Path, cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
    let packages = with_siblings(path);
    let key = key(&packages)?;
    let origin = path.display().to_string();
    let dir = match cache.entry(&key) {
        Some(dir) => dir,
        None => {
            say(&format!("unpacking {origin}"));
            cache.add(&key, |dir| unpack(&packages, dir))?
        }
    };
    Ok(Kernel { origin, ..unpacked(asked, path, &dir)? })
}

/// The kernel that [`unpack`] left in `dir`, complete or not at all.
pub(super) fn unpacked(asked: &str, package: &Path, dir: &Path) -> Result<Kernel, KernelError> {
    let hint = || match package.file_name().and_then(|name| name.to_str()) {
        Some(name) if name.starts_with("linux-modules-") => {
            "; give the linux-binary-* or linux-image-* package beside it".to_owned()
        }
        Some(name) if name.starts_with("linux-image-") => {
            "; it may be an empty package that depends on linux-binary-* and linux-modules-*: give the former".to_owned()
        }
        _ => String::new(),
    };
    match tree::in_directory(asked, dir) {
        Err(KernelError::NoImage { .. }) => Err(KernelError::NoImage { path: package.to_owned(), hint: hint() }),
        Ok(kernel) if !kernel.modules_known => Err(KernelError::Package {
            path: package.to_owned(),
            why: "its modules (linux-modules-*) are not beside it".to_owned(),
        }),
        found => found,
    }
}

/// `path` and what Debian (and Ubuntu) split from it since 7.1, if it is in the same directory.
fn with_siblings(path: &Path) -> Vec<PathBuf> {
    let mut packages = vec![path.to_owned()];
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    for prefix in ["linux-binary-", "linux-image-unsigned-", "linux-image-"] {
        if let Some(rest) = name.strip_prefix(prefix) {
            let siblings = ["linux-modules-", "linux-base-"].map(|other| path.with_file_name(format!("{other}{rest}")));
            packages.extend(siblings.into_iter().filter(|path| path.is_file()));
            break;
        }
    }
    packages
}

/// A name for these very files: a package that was built again gets another one.
fn key(packages: &[PathBuf]) -> Result<String, KernelError> {
    let mut key = "file".to_owned();
    for path in packages {
        let (size, modified) =
            fs::metadata(path).and_then(|data| Ok((data.len(), data.modified()?))).map_err(io_at("look at", path))?;
        let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("package");
        // Enough of the name for people; the numbers tell the packages apart.
        let name: String =
            name.chars().take(60).map(|c| if c.is_ascii_alphanumeric() || "+-._".contains(c) { c } else { '_' }).collect();
        key += &if key.len() == 4 { format!("-{name}-{size:x}-{modified:x}") } else { format!("-{size:x}-{modified:x}") };
    }
    Ok(key)
}

/// Puts what a boot needs out of `packages` into `to`, with the modules unpacked: what is loaded often is unpacked once.
pub(super) fn unpack(packages: &[PathBuf], to: &Path) -> Result<(), KernelError> {
    let mut unpacking = Unpacking { to, all: BTreeSet::new(), taken: BTreeMap::new() };
    for package in packages {
        unpacking.read(package, &modules::is_likely)?;
    }
    // The stream has gone by, so what the modules just read turn out to need costs one more pass.
    loop {
        let missing = unpacking.missing()?;
        if missing.is_empty() {
            return Ok(());
        }
        for package in packages {
            unpacking.read(package, &|name| missing.contains(name))?;
        }
    }
}

struct Unpacking<'a> {
    to: &'a Path,
    /// The names of all modules in the packages.
    all: BTreeSet<String>,
    /// Those that were written, and where.
    taken: BTreeMap<String, PathBuf>,
}

impl Unpacking<'_> {
    /// One pass over `package`: takes the image, its description, and the modules that `wanted` names.
    fn read(&mut self, package: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<(), KernelError> {
        let broken = |why: String| KernelError::Package { path: package.to_owned(), why };
        let mut tar = tar::Archive::new(data(package)?);
        for entry in tar.entries().map_err(|error| broken(error.to_string()))? {
            let mut entry = entry.map_err(|error| broken(error.to_string()))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let Some(place) = entry.path().ok().and_then(|path| Place::of(&path)) else { continue };
            if let Some(module) = &place.module {
                self.all.insert(module.clone());
                if !wanted(module) || self.taken.contains_key(module) {
                    continue;
                }
            }
            let bytes = if place.module.is_some() {
                unpack::all(BufReader::new(&mut entry), FILE_LIMIT_BYTES)
            } else {
                let mut bytes = Vec::new();
                (&mut entry).take(FILE_LIMIT_BYTES).read_to_end(&mut bytes).map(|_| bytes)
            };
            let bytes = bytes.map_err(|error| broken(format!("{}: {error}", place.path.display())))?;
            let path = self.to.join(&place.path);
            let above = path.parent().unwrap_or(self.to);
            fs::create_dir_all(above).map_err(io_at("make", above))?;
            fs::write(&path, bytes).map_err(io_at("write", &path))?;
            if let Some(module) = place.module {
                self.taken.insert(module, path);
            }
        }
        Ok(())
    }

    /// The dependencies of what was taken that the packages hold and that were not taken.
    fn missing(&self) -> Result<BTreeSet<String>, KernelError> {
        let mut missing = BTreeSet::new();
        for path in self.taken.values() {
            let info = modinfo::read(&modinfo::load(path)?).map_err(|why| KernelError::Module { path: path.clone(), why })?;
            let named = info.depends.into_iter().chain(info.soft);
            missing.extend(named.filter(|name| self.all.contains(name) && !self.taken.contains_key(name)));
        }
        Ok(missing)
    }
}

/// Where a file of a package goes. Only these places are ever written, whatever the package calls its files.
struct Place {
    path: PathBuf,
    /// The name of the module, if it is one.
    module: Option<String>,
}

impl Place {
    fn of(path: &Path) -> Option<Self> {
        let parts: Vec<&str> = path
            .components()
            .filter(|part| !matches!(part, Component::CurDir | Component::RootDir))
            .map(|part| if let Component::Normal(part) = part { part.to_str() } else { None })
            .collect::<Option<_>>()?;
        let parts = parts.strip_prefix(&["usr"]).unwrap_or(&parts);
        match *parts {
            ["boot", file] if file.starts_with("vmlinuz-") || file.starts_with("config-") => {
                Some(Self { path: Path::new("boot").join(file), module: None })
            }
            ["lib", "modules", release, ref rest @ .., file] if image::is_release(release) => {
                let home = Path::new("lib/modules").join(release);
                if rest.is_empty() && ["vmlinuz", "config", "modules.builtin"].contains(&file) {
                    return Some(Self { path: home.join(file), module: None });
                }
                let module = modinfo::name_of(file).filter(|name| image::is_word(name))?;
                Some(Self { path: home.join(format!("kernel/{module}.ko")), module: Some(module) })
            }
            _ => None,
        }
    }
}

/// The unpacked stream of `data.tar` in `package`.
fn data(package: &Path) -> Result<Box<dyn Read>, KernelError> {
    let broken = |why: String| KernelError::Package { path: package.to_owned(), why };
    let mut file = File::open(package).map_err(io_at("open", package))?;
    let (offset, size) = data_range(&file).map_err(broken)?;
    file.seek(SeekFrom::Start(offset)).map_err(io_at("read", package))?;
    unpack::reader(BufReader::with_capacity(1 << 16, file.take(size))).map_err(|error| broken(error.to_string()))
}

/// Where `data.tar.*` lies in a package.
fn data_range(file: &File) -> Result<(u64, u64), String> {
    let cache = ReadCache::new(file);
    let archive = ArchiveFile::parse(&cache).map_err(|error| error.to_string())?;
    for member in archive.members() {
        let member = member.map_err(|error| error.to_string())?;
        // deb(5) allows the slash of System V `ar` behind a name.
        if member.name().starts_with(b"data.tar") {
            return Ok(member.file_range());
        }
    }
    Err("it has no data.tar".to_owned())
}

#[cfg(test)]
mod tests;
