use crate::qemu::{
    Accel, QemuError,
    installed::{acceleration, version},
};
use std::{fs, path::Path};

#[test]
fn versions_are_read() {
    assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)\nCopyright").as_deref(), Some("7.2.22"));
    assert_eq!(version("QEMU emulator version 10.0.0").as_deref(), Some("10.0.0"));
    for nonsense in ["", "version", "QEMU emulator version (x)", "BusyBox v1.35"] {
        assert_eq!(version(nonsense), None, "{nonsense:?}");
    }
}

/// A host with these files.
fn host(files: &[(&str, &str)]) -> (Accel, String) {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, text).unwrap();
    }
    acceleration(root.path())
}

#[test]
fn kvm_is_used_where_it_nests() {
    const INTEL: &str = "sys/module/kvm_intel/parameters";
    const AMD: &str = "sys/module/kvm_amd/parameters";
    let intel = |nested, ept| host(&[("dev/kvm", ""), (&format!("{INTEL}/nested"), nested), (&format!("{INTEL}/ept"), ept)]);
    let amd = |nested, npt| host(&[("dev/kvm", ""), (&format!("{AMD}/nested"), nested), (&format!("{AMD}/npt"), npt)]);
    assert_eq!(intel("Y\n", "Y\n").0, Accel::Kvm);
    assert_eq!(amd("1\n", "Y\n").0, Accel::Kvm);
    assert_eq!(intel("N\n", "Y\n"), (Accel::Tcg, "kvm_intel.nested is off".to_owned()));
    assert_eq!(intel("1\n", "N\n"), (Accel::Tcg, "kvm_intel.ept is off".to_owned()));
    assert_eq!(amd("1\n", "0\n"), (Accel::Tcg, "kvm_amd.npt is off".to_owned()));
    assert_eq!(host(&[("dev/kvm", "")]), (Accel::Tcg, "neither kvm_intel nor kvm_amd is loaded".to_owned()));
    let (accel, reason) = host(&[(&format!("{INTEL}/nested"), "Y"), (&format!("{INTEL}/ept"), "Y")]);
    assert!(accel == Accel::Tcg && reason.starts_with("/dev/kvm: "), "{reason}");
}

#[test]
fn a_missing_qemu_names_its_remedy() {
    let error = QemuError::Missing { program: "qemu-system-x86_64" }.to_string();
    assert_eq!(error, "qemu-system-x86_64 is not on PATH; `scripts/setup qemu` installs it");
}
