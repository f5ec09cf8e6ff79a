//! The facts as a whole: on hosts that do not exist, and on this one.

use super::fake::Fake;
use super::*;

fn row<'a>(rows: &'a [Row], subject: &str) -> &'a Row {
    rows.iter().find(|row| row.subject == subject).expect("every subject has a row")
}

#[test]
fn an_empty_host_has_every_row_and_no_panic() {
    let facts = Facts::gather_at(Fake::new().root());
    let rows = facts.rows();
    assert_eq!(rows.len(), 21);
    let subjects =
        ["kvm", "memory groups", "memory blocks", "compaction", "thp", "collapse", "ksm", "swap", "hugetlb", "userfaultfd"];
    for subject in subjects.into_iter().chain(["pagemap", "tracing"]) {
        let row = row(&rows, subject);
        assert_eq!(row.state, State::Missing, "{row:?}");
        assert!(row.hint.is_some(), "{row:?}");
    }
    assert!(serde_json::to_string(&facts).is_ok());
}

/// Every file of this host's facts, replaced by nonsense.
#[test]
fn garbage_everywhere() {
    let files = [
        "proc/cpuinfo",
        "proc/meminfo",
        "proc/swaps",
        "proc/version",
        "proc/config.gz",
        "proc/self/status",
        "proc/self/mounts",
        "proc/self/uid_map",
        "proc/filesystems",
        "proc/sys/kernel/osrelease",
        "proc/sys/kernel/tainted",
        "proc/sys/vm/max_map_count",
        "proc/sys/vm/overcommit_memory",
        "proc/sys/vm/unprivileged_userfaultfd",
        "etc/group",
        "dev/kvm",
        "sys/module/kvm/parameters/tdp_mmu",
        "sys/module/kvm_intel/parameters/ept",
        "sys/module/kvm_amd/initstate",
        "sys/class/misc/kvm",
        "sys/devices/system/cpu/online",
        "sys/devices/system/node/has_memory",
        "sys/kernel/mm/transparent_hugepage/enabled",
        "sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
        "sys/kernel/mm/transparent_hugepage/hugepages-x",
        "sys/kernel/mm/hugepages/hugepages-0kB/nr_hugepages",
        "sys/kernel/mm/ksm/run",
        "sys/block/zram0/disksize",
    ];
    let garbage: [&[u8]; 6] =
        [b"", b"\0\0\0", b"[[]]:=-,", b"\xff\xfe\xfd\n\n:", b"18446744073709551616", b"tracefs tracefs tracefs"];
    for bytes in garbage {
        let fake = files.iter().fold(Fake::new(), |fake, file| fake.file(file, bytes));
        let facts = Facts::gather_at(fake.root());
        assert!(facts.kvm.mmu.known().is_none(), "{:?}", facts.kvm.mmu);
        assert_eq!(facts.rows().len(), 21);
        assert!(serde_json::to_string(&facts).is_ok());
    }
}

#[test]
fn hints_name_the_module_of_this_processor() {
    let hint = |files: &[(&str, &str)]| {
        let fake = files.iter().fold(Fake::new(), |fake, (file, text)| fake.file(file, text));
        Facts::gather_at(fake.root()).need_kvm().err().map(|need| need.hint).unwrap_or_default()
    };
    assert_eq!(hint(&[("proc/cpuinfo", "flags\t: vmx\n"), ("proc/modules", "")]), "modprobe kvm_intel");
    assert_eq!(hint(&[("proc/cpuinfo", "flags\t: svm\n"), ("proc/modules", "")]), "modprobe kvm_amd");
    assert!(hint(&[("proc/cpuinfo", "flags\t: svm\n")]).contains("CONFIG_KVM_AMD=y"));
    assert!(hint(&[("proc/cpuinfo", "flags\t: fpu\n")]).contains("firmware"));
    assert!(hint(&[("proc/cpuinfo", "flags\t: fpu hypervisor\n")]).contains("nested"));
    assert!(hint(&[("sys/class/misc/kvm/dev", "10:232\n")]).contains("mknod"));
}

#[test]
fn a_closed_device_names_its_group() {
    let mut facts = Facts::gather_at(Fake::new().root());
    facts.kvm.device = KvmDevice::Denied;
    facts.kvm.node = Some(Node { mode: 0o660, group: "kvm".into() });
    let need = facts.need_kvm().expect_err("the device is closed");
    assert_eq!(need.to_string(), "needs access to /dev/kvm: sudo usermod -aG kvm \"$USER\" and log in again, or run as root");
    facts.kvm.node = Some(Node { mode: 0o600, group: "root".into() });
    assert!(facts.need_kvm().is_err_and(|need| need.hint.contains("setfacl")));
}

