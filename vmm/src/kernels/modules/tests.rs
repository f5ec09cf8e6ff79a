use super::*;

/// A directory of fake modules: each with its path and its `depends=` and further lines.
fn shelf(modules: &[(&str, &[&str])], builtin: Option<&str>) -> (tempfile::TempDir, Result<Shelf, KernelError>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (path, lines) in modules {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(&path, modinfo::fake(lines)).expect("written");
    }
    if let Some(builtin) = builtin {
        fs::write(dir.path().join("modules.builtin"), builtin).expect("written");
    }
    let shelf = Shelf::read(dir.path());
    (dir, shelf)
}

fn order(modules: &[(&str, &[&str])], builtin: Option<&str>) -> Result<Vec<(String, Role)>, KernelError> {
    let (_dir, shelf) = shelf(modules, builtin);
    Ok(shelf?.needed("6.1")?.into_iter().map(|module| (module.name, module.role)).collect())
}

fn named(names: &[(&str, Role)]) -> Vec<(String, Role)> {
    names.iter().map(|&(name, role)| (name.to_owned(), role)).collect()
}

const KVM: (&str, &[&str]) = ("kernel/arch/x86/kvm/kvm.ko", &["depends=irqbypass"]);
const AMD: (&str, &[&str]) = ("kernel/arch/x86/kvm/kvm-amd.ko", &["depends=kvm,ccp"]);
const INTEL: (&str, &[&str]) = ("kernel/arch/x86/kvm/kvm-intel.ko", &["depends=kvm"]);
const CCP: (&str, &[&str]) = ("kernel/drivers/crypto/ccp/ccp.ko", &["depends=rng-core"]);
const IRQBYPASS: (&str, &[&str]) = ("kernel/virt/lib/irqbypass.ko", &["depends="]);

#[test]
fn each_module_comes_after_what_it_needs() {
    let zram: (&str, &[&str]) = ("kernel/drivers/block/zram/zram.ko", &["depends=zsmalloc", "softdep=pre: lzo-rle missing"]);
    let rest = [("kernel/mm/zsmalloc.ko", &["depends="][..]), ("kernel/crypto/lzo-rle.ko", &["depends="][..])];
    let rng = ("kernel/drivers/char/hw_random/rng-core.ko", &["vermagic=6.1 SMP"][..]);
    let all = [AMD, INTEL, KVM, CCP, IRQBYPASS, zram, rest[0], rest[1], rng];
    use Role::{Alternative, Optional, Wanted};
    let expected = named(&[
        ("irqbypass", Wanted),
        ("kvm", Wanted),
        ("rng_core", Alternative),
        ("ccp", Alternative),
        ("kvm_amd", Alternative),
        ("kvm_intel", Alternative),
        ("zsmalloc", Optional),
        ("lzo_rle", Optional),
        ("zram", Optional),
    ]);
    assert_eq!(order(&all, None).expect("complete"), expected);
    let mut reversed = all;
    reversed.reverse();
    assert_eq!(order(&reversed, None).expect("the order of the files does not matter"), expected);
}

#[test]
fn what_is_missing_is_an_error_unless_it_may_be_built_in() {
    let partial = [AMD, KVM, CCP];
    let names = named(&[("kvm", Role::Wanted), ("ccp", Role::Alternative), ("kvm_amd", Role::Alternative)]);
    assert_eq!(order(&partial, None).expect("nothing says what is built in"), names);
    let builtin = "kernel/virt/lib/irqbypass.ko\nkernel/drivers/char/hw_random/rng-core.ko\n";
    assert_eq!(order(&partial, Some(builtin)).expect("all is there"), names);
    let error = order(&partial, Some("kernel/virt/lib/irqbypass.ko\n")).expect_err("rng-core is not");
    assert!(matches!(&error, KernelError::NoDependency { dependency, .. } if dependency == "rng_core"), "{error}");
    let zram: (&str, &[&str]) = ("kernel/zram.ko", &["depends=zsmalloc"]);
    assert_eq!(order(&[AMD, KVM, CCP, zram], Some(builtin)).expect("zram is left out"), names);
}

#[test]
fn a_kernel_without_kvm_is_refused_and_one_with_kvm_inside_needs_nothing() {
    assert!(matches!(order(&[KVM, IRQBYPASS], None), Err(KernelError::NoKvm { .. })));
    let inside = order(&[IRQBYPASS], Some("kernel/arch/x86/kvm/kvm.ko\nkernel/arch/x86/kvm/kvm-amd.ko\n"));
    assert_eq!(inside.expect("built in"), []);
}

#[test]
fn broken_foreign_and_circular_modules() {
    let foreign: (&str, &[&str]) = ("kernel/kvm-amd.ko", &["depends=", "vermagic=6.2 SMP"]);
    assert!(matches!(order(&[foreign], None), Err(KernelError::OtherRelease { .. })));
    let circle: [(&str, &[&str]); 2] = [("kernel/kvm-amd.ko", &["depends=kvm"]), ("kernel/kvm.ko", &["depends=kvm-amd"])];
    assert_eq!(order(&circle, None).expect("it ends").len(), 2);
    let (dir, shelf) = shelf(&[AMD], None);
    fs::write(dir.path().join(AMD.0), "not ELF").expect("written");
    assert!(matches!(shelf.expect("read").needed("6.1"), Err(KernelError::Module { .. })));
}

#[test]
fn a_build_tree_lists_its_modules() {
    let (dir, _) = shelf(&[("virt/lib/irqbypass.ko", &[]), ("arch/x86/kvm/kvm-amd.ko", &[]), ("stray/zram.ko", &[])], None);
    fs::write(dir.path().join("modules.order"), "arch/x86/kvm/kvm-amd.o\nvirt/lib/irqbypass.ko\ngone/gone.o\n").expect("written");
    let shelf = Shelf::read(dir.path()).expect("read");
    let mut names: Vec<&str> = shelf.files.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["irqbypass", "kvm_amd"]);
}
