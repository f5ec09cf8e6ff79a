use super::*;
use crate::kernels::{Cache, Role, modinfo};

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, bytes).expect("written");
        self
    }

    /// `kvm` and `kvm-amd` for `release` in `lib/modules`-like directory `home`.
    fn modules(&self, home: &str, release: &str) -> &Self {
        let vermagic = format!("vermagic={release} SMP");
        self.file(&format!("{home}/kernel/arch/x86/kvm/kvm.ko"), modinfo::fake(&["depends=", &vermagic]))
            .file(&format!("{home}/kernel/arch/x86/kvm/kvm-amd.ko"), modinfo::fake(&["depends=kvm", &vermagic]))
    }

    fn find(&self, name: &str) -> Result<(Kernel, Vec<String>), KernelError> {
        let mut said = Vec::new();
        let cache = Cache::at(self.path("cache"));
        let name = name.strip_prefix("./").map_or(name.to_owned(), |below| self.path(below).display().to_string());
        crate::kernels::find(&name, &cache, &mut |line| said.push(line.to_owned())).map(|kernel| (kernel, said))
    }

    fn kernel(&self, name: &str) -> Kernel {
        self.find(name).expect("a kernel").0
    }
}

fn names(kernel: &Kernel) -> Vec<&str> {
    kernel.modules.iter().map(|module| module.name.as_str()).collect()
}

#[test]
fn an_unpacked_package_of_either_layout() {
    let dir = Dir::new();
    dir.file("old/boot/vmlinuz-6.1.0-50-amd64", image::fake("6.1.0-50-amd64"))
        .file("old/boot/config-6.1.0-50-amd64", "CONFIG_KVM=m\n")
        .modules("old/lib/modules/6.1.0-50-amd64", "6.1.0-50-amd64");
    let kernel = dir.kernel("./old");
    assert_eq!((kernel.release.as_str(), names(&kernel)), ("6.1.0-50-amd64", vec!["kvm", "kvm_amd"]));
    assert_eq!(kernel.image, dir.path("old/boot/vmlinuz-6.1.0-50-amd64"));
    assert_eq!(kernel.config, Some(dir.path("old/boot/config-6.1.0-50-amd64")));
    assert_eq!(kernel.modules[0].role, Role::Wanted);

    dir.file("new/usr/lib/modules/6.17/vmlinuz", image::fake("6.17")).modules("new/usr/lib/modules/6.17", "6.17");
    assert_eq!(names(&dir.kernel("./new")), ["kvm", "kvm_amd"]);
}

#[test]
fn a_split_package_finds_its_modules_beside_it() {
    let dir = Dir::new();
    dir.file("linux-binary-7.2-amd64/usr/lib/modules/7.2-amd64/vmlinuz", image::fake("7.2-amd64"));
    let (kernel, said) = dir.find("./linux-binary-7.2-amd64").expect("a kernel without modules");
    assert!(!kernel.modules_known && said[0].contains("built in"), "{said:?}");
    dir.modules("linux-modules-7.2-amd64/usr/lib/modules/7.2-amd64", "7.2-amd64");
    assert_eq!(names(&dir.kernel("./linux-binary-7.2-amd64")), ["kvm", "kvm_amd"]);
    // The list of what is built in lies in a third package.
    let needs = modinfo::fake(&["depends=kvm,rng-core"]);
    dir.file("linux-modules-7.2-amd64/usr/lib/modules/7.2-amd64/kernel/arch/x86/kvm/kvm-amd.ko", needs);
    let builtin = |text: &str| {
        dir.file("linux-base-7.2-amd64/usr/lib/modules/7.2-amd64/modules.builtin", text).find("./linux-binary-7.2-amd64")
    };
    assert!(matches!(builtin("kernel/other.ko\n"), Err(KernelError::NoDependency { .. })));
    assert_eq!(names(&builtin("kernel/rng-core.ko\n").expect("complete").0), ["kvm", "kvm_amd"]);
}

#[test]
fn a_build_tree_and_its_image() {
    let dir = Dir::new();
    dir.file("linux/arch/x86/boot/bzImage", image::fake("6.12.0-mine+")).file("linux/.config", "CONFIG_KVM=m\n");
    dir.file("linux/arch/x86/kvm/kvm.ko", modinfo::fake(&["depends="]));
    dir.file("linux/arch/x86/kvm/kvm-intel.ko", modinfo::fake(&["depends=kvm"]));
    dir.file("linux/modules.order", "arch/x86/kvm/kvm.o\narch/x86/kvm/kvm-intel.o\n");
    for name in ["./linux", "./linux/arch/x86/boot/bzImage"] {
        let kernel = dir.kernel(name);
        assert_eq!((kernel.release.as_str(), names(&kernel)), ("6.12.0-mine+", vec!["kvm", "kvm_intel"]), "{name}");
    }
    assert_eq!(dir.kernel("./linux").config, Some(dir.path("linux/.config")));
}

#[test]
fn an_image_with_modules_named_beside_it_or_nowhere() {
    let dir = Dir::new();
    dir.file("bzImage", image::fake("6.12-test")).modules("apart/6.12-test", "6.12-test").modules("apart/6.11", "6.11");
    for modules in ["apart", "apart/6.12-test"] {
        let name = format!("{}:{}", dir.path("bzImage").display(), dir.path(modules).display());
        assert_eq!(names(&dir.kernel(&name)), ["kvm", "kvm_amd"], "{name}");
    }
    fs::create_dir(dir.path("empty")).expect("made");
    let name = format!("{}:{}", dir.path("bzImage").display(), dir.path("empty").display());
    assert!(matches!(dir.find(&name), Err(KernelError::NoModules { .. })));
    let (kernel, said) = dir.find("./bzImage").expect("KVM may be built in");
    assert!(kernel.modules.is_empty() && said[0].contains("built in"));
    dir.modules("lib/modules/6.12-test", "6.12-test").file("boot/vmlinuz-6.12-test", image::fake("6.12-test"));
    assert_eq!(names(&dir.kernel("./boot/vmlinuz-6.12-test")), ["kvm", "kvm_amd"]);
    let foreign = format!("{}:{}", dir.path("bzImage").display(), dir.path("apart/6.11").display());
    assert!(matches!(dir.find(&foreign), Err(KernelError::OtherRelease { .. })));
}

#[test]
fn what_cannot_be_one_kernel_is_an_error_that_says_why() {
    let dir = Dir::new();
    dir.file("two/boot/vmlinuz-6.1", image::fake("6.1")).file("two/boot/vmlinuz-6.12", image::fake("6.12"));
    // The same kernel under another name is no second one, and neither is what is no kernel.
    dir.file("one/boot/vmlinuz-6.1", image::fake("6.1"))
        .file("one/boot/vmlinuz.old", image::fake("6.1"))
        .file("one/boot/vmlinuz.sig", "");
    let error = dir.find("./two").expect_err("which one?");
    assert!(error.to_string().contains("vmlinuz-6.12") && matches!(error, KernelError::Several { .. }), "{error}");
    assert_eq!(dir.kernel("./one").release, "6.1");
    fs::create_dir(dir.path("none")).expect("made");
    assert!(matches!(dir.find("./none"), Err(KernelError::NoImage { .. })));
    assert!(matches!(dir.file("text", "text").find("./text"), Err(KernelError::Image { .. })));
    assert!(matches!(dir.find("./missing"), Err(KernelError::Unknown { .. })));
    assert!(matches!(dir.find("linux"), Err(KernelError::Unknown { .. })));
}
