//! Finding a kernel and its modules in a directory: an unpacked package, an installed system, or a build tree.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Kernel;
use super::error::KernelError;
use super::image;
use super::modules::Shelf;

/// The kernel in directory `dir`.
pub(super) fn in_directory(asked: &str, dir: &Path) -> Result<Kernel, KernelError> {
    let mut found = images(dir);
    let Some((release, image)) = found.pop_first() else {
        return Err(KernelError::NoImage { path: dir.to_owned(), hint: String::new() });
    };
    if !found.is_empty() {
        let all: Vec<String> = std::iter::once(&image).chain(found.values()).map(|path| path.display().to_string()).collect();
        return Err(KernelError::Several { path: dir.to_owned(), images: all.join(", ") });
    }
    with_modules(asked, dir.display().to_string(), release, image, &places(dir))
}

/// The kernel in file `image`, with the modules in directory `modules`, or with those that lie where they should.
pub(super) fn in_file(asked: &str, image: &Path, modules: Option<&Path>) -> Result<Kernel, KernelError> {
    let release = image::release(image)?;
    let origin = image.display().to_string();
    let places = match modules {
        Some(dir) => vec![dir.to_owned()],
        None => beside(image),
    };
    let kernel = with_modules(asked, origin, release, image.to_owned(), &places)?;
    match modules {
        Some(dir) if !kernel.modules_known => Err(KernelError::NoModules { release: kernel.release, path: dir.to_owned() }),
        _ => Ok(kernel),
    }
}

/// All images in `dir` by release. The same kernel may be there under several names (`vmlinuz` as a link).
fn images(dir: &Path) -> BTreeMap<String, PathBuf> {
    let mut candidates = vec![dir.join("arch/x86/boot/bzImage"), dir.join("vmlinuz"), dir.join("bzImage")];
    for below in [dir.to_owned(), dir.join("boot")] {
        candidates.extend(children(&below).into_iter().filter(|path| file_name(path).starts_with("vmlinuz")));
    }
    for modules in [dir.join("lib/modules"), dir.join("usr/lib/modules")] {
        candidates.extend(children(&modules).into_iter().map(|release| release.join("vmlinuz")));
    }
    let mut found = BTreeMap::new();
    for path in candidates {
        // What is no kernel (a `vmlinuz.old` that dangles, a signature) does not count here.
        if let Ok(release) = image::release(&path) {
            found.entry(release).or_insert(path);
        }
    }
    found
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Where the modules of a kernel in `dir` may be: in it, or in what Debian split from it.
fn places(dir: &Path) -> Vec<PathBuf> {
    let mut places = vec![dir.to_owned()];
    if let Some(rest) = file_name(dir).strip_prefix("linux-binary-") {
        places.extend(["linux-modules-", "linux-base-"].map(|prefix| dir.with_file_name(format!("{prefix}{rest}"))));
    }
    places
}

/// Where the modules of an image may be that was given without any: where its package, its build or its installation put them.
fn beside(image: &Path) -> Vec<PathBuf> {
    let absolute = fs::canonicalize(image).unwrap_or_else(|_| image.to_owned());
    let above = |levels| absolute.ancestors().nth(levels).map(Path::to_owned);
    let mut places: Vec<PathBuf> = [above(1), above(2)].into_iter().flatten().collect();
    if absolute.ends_with("arch/x86/boot/bzImage") {
        places.extend(above(4));
    }
    places.push(PathBuf::from("/"));
    places
}

/// Joins an image with the modules in the first of `places` that has some for it.
fn with_modules(asked: &str, origin: String, release: String, image: PathBuf, places: &[PathBuf]) -> Result<Kernel, KernelError> {
    let mut shelf = None;
    let mut lists = Vec::new();
    let mut config = Vec::new();
    for place in places {
        config.extend([place.join(format!("boot/config-{release}")), place.join(".config")]);
        for dir in homes(place, &release) {
            config.push(dir.join("config"));
            lists.push(dir.join("modules.builtin"));
            if shelf.is_none() && holds_modules(&dir) {
                shelf = Some(Shelf::read(&dir)?).filter(|shelf| !shelf.is_empty());
            }
        }
    }
    if let Some(image_config) = image.parent().map(|boot| boot.join(format!("config-{release}"))) {
        config.push(image_config);
    }
    let modules_known = shelf.is_some();
    let modules = match shelf {
        Some(mut shelf) => {
            // Of the other parts of a split kernel; its own it has read already, and to read it twice changes nothing.
            for list in &lists {
                shelf.read_builtin(list)?;
            }
            shelf.needed(&release)?
        }
        None => Vec::new(),
    };
    let config = config.into_iter().find(|path| path.is_file());
    Ok(Kernel { asked: asked.to_owned(), release, origin, image, vmlinux: None, config, modules, modules_known })
}

/// The directories below `place` that may hold the modules of `release`, the surest first.
fn homes(place: &Path, release: &str) -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> =
        ["lib/modules", "usr/lib/modules", ""].iter().map(|below| place.join(below).join(release)).collect();
    // The place itself: named by the user, a build tree, or `lib/modules/RELEASE` around an image. Never `/`.
    if place.parent().is_some() {
        homes.push(place.to_owned());
    }
    homes
}

/// A directory that looks like one of modules. `lib/modules/RELEASE` of a package with the image alone does not, and neither does
/// one that merely holds packages: a walk through it would find modules of anything.
fn holds_modules(dir: &Path) -> bool {
    let is_module = |path: &PathBuf| super::modinfo::name_of(file_name(path)).is_some();
    dir.join("kernel").is_dir() || dir.join("modules.order").is_file() || children(dir).iter().any(is_module)
}

#[cfg(test)]
mod tests;