#[test]
fn needs_of_memory() {
    let fake = Fake::new()
        .file("sys/devices/system/node/has_memory", "0-1,3\n")
        .file("proc/swaps", "Filename Type Size Used Priority\n")
        .file("sys/block/zram0/disksize", "0\n")
        .file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n")
        .file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3\n")
        .file("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "0\n");
    let facts = Facts::gather_at(fake.root());
    assert!(facts.need_numa(3).is_ok());
    assert!(facts.need_numa(4).is_err_and(|need| need.hint.contains("numa=fake=4")));
    // there is something to make it of, and nobody who may
    assert!(facts.need_swap().is_err_and(|need| need.hint.starts_with("run as root")));
    assert_eq!(facts.swap.area().as_deref(), Some("/dev/zram0"));
    assert!(facts.need_hugetlb(2 << 20, 3).is_ok());
    // five are taken, so ten free ones take a pool of fifteen
    let need = facts.need_hugetlb(2 << 20, 10).expect_err("three are free");
    assert_eq!(need.hint, "echo 15 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    assert!(facts.need_hugetlb(1 << 30, 1).is_err());
}

#[test]
fn a_disk_is_the_one_below_or_a_zram_device_for_root() {
    let fake = Fake::new().file("sys/block/zram0/disksize", "0\n");
    let none = Facts::gather_at(Fake::new().root());
    assert!(none.need_disk(true).is_ok());
    assert!(none.need_disk(false).is_err_and(|need| need.hint.contains("--file-dir")));
    let mut facts = Facts::gather_at(fake.root());
    assert!(facts.need_disk(false).is_err(), "nobody knows who we are");
    facts.privilege = Privilege::read(&Tree::new("/"));
    assert_eq!(facts.need_disk(false).is_ok(), facts.privilege.is_root());
    facts.swap.temporary_files_on_disk = false;
    let row = row(&facts.rows(), "disk").clone();
    assert!(row.state == State::Missing || row.text.contains("/dev/zram0"), "{row:?}");
}

#[test]
fn groups_that_do_not_give_memory_back_are_no_use() {
    let mut facts = Facts::gather_at(Fake::new().root());
    let groups = |gives_back| Some(MemoryGroups { root: "/cg".to_owned(), unified: true, gives_back });
    facts.memory_groups = groups(Fact::Known(false));
    assert_eq!(facts.need_memory_group().expect_err("too old").hint, "boot Linux 5.19 or later");
    facts.memory_groups = groups(Fact::unknown("nobody looked"));
    facts.privilege = Privilege::read(&Tree::new("/"));
    if facts.privilege.is_root() {
        let row = row(&facts.rows(), "memory groups").clone();
        assert!(facts.need_memory_group().is_ok() && row.state == State::Limited && row.text.ends_with("unknown: nobody looked"));
        assert!(facts.need_unified_memory_group().is_ok());
        facts.memory_groups = Some(MemoryGroups { root: "/cg".to_owned(), unified: false, gives_back: Fact::Known(true) });
        assert!(facts.need_memory_group().is_ok() && facts.need_unified_memory_group().is_err());
    }
}

#[test]
fn userfaultfd_for_user_mode_does_not_serve_guests() {
    let mut facts = Facts::gather_at(Fake::new().root());
    facts.userfault.user_mode_only = Attempt::Works;
    facts.userfault.full = Attempt::refused("userfaultfd", nix::errno::Errno::EPERM);
    facts.userfault.device = Attempt::refused("/dev/userfaultfd", nix::errno::Errno::EACCES);
    assert!(facts.need_uffd().is_err_and(|need| need.hint.contains("/dev/userfaultfd")));
    assert_eq!(row(&facts.rows(), "userfaultfd").state, State::Limited);
    facts.userfault.device = Attempt::Works;
    assert!(facts.need_uffd().is_ok());
}

/// This host, whatever it is: what is asserted holds on any Linux. `--nocapture` shows the table.
#[test]
fn this_host() {
    let facts = Facts::gather();
    for row in facts.rows() {
        println!("{:<13} {:<8} {}", row.subject, format!("{:?}", row.state), row.text);
        if let Some(hint) = row.hint {
            println!("{:22} -> {hint}", "");
        }
    }
    assert!(facts.kernel.release.known().is_some_and(|release| !release.is_empty()));
    assert!(facts.cpu.online.known().is_some_and(|online| !online.is_empty()));
    assert!(facts.memory.total_bytes.known() >= facts.memory.available_bytes.known());
    assert_ne!(facts.calls.mremap_dontunmap, Attempt::NotTried);
    assert_ne!(facts.kvm.device, KvmDevice::NotTried);
    // a VM was made, so KVM is registered, unless sysfs is hidden
    if facts.kvm.device.capabilities().is_some() && Path::new("/sys/class/misc").exists() {
        assert!(facts.kvm.registered);
    }
    let json = serde_json::to_value(&facts).expect("facts are plain data");
    assert!(json["memory"]["page_bytes"].is_u64());
}
