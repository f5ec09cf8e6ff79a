use std::io::Write as _;

use super::*;
use crate::kernels::Role;

/// An `ar` archive (ar(5)) as dpkg-deb writes it.
fn package(data: &[u8], name: &str) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, contents) in [("debian-binary", &b"2.0\n"[..]), ("control.tar.xz", b"odd"), (name, data)] {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", contents.len()).into_bytes());
        bytes.extend(contents);
        if contents.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        // Not through `append_data`, which refuses what a hostile package may hold.
        header.as_gnu_mut().expect("GNU").name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, contents.as_slice()).expect("a vector takes everything");
    }
    tar.into_inner().expect("a vector takes everything")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).expect("known options");
    xz.write_all(bytes).expect("a vector takes everything");
    xz.finish().expect("a vector takes everything")
}

fn module(lines: &[&str]) -> Vec<u8> {
    xz(&modinfo::fake(lines))
}

struct Packages(tempfile::TempDir);

impl Packages {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn add(&self, name: &str, files: &[(&str, Vec<u8>)]) -> &Self {
        fs::write(self.0.path().join(name), package(&xz(&tar(files)), "data.tar.xz")).expect("written");
        self
    }

    fn find(&self, name: &str) -> (Result<Kernel, KernelError>, Vec<String>) {
        let mut said = Vec::new();
        let name = self.0.path().join(name).display().to_string();
        let kernel = crate::kernels::find(&name, &Cache::at(self.0.path().join("cache")), &mut |line| said.push(line.to_owned()));
        (kernel, said)
    }
}

const HOME: &str = "./lib/modules/6.12-amd64";

#[test]
fn a_package_gives_the_image_and_the_needed_modules_unpacked() {
    let at = |path: &str| format!("{HOME}/kernel/{path}");
    let (amd, kvm, deep, needed, other) = (
        at("arch/x86/kvm/kvm-amd.ko.xz"),
        at("arch/x86/kvm/kvm.ko.xz"),
        at("a/surprise.ko.xz"),
        at("a/more.ko.xz"),
        at("b/e1000.ko.xz"),
    );
    let packages = Packages::new();
    let files = [
        ("./boot/vmlinuz-6.12-amd64", image::fake("6.12-amd64")),
        ("./boot/config-6.12-amd64", b"CONFIG_KVM=m\n".to_vec()),
        // In front of what needs them: found in a second and third pass.
        (needed.as_str(), module(&["depends="])),
        (deep.as_str(), module(&["depends=more"])),
        (amd.as_str(), module(&["depends=kvm,surprise", "vermagic=6.12-amd64 SMP"])),
        (kvm.as_str(), module(&["depends="])),
        (other.as_str(), module(&["depends="])),
    ];
    packages.add("linux.deb", &files);
    let (kernel, said) = packages.find("linux.deb");
    let kernel = kernel.expect("a kernel");
    let order: Vec<(&str, Role)> = kernel.modules.iter().map(|module| (module.name.as_str(), module.role)).collect();
    let alternative = Role::Alternative;
    assert_eq!(order, [("kvm", Role::Wanted), ("more", alternative), ("surprise", alternative), ("kvm_amd", alternative)]);
    assert!(kernel.modules.iter().all(|module| fs::read(&module.path).expect("there").starts_with(b"\x7fELF")));
    assert!(kernel.config.is_some() && said.len() == 1, "{said:?}");
    let kept = kernel.image.parent().and_then(Path::parent).expect("boot/vmlinuz").join("lib/modules/6.12-amd64/kernel");
    assert_eq!(fs::read_dir(kept).expect("there").count(), 4, "e1000 is not needed");
    let (again, said) = packages.find("linux.deb");
    assert_eq!((again.expect("cached"), said), (kernel, vec![]), "unpacked once");
}

#[test]
fn a_split_kernel_needs_its_modules_beside_it() {
    let packages = Packages::new();
    packages.add("linux-binary-7.2_1.deb", &[("./usr/lib/modules/7.2/vmlinuz", image::fake("7.2"))]);
    let (kernel, _) = packages.find("linux-binary-7.2_1.deb");
    assert!(matches!(&kernel, Err(KernelError::Package { why, .. }) if why.contains("linux-modules")), "{kernel:?}");
    packages
        .add("linux-modules-7.2_1.deb", &[("./usr/lib/modules/7.2/kernel/arch/x86/kvm/kvm-amd.ko.xz", module(&["depends="]))]);
    assert_eq!(packages.find("linux-binary-7.2_1.deb").0.expect("complete").modules.len(), 1);
    let (modules, _) = packages.find("linux-modules-7.2_1.deb");
    assert!(matches!(&modules, Err(KernelError::NoImage { hint, .. }) if hint.contains("linux-binary")), "{modules:?}");
}

#[test]
fn files_go_to_known_places_only() {
    for path in [
        "./boot/../../etc/passwd",
        "boot/vmlinuz-6.1/x",
        "lib/modules/../x/kvm.ko",
        "lib/modules/6.1/a b.ko",
        "etc/kvm.ko",
        "",
        "/",
    ] {
        assert!(Place::of(Path::new(path)).is_none(), "{path}");
    }
    let place = |path: &str| Place::of(Path::new(path)).map(|place| place.path);
    assert_eq!(place("./usr/lib/modules/6.1/kernel/x/kvm-amd.ko.zst"), Some("lib/modules/6.1/kernel/kvm_amd.ko".into()));
    assert_eq!(place("/boot/vmlinuz-6.1"), Some("boot/vmlinuz-6.1".into()));
    let packages = Packages::new();
    packages.add("hostile.deb", &[("../../escaped", b"x".to_vec()), ("./boot/vmlinuz-..", b"x".to_vec())]);
    assert!(packages.find("hostile.deb").0.is_err());
    assert!(!packages.0.path().join("escaped").exists());
}

#[test]
fn broken_packages_are_refused_and_leave_nothing() {
    let packages = Packages::new();
    let whole = package(&xz(&tar(&[("./boot/vmlinuz-6.1", image::fake("6.1"))])), "data.tar.xz");
    let half = whole[..whole.len() / 2].to_vec();
    let cases = [("text", b"text".to_vec()), ("empty", vec![]), ("half", half), ("no-data", package(b"", "data.zip"))];
    for (name, bytes) in cases {
        let name = format!("{name}.deb");
        fs::write(packages.0.path().join(&name), bytes).expect("written");
        let (kernel, _) = packages.find(&name);
        assert!(matches!(kernel, Err(KernelError::Package { .. })), "{name}: {kernel:?}");
    }
    assert!(Cache::at(packages.0.path().join("cache")).keys().is_empty());
}
