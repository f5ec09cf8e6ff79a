//! Kernel modules, loaded in the order that the initramfs names.

use super::protocol::Module;
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
};
use std::{fs, path::Path};

/// Loads what `dir/order` lists, one `FILE wanted|optional` a line. Nothing that fails stops the rest: a host of the other vendor
/// has no use for its KVM module (ENODEV), and what is missing shows soon enough.
pub(super) fn load(dir: &Path, notes: &mut Vec<String>) -> Vec<Module> {
    let order = match fs::read_to_string(dir.join("order")) {
        Ok(order) => order,
        Err(error) => {
            notes.push(format!("no modules are loaded: {}: {error}", dir.join("order").display()));
            return Vec::new();
        }
    };
    let mut modules = Vec::new();
    for line in order.lines().filter(|line| !line.trim().is_empty()) {
        let (file, wanted) = match line.split_whitespace().collect::<Vec<_>>()[..] {
            [file, "wanted"] => (file, true),
            [file, "optional"] => (file, false),
            _ => {
                notes.push(format!("modules/order: not a file and `wanted` or `optional`: {line:?}"));
                continue;
            }
        };
        let error = match is_settled(&name(file), Path::new("/dev/kvm")) {
            true => Some("KVM is there already".to_owned()),
            false => insert(&dir.join(file)).err(),
        };
        if let Some(error) = error.as_ref().filter(|_| wanted) {
            notes.push(format!("{file} is not loaded: {error}"));
        }
        modules.push(Module { name: name(file), error });
    }
    modules
}

/// Whether this is KVM's module for one vendor, and that for the other has made `device`. To find out by trying takes half a
/// second under emulation.
fn is_settled(name: &str, device: &Path) -> bool {
    matches!(name.replace('-', "_").as_str(), "kvm_amd" | "kvm_intel") && device.exists()
}

/// `00-kvm-amd.ko` is `kvm-amd`.
fn name(file: &str) -> String {
    let file = file.rsplit('/').next().unwrap_or(file);
    let stem = file.strip_suffix(".ko").unwrap_or(file);
    let numbered = stem.split_once('-').filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
    numbered.map_or(stem, |(_, name)| name).to_owned()
}

fn insert(path: &Path) -> Result<(), String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    match finit_module(file, c"", ModuleInitFlags::empty()) {
        Ok(()) => Ok(()),
        // Built in, or brought along. (KVM's module for one vendor says the same when that for the other is there.)
        Err(Errno::EEXIST) if Path::new("/sys/module").join(name(&path.to_string_lossy()).replace('-', "_")).exists() => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_modules() {
        assert_eq!(["03-kvm-amd.ko", "rng-core.ko", "10-kvm.ko", "kvm"].map(name), ["kvm-amd", "rng-core", "kvm", "kvm"]);
    }

    #[test]
    fn only_one_vendor_is_tried_where_the_first_was_right() {
        let [there, not_there] = ["/dev/null", "/nowhere"].map(Path::new);
        assert!(is_settled("kvm-intel", there) && is_settled("kvm_amd", there));
        assert!(!is_settled("kvm-intel", not_there) && !is_settled("kvm", there));
    }

    #[test]
    fn what_cannot_be_loaded_is_named_and_the_rest_goes_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut notes = Vec::new();
        assert!(load(dir.path(), &mut notes).is_empty() && notes.len() == 1, "{notes:?}");
        notes.clear();
        fs::write(dir.path().join("order"), "00-no-such.ko wanted\n\n01-other.ko optional\n02-odd.ko perhaps\n")
            .expect("written");
        fs::write(dir.path().join("01-other.ko"), "not a module").expect("written");
        let modules = load(dir.path(), &mut notes);
        assert_eq!(modules.iter().map(|module| module.name.as_str()).collect::<Vec<_>>(), ["no-such", "other"]);
        assert!(modules.iter().all(|module| module.error.is_some()), "{modules:?}");
        assert!(notes.len() == 2 && notes[0].contains("no-such") && notes[1].contains("perhaps"), "{notes:?}");
    }
}
