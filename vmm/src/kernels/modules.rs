//! Which modules a machine for `nostale run` needs, and in which order.
//!
//! Packages hold no `modules.dep` (depmod writes it at installation), so the dependencies come from the modules themselves.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::{KernelError, io_at};
use super::modinfo::{self, normal};

/// Only the one that fits the CPU loads.
const ALTERNATIVES: [&str; 2] = ["kvm_amd", "kvm_intel"];
/// Swap, so that reclaim has somewhere to put a guest's pages.
const OPTIONAL: [&str; 1] = ["zram"];
/// What these needed in kernels up to 7.2. A package is a stream, so it is read once more if this list lacks one.
const OFTEN_NEEDED: [&str; 14] = [
    "kvm",
    "irqbypass",
    "ccp",
    "rng_core",
    "tsm",
    "configfs",
    "zsmalloc",
    "lz4_compress",
    "lz4hc_compress",
    "lzo_compress",
    "lzo_rle",
    "zstd_compress",
    "842_compress",
    "842_decompress",
];
/// A build tree is deep; nothing in it is deeper than this.
const DEEPEST: u32 = 24;

/// What it means when a module cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// There is no KVM without it.
    Wanted,
    /// `kvm-amd`, `kvm-intel` and what only one of them needs: one of the two is enough.
    Alternative,
    /// Some operations are skipped without it.
    Optional,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wanted => "wanted",
            Self::Alternative => "alternative",
            Self::Optional => "optional",
        })
    }
}

/// One module to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name as the kernel spells it, with underscores.
    pub name: String,
    /// Its file, perhaps packed.
    pub path: PathBuf,
    /// What it means when it cannot be loaded.
    pub role: Role,
}

/// All modules of one kernel, by name.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Their directory.
    pub(super) dir: PathBuf,
    files: HashMap<String, PathBuf>,
    /// What is in the image itself; `None` if nothing says so.
    builtin: Option<HashSet<String>>,
}

impl Shelf {
    /// The modules below `dir`: `lib/modules/RELEASE`, or a build tree.
    pub(super) fn read(dir: &Path) -> Result<Self, KernelError> {
        let mut shelf = Self { dir: dir.to_owned(), ..Self::default() };
        // Written by the build, and a hundred times faster than a walk through a build tree. After an incremental build of one
        // directory it may name modules that are gone.
        let listed = fs::read_to_string(dir.join("modules.order")).unwrap_or_default();
        for line in listed.lines() {
            shelf.add_listed(line);
        }
        if shelf.files.is_empty() {
            shelf.walk(dir, 0)?;
        }
        shelf.read_builtin(&dir.join("modules.builtin"))?;
        Ok(shelf)
    }

