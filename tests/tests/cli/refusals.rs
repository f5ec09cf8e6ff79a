//! What cannot be done is said in one line, with exit status 2, and leaves nothing behind.

use crate::{Bench, NOSTALE, Place, SHORT, ends_with, ensure, trial};
use libtest_mimic::{Failed, Trial};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    process::{Command, Output},
};

/// Known to be wrong before anything of the host is used: the arguments, and a part of what must be said.
const ARGUMENTS: &[(&str, &[&str], &str)] = &[
    ("unknown_operation", &["--ops", "mrempa"], "unknown operation 'mrempa' (did you mean 'mremap'?)"),
    ("unknown_operation_among_others", &["--ops", "mremap+migrte"], "'migrte' (did you mean 'migrate'?)"),
    ("operation_unlike_any", &["--ops", "xyzzy"], "unknown operation 'xyzzy'; known: mremap, "),
    ("operation_without_a_name", &["--ops", ""], "unknown operation ''"),
    ("unknown_backing", &["--backing", "memdf"], "unknown backing 'memdf' (did you mean 'memfd'?)"),
    ("unknown_plant", &["--plant", "old-cpoy"], "unknown fault 'old-cpoy' (did you mean 'old-copy'?)"),
    ("no_vcpu", &["--vcpus", "0"], "--vcpus 0: "),
    ("too_many_vcpus", &["--vcpus", "99"], "--vcpus 99: "),
    ("negative_vcpus", &["--vcpus=-1"], "--vcpus"),
    ("too_many_host_writers", &["--host-writers", "65"], "--host-writers 65: "),
    ("more_memory_than_there_is", &["--memory", "4096T"], "--memory 4096 TiB: this host has "),
    ("memory_that_cannot_be_counted", &["--memory", "99999999T"], "more bytes than can be counted"),
    ("memory_that_is_no_number_of_pages", &["--memory", "5000"], "--memory 5000 bytes: a multiple of 4 KiB"),
    ("memory_that_is_no_number", &["--memory", "x"], "'x' for '--memory"),
    ("no_time", &["--seconds", "0"], "'0' for '--seconds"),
    ("time_that_is_no_number", &["--seconds", "nan"], "'nan' for '--seconds"),
    ("seed_too_large", &["--seed", "18446744073709551616"], "a number below 2^64"),
    ("file_dir_that_is_a_file", &["--file-dir", "/proc/version"], "--file-dir /proc/version: not a directory"),
    ("file_dir_that_is_missing", &["--file-dir", "missing"], "--file-dir missing: not a directory"),
    ("unknown_format", &["--format", "yaml"], "'yaml' for '--format"),
    ("unknown_option", &["--opps", "mremap"], "'--opps'"),
];

pub(crate) fn trials(bench: &Bench) -> Vec<Trial> {
    let arguments = ARGUMENTS.iter().map(|&(name, arguments, says)| {
        trial(format!("refusals::{name}"), None, move || {
            let place = Place::new()?;
            refused(&place, &place.nostale(&[&["run"], arguments].concat())?, says)
        })
    });
    let no_kvm = || bench.no_kvm();
    let not_root = || bench.not_root();
    let devices = fs::metadata("/dev/kvm").ok();
    let for_all = devices.is_some_and(|device| device.mode() & 0o006 != 0).then(|| "everybody may use /dev/kvm here".to_owned());
    let others = [
        trial("refusals::out_that_exists", no_kvm(), out_that_exists),
        trial("refusals::out_below_a_file", no_kvm(), || out("/proc/version/x", "Not a directory")),
        trial("refusals::out_in_proc", no_kvm(), || out("/proc/x", "cannot create /proc/x in /proc: ")),
        trial("refusals::out_below_nothing", no_kvm(), || out("missing/x", "No such file or directory")),
        trial("refusals::out_without_a_name", no_kvm(), || out("..", "..")),
        trial("refusals::a_full_disk", no_kvm().or_else(not_root), a_full_disk),
        trial("refusals::dev_kvm_that_is_another_device", no_kvm().or_else(not_root), || {
            without_kvm("mount --bind /dev/null /dev/kvm", "cannot run: needs usable KVM")
        }),
        trial("refusals::no_dev_kvm", not_root(), || without_kvm("mount -t tmpfs none /dev", "cannot run: needs /dev/kvm")),
        trial("refusals::dev_kvm_of_somebody_else", no_kvm().or_else(not_root).or(for_all), as_nobody),
    ];
    arguments.chain(others).collect()
}

/// Our own complaints are one line; those about usage say where to find help as well.
fn refused(place: &Place, output: &Output, says: &str) -> Result<(), Failed> {
    said(output, says)?;
    let left = place.entries()?;
    ensure(left.is_empty(), || format!("left behind: {left:?}"))
}

fn said(output: &Output, says: &str) -> Result<(), Failed> {
    ends_with(output, 2)?;
    let shown = || format!("expected one line with \"{says}\": {output:?}");
    ensure(output.stdout.is_empty(), shown)?;
    let errors = std::str::from_utf8(&output.stderr)?;
    let first = errors.lines().next().unwrap_or_default();
    let clear = first.contains(says) && errors.ends_with('\n');
    let ours = first.starts_with("nostale: ") && errors.lines().count() == 1;
    ensure(clear && (ours || first.starts_with("error: ")), shown)
}

fn out(path: &str, says: &str) -> Result<(), Failed> {
    let place = Place::new()?;
    refused(&place, &place.nostale(&[SHORT, &["--out", path]].concat())?, says)
}

fn out_that_exists() -> Result<(), Failed> {
    let place = Place::new()?;
    let kept = place.path().join("kept");
    fs::create_dir(&kept)?;
    fs::write(kept.join("run.json"), "precious")?;
    said(&place.nostale(&[SHORT, &["--out", "kept"]].concat())?, "kept already exists")?;
    let (here, inside) = (place.entries()?, fs::read_dir(&kept)?.count());
    ensure(here == ["kept"] && inside == 1, || format!("left behind: {here:?}, and {inside} in the directory"))?;
    ensure(fs::read_to_string(kept.join("run.json"))? == "precious", || "the file was changed".to_owned())
}

fn a_full_disk() -> Result<(), Failed> {
    let place = Place::new()?;
    let arguments = ["--ops", "remap", "--backing", "file-shared", "--out", "out", "--file-dir", "/mnt"];
    let output = place.behind("mount -t tmpfs -o size=2M none /mnt", &[SHORT, &arguments].concat())?;
    refused(&place, &output, "in /mnt: No space left on device")
}

fn without_kvm(script: &str, says: &str) -> Result<(), Failed> {
    let place = Place::new()?;
    refused(&place, &place.behind(script, SHORT)?, says)
}

fn as_nobody() -> Result<(), Failed> {
    const NOBODY: u32 = 65534;
    // The directories above the program may be closed to others.
    let copies = Place::new()?;
    fs::set_permissions(copies.path(), fs::Permissions::from_mode(0o755))?;
    let copy = copies.path().join("nostale");
    fs::copy(NOSTALE, &copy)?;
    let place = Place::new()?;
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777))?;
    let output = place.host(Command::new(&copy).args(SHORT).uid(NOBODY).gid(NOBODY)).output()?;
    refused(&place, &output, "cannot run: needs access to /dev/kvm")
}
