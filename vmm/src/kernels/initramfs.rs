//! The file system that a kernel starts with: its modules and the running program, and what somebody wants in there besides.

use std::path::Path;

use thiserror::Error;

use super::Kernel;
use super::error::KernelError;
use super::extras::Extras;
use super::modinfo;
use super::modules::Role;
use super::newc::Archive;
use super::places::Places;
use super::program::Program;

/// Why there is no initramfs.
#[derive(Debug, Error)]
pub enum InitramfsError {
    /// A module could not be read.
    #[error("cannot put module {name} into the initramfs: {source}")]
    Module {
        /// The module.
        name: String,
        /// What is wrong.
        source: KernelError,
    },
}

/// A complete initramfs for `kernel`: `/init` is `program`, the modules lie in `/modules` in load order, and `/modules/order` has
/// a line `FILE wanted` or `FILE optional` for each. One of `kvm-amd` and `kvm-intel` always fails to load, so both are optional
/// there: that one of them did load shows by `/dev/kvm`, and to try the other one after that only costs time (under emulation
/// 0.2 s and more).
pub fn initramfs(kernel: &Kernel, program: &Program, extras: Option<&Extras>) -> Result<Vec<u8>, InitramfsError> {
    let mut both = module_part(kernel)?;
    both.extend(program_part(program, extras));
    Ok(both)
}

/// The part that depends on the kernel alone. The kernel reads archives behind each other as one.
pub fn module_part(kernel: &Kernel) -> Result<Vec<u8>, InitramfsError> {
    let mut archive = Archive::default();
    archive.directory("/modules");
    let mut order = String::new();
    for (at, module) in kernel.modules.iter().enumerate() {
        let bytes = modinfo::load(&module.path).map_err(|source| InitramfsError::Module { name: module.name.clone(), source })?;
        let file = format!("{at:02}-{}.ko", module.name);
        archive.file(&format!("/modules/{file}"), &bytes);
        let role = if module.role == Role::Wanted { Role::Wanted } else { Role::Optional };
        order += &format!("{file} {role}\n");
    }
    archive.file("/modules/order", order.as_bytes());
    Ok(archive.finish())
}

/// The part that is the same for all kernels.
pub fn program_part(program: &Program, extras: Option<&Extras>) -> Vec<u8> {
    let mut archive = Archive::default();
    for path in ["/proc", "/sys", "/dev", "/tmp", "/run"] {
        archive.directory(path);
    }
    // The kernel opens it for init's standard streams before anything is mounted.
    archive.character("/dev/console", 5, 1);
    let mut places = Places::of(archive);
    program.install(Path::new("/init"), &mut places);
    if let Some(extras) = extras {
        extras.install(&mut places);
    }
    places.finish()
}
