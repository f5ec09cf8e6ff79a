//! Which MMU is found on made-up hosts.

use super::super::fake::Fake;
use super::*;

fn host(flags: &str) -> Fake {
    Fake::new().file("proc/cpuinfo", format!("flags\t: fpu {flags}\n")).dir("sys/class/misc/kvm")
}

fn read(fake: &Fake) -> Kvm {
    Kvm::read(&fake.tree(), &Cpu::read(&fake.tree()))
}

#[test]
fn parameters_decide_in_both_spellings() {
    for (value, on) in [("Y\n", true), ("N\n", false), ("1\n", true), ("0\n", false), ("Y", true)] {
        for (module, parameter, flag, kind) in
            [("kvm_intel", "ept", "vmx", MmuKind::Ept), ("kvm_amd", "npt", "svm", MmuKind::Npt)]
        {
            let kvm = read(&host(flag).file(&format!("sys/module/{module}/parameters/{parameter}"), value));
            let expected = if on { kind } else { MmuKind::Shadow };
            assert!(kvm.mmu.is(&expected), "{module} {parameter}={value:?}: {:?}", kvm.mmu);
            assert_eq!(kvm.vendor.known().map(|vendor| vendor.name()), Some(module));
        }
    }
}

#[test]
fn pvm_is_always_shadow() {
    let kvm = read(&host("").dir("sys/module/kvm_pvm").file("sys/module/kvm/parameters/tdp_mmu", "Y\n"));
    assert!(kvm.vendor.is(&Vendor::KvmPvm) && kvm.mmu.is(&MmuKind::Shadow) && kvm.tdp_mmu.is(&true));
}

#[test]
fn no_kvm() {
    let kvm = read(&Fake::new());
    assert!(kvm.node.is_none() && !kvm.registered);
    assert!(kvm.vendor.known().is_none() && kvm.mmu.known().is_none());
}

#[test]
fn garbage_and_missing_parameters_decide_nothing() {
    for value in ["maybe", "", "\u{0}", "YY", "-1"] {
        let kvm = read(&host("vmx").file("sys/module/kvm_intel/parameters/ept", value));
        assert!(kvm.mmu.reason().is_some_and(|reason| reason.contains("parameters/ept")), "{value:?}: {:?}", kvm.mmu);
    }
    // tdp_mmu=Y is tempting and not conclusive
    let kvm = read(&host("vmx").dir("sys/module/kvm_intel").file("sys/module/kvm/parameters/tdp_mmu", "Y"));
    assert!(kvm.mmu.known().is_none());
}

/// All vendors built in: every one of them has a directory, and the default of its parameter in it.
#[test]
fn built_in_side_by_side() {
    let all =
        |flags: &str| host(flags).file("sys/module/kvm_intel/parameters/ept", "Y").file("sys/module/kvm_amd/parameters/npt", "Y");
    assert!(read(&all("svm")).mmu.is(&MmuKind::Npt));
    assert!(read(&all("vmx")).mmu.is(&MmuKind::Ept));
    assert!(read(&all("")).vendor.reason().is_some_and(|reason| reason.contains("without")));
    // without hardware only PVM can have come up; with hardware either may have
    assert!(read(&all("").dir("sys/module/kvm_pvm")).mmu.is(&MmuKind::Shadow));
    assert!(read(&all("vmx").dir("sys/module/kvm_pvm")).mmu.reason().is_some_and(|reason| reason.contains("kvm_pvm")));
}

#[test]
fn a_live_module_beats_a_built_in_one() {
    let kvm = read(&host("vmx").file("sys/module/kvm_intel/parameters/ept", "Y").file("sys/module/kvm_pvm/initstate", "live\n"));
    assert!(kvm.vendor.is(&Vendor::KvmPvm) && kvm.mmu.is(&MmuKind::Shadow));
}

#[test]
fn a_module_without_kvm_behind_it() {
    let fake = Fake::new().file("sys/module/kvm_amd/parameters/npt", "Y");
    assert_eq!(read(&fake).mmu.reason(), Some("no vendor module of KVM is active"));
}

#[test]
fn the_group_of_the_node_has_a_name() {
    let fake = Fake::new().file("dev/kvm", "");
    let gid = fake.root().join("dev/kvm").metadata().expect("just made").gid();
    let fake = fake.file("etc/group", format!("broken\n::\nvirtual:x:{gid}:\n"));
    assert_eq!(read(&fake).node.map(|node| node.group), Some("virtual".to_owned()));
}
