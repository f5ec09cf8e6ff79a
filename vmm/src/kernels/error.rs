//! Why there is no kernel to boot: what was looked for, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why what the user named did not become a kernel.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The name is neither a version nor something on the disk.
    #[error(
        "no kernel {name:?}: that is neither a Debian version (6.1, 6.12.95, 6.1.0-50-amd64) nor a file or directory \
         (a .deb, an unpacked package, a kernel build tree, IMAGE or IMAGE:MODULESDIR)"
    )]
    Unknown {
        /// What the user wrote.
        name: String,
    },
    /// Debian's archive has no such kernel (any more).
    #[error("Debian has no kernel {asked}{near}; it has {known}")]
    NoSuchVersion {
        /// What the user wrote.
        asked: String,
        /// The series that can be fetched.
        known: String,
        /// What may have been meant, in parentheses, or nothing.
        near: String,
    },
    /// This is not a Debian-like system, and nothing in the cache fits.
    #[error("cannot fetch kernel {asked}: {tool} is not installed; give a .deb, a directory or IMAGE:MODULESDIR instead")]
    NoApt {
        /// What the user wrote.
        asked: String,
        /// The program that is missing.
        tool: &'static str,
    },
    /// There are apt sources, but none of Debian.
    #[error(
        "cannot fetch kernel {asked}: no source in /etc/apt/sources.list or /etc/apt/sources.list.d is a Debian release; \
         add one of Debian (sources.list(5)) or give a .deb, a directory or IMAGE:MODULESDIR"
    )]
    NoDebianSource {
        /// What the user wrote.
        asked: String,
    },
    /// apt did not do what it was asked for, and nothing in the cache fits.
    #[error("cannot fetch kernel {asked}: {command} failed ({said}); is the network up? A .deb or a directory needs none")]
    Apt {
        /// What the user wrote.
        asked: String,
        /// The command line, without its configuration.
        command: String,
        /// What it complained of.
        said: String,
    },
    /// The file is not a kernel for x86.
    #[error("{path} is not a bootable x86 kernel: {why}")]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The directory holds no kernel image in any known place.
    #[error("{path} holds no kernel: neither boot/vmlinuz-*, lib/modules/*/vmlinuz nor arch/x86/boot/bzImage is there{hint}")]
    NoImage {
        /// The directory or package.
        path: PathBuf,
        /// What may be missing, or nothing.
        hint: String,
    },
    /// The directory holds more than one kernel. Which one is meant is for the user to say: a silent choice of the newest would
    /// put the wrong name over a column.
    #[error("{path} holds several kernels, name one: {images}")]
    Several {
        /// The directory.
        path: PathBuf,
        /// The images.
        images: String,
    },
    /// The modules directory that was named holds none for this kernel.
    #[error("no modules of {release} in {path} (looked for {path}, lib/modules/{release} and {release} below it)")]
    NoModules {
        /// The release of the image.
        release: String,
        /// Where they should have been.
        path: PathBuf,
    },
    /// Neither a module nor built in.
    #[error("kernel {release} has neither kvm-amd nor kvm-intel, as a module in {path} or built in: CONFIG_KVM_AMD=m needed")]
    NoKvm {
        /// The release of the kernel.
        release: String,
        /// Where its modules are.
        path: PathBuf,
    },
    /// A module needs one that is neither there nor built in.
    #[error("{path} needs module {dependency}, which is neither beside it nor in modules.builtin")]
    NoDependency {
        /// The module that needs it.
        path: PathBuf,
        /// The module that is missing.
        dependency: String,
    },
    /// A module cannot be read as one.
    #[error("{path} is not a kernel module: {why}")]
    Module {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A module was built for another kernel, which will refuse it.
    #[error("{path} was built for {built_for}, the kernel is {release}; build image and modules together")]
    OtherRelease {
        /// The file.
        path: PathBuf,
        /// The release in its vermagic.
        built_for: String,
        /// The release of the image.
        release: String,
    },
    /// A package cannot be read as one.
    #[error("{path} is not a kernel package: {why}")]
    Package {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no place for the cache.
    #[error("no directory for fetched kernels: set NOSTALE_CACHE (or XDG_CACHE_HOME, or HOME) to an absolute path")]
    NoCache,
    /// A file could not be read or written.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was to be done with it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// For `map_err`: the file and what was to be done with it.
pub(super) fn io_at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KernelError {
    let path = path.to_owned();
    move |source| KernelError::Io { what, path, source }
}
