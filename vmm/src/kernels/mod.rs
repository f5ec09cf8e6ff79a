//! Other kernels: from what a user named to something that QEMU can boot.
//!
//! [`find`] turns a Debian version, a package, a directory or an image into a [`Kernel`]: its image and, in load order, the
//! modules that KVM needs. [`initramfs`] puts these modules and the running program itself into a file system for it, so nobody
//! has to build a second, static `nostale`.

mod apt;
mod cache;
mod deb;
mod error;
mod extras;
mod image;
mod initramfs;
mod modinfo;
mod modules;
mod newc;
mod places;
mod program;
mod tree;
mod unpack;
mod vmlinux;

use std::path::{Path, PathBuf};

pub use cache::{Cache, Contents};
pub use error::KernelError;
pub use extras::{Extras, ExtrasError};
pub use initramfs::{InitramfsError, initramfs, module_part, program_part};
pub use modules::{Module, Role};
pub use program::{Program, ProgramError};

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What the user wrote.
    pub asked: String,
    /// What `uname -r` says in it.
    pub release: String,
    /// Where it came from, for people: `Debian linux-image-6.1.0-50-amd64 6.1.176-1`, or a path.
    pub origin: String,
    /// The bzImage.
    pub image: PathBuf,
    /// The ELF file in it, if that can be started by itself: then nothing has to be unpacked at every boot.
    pub vmlinux: Option<PathBuf>,
    /// The options it was built with, if they lie beside it.
    pub config: Option<PathBuf>,
    /// What to load, in this order. None if KVM is built in.
    pub modules: Vec<Module>,
    /// Whether any modules of this kernel were found. If not, KVM is built in or missing: only a boot can tell.
    pub modules_known: bool,
}

/// Finds the kernel that the user calls `name`; `say` gets a line for whatever takes longer, and for what the user should know.
///
/// Something that begins like a version is one: a directory called `6.1` is `./6.1`.
pub fn find(name: &str, cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
    let mut kernel = named(name, cache, say)?;
    kernel.vmlinux = vmlinux::kept(&kernel.image, &kernel.release, cache);
    Ok(kernel)
}

fn named(name: &str, cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
    if let Some(wish) = apt::Wish::parse(name) {
        return apt::find(&wish, cache, say);
    }
    let path = Path::new(name);
    let kernel = if path.is_dir() {
        tree::in_directory(name, path)?
    } else if path.is_file() && path.extension().is_some_and(|end| end == "deb") {
        deb::find(name, path, cache, say)?
    } else if path.exists() {
        tree::in_file(name, path, None)?
    } else {
        match name.rsplit_once(':').map(|(image, modules)| (Path::new(image), Path::new(modules))) {
            Some((image, modules)) if image.is_file() && modules.is_dir() => tree::in_file(name, image, Some(modules))?,
            _ => return Err(KernelError::Unknown { name: name.to_owned() }),
        }
    };
    if !kernel.modules_known {
        say(&format!("{name}: no modules of {} found; KVM must be built in", kernel.release));
    }
    Ok(kernel)
}