    /// Takes another list of what is built in: Debian splits it from the modules since 7.1.
    pub(super) fn read_builtin(&mut self, path: &Path) -> Result<(), KernelError> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let names = text.lines().filter_map(|line| modinfo::name_of(line.rsplit('/').next().unwrap_or(line)));
                self.builtin.get_or_insert_default().extend(names);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_at("read", path)(error)),
        }
    }

    /// A line of modules.order: `kernel/virt/lib/irqbypass.ko` where installed, `virt/lib/irqbypass.o` in build trees since 6.4.
    fn add_listed(&mut self, line: &str) {
        let Some(stem) = line.strip_suffix(".ko").or_else(|| line.strip_suffix(".o")) else { return };
        let name = normal(stem.rsplit('/').next().unwrap_or(stem));
        let found = ["ko", "ko.xz", "ko.zst", "ko.gz"].iter().map(|end| self.dir.join(format!("{stem}.{end}")));
        if let Some(path) = found.into_iter().find(|path| path.is_file()) {
            self.files.entry(name).or_insert(path);
        }
    }

    fn walk(&mut self, dir: &Path, depth: u32) -> Result<(), KernelError> {
        for entry in fs::read_dir(dir).map_err(io_at("read", dir))? {
            let entry = entry.map_err(io_at("read", dir))?;
            let kind = entry.file_type().map_err(io_at("look at", &entry.path()))?;
            // Links are not followed: `build` and `source` lead out of an installed directory.
            if kind.is_dir() && depth < DEEPEST {
                self.walk(&entry.path(), depth + 1)?;
            } else if kind.is_file()
                && let Some(name) = entry.file_name().to_str().and_then(modinfo::name_of)
            {
                self.files.entry(name).or_insert(entry.path());
            }
        }
        Ok(())
    }

    /// Whether there is any module at all.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn is_builtin(&self, name: &str) -> bool {
        self.builtin.as_ref().is_some_and(|builtin| builtin.contains(name))
    }

    /// What is to be loaded for KVM in kernel `release`, in order.
    pub(super) fn needed(&self, release: &str) -> Result<Vec<Module>, KernelError> {
        let mut order = Order { shelf: self, release, modules: Vec::new() };
        let present: Vec<&str> = ALTERNATIVES.into_iter().filter(|name| self.files.contains_key(*name)).collect();
        if present.is_empty() && !ALTERNATIVES.into_iter().any(|name| self.is_builtin(name)) {
            return Err(KernelError::NoKvm { release: release.to_owned(), path: self.dir.clone() });
        }
        // First, so that what it needs counts as wanted, and not as needed by one of the alternatives.
        order.load("kvm", Role::Wanted)?;
        for name in present {
            order.load(name, Role::Alternative)?;
        }
        for name in OPTIONAL {
            order.load_if_possible(name)?;
        }
        Ok(order.modules)
    }
}

/// The modules found so far, each behind those that it needs.
struct Order<'a> {
    shelf: &'a Shelf,
    release: &'a str,
    modules: Vec<Module>,
}

impl Order<'_> {
    fn info(&self, path: &Path) -> Result<modinfo::Modinfo, KernelError> {
        let info = modinfo::read(&modinfo::load(path)?).map_err(|why| KernelError::Module { path: path.to_owned(), why })?;
        match info.built_for {
            Some(built_for) if built_for != self.release => {
                Err(KernelError::OtherRelease { path: path.to_owned(), built_for, release: self.release.to_owned() })
            }
            _ => Ok(info),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.modules.iter().any(|module| module.name == name)
    }

    /// Appends `name` and, before it, all that it needs.
    fn load(&mut self, name: &str, role: Role) -> Result<(), KernelError> {
        self.load_below(name, role, &mut Vec::new())
    }

    fn load_below(&mut self, name: &str, role: Role, above: &mut Vec<String>) -> Result<(), KernelError> {
        // depmod refuses cycles; a broken file must not make this one endless.
        if self.has(name) || above.iter().any(|open| open == name) {
            return Ok(());
        }
        let Some(path) = self.shelf.files.get(name).cloned() else { return Ok(()) };
        let info = self.info(&path)?;
        above.push(name.to_owned());
        for dependency in &info.depends {
            if !self.shelf.files.contains_key(dependency) && self.shelf.builtin.is_some() && !self.shelf.is_builtin(dependency) {
                return Err(KernelError::NoDependency { path, dependency: dependency.clone() });
            }
            self.load_below(dependency, role, above)?;
        }
        for soft in &info.soft {
            // Better with it, and no worse than before without it.
            let before = self.modules.len();
            if self.load_below(soft, Role::Optional, above).is_err() {
                self.modules.truncate(before);
            }
        }
        above.pop();
        self.modules.push(Module { name: name.to_owned(), path, role });
        Ok(())
    }

    /// An optional module whose dependencies are incomplete is left out; a broken file is an error even so.
    fn load_if_possible(&mut self, name: &str) -> Result<(), KernelError> {
        let before = self.modules.len();
        match self.load(name, Role::Optional) {
            Err(KernelError::NoDependency { .. }) => {
                self.modules.truncate(before);
                Ok(())
            }
            done => done,
        }
    }
}

/// Whether a module of this name is likely to be loaded, so worth unpacking before its dependents have been read.
pub(super) fn is_likely(name: &str) -> bool {
    ALTERNATIVES.contains(&name) || OPTIONAL.contains(&name) || OFTEN_NEEDED.contains(&name)
}

#[cfg(test)]
mod tests;
