//! What `nostale matrix` refuses before anything long starts: in one line, with exit status 2.

use crate::{NOSTALE, Place, ends_with, ensure, trial};
use libtest_mimic::{Failed, Trial};
use std::process::Command;

/// Known to be wrong before QEMU is started, and before a kernel is fetched.
const ARGUMENTS: &[(&str, &[&str], &str)] = &[
    ("no_kernel", &["matrix"], "--kernel"),
    ("unknown_operation", &["matrix", "--kernel", "6.1", "--ops", "mrempa"], "(did you mean 'mremap'?)"),
    ("unknown_backing", &["matrix", "--kernel", "6.1", "--backing", "memdf"], "(did you mean 'memfd'?)"),
    ("unknown_plant", &["matrix", "--kernel", "6.1", "--plant", "old-cpoy"], "(did you mean 'old-copy'?)"),
    ("too_many_vcpus", &["matrix", "--kernel", "6.1", "--vcpus", "99"], "--vcpus 99: "),
    ("odd_memory", &["matrix", "--kernel", "6.1", "--memory", "5000"], "--memory 5000 bytes: a multiple of 4 KiB"),
    ("no_time", &["matrix", "--kernel", "6.1", "--seconds", "0"], "'0' for '--seconds"),
    ("no_cpus", &["matrix", "--kernel", "6.1", "--cpus", "0"], "'0' for '--cpus"),
    ("too_many_nodes", &["matrix", "--kernel", "6.1", "--nodes", "65"], "'65' for '--nodes"),
    ("no_jobs", &["matrix", "--kernel", "6.1", "--jobs", "0"], "'0' for '--jobs"),
    ("unknown_accelerator", &["matrix", "--kernel", "6.1", "--accel", "xen"], "'xen' for '--accel"),
];

/// The same, where QEMU has to be there.
const WITH_QEMU: &[(&str, &[&str], &str)] = &[
    ("unknown_kernel", &["matrix", "--kernel", "fnord"], "no kernel \"fnord\": "),
    ("a_kernel_that_is_none", &["matrix", "--kernel", "/proc/version"], "/proc/version is not a bootable x86 kernel: "),
    ("a_directory_without_a_kernel", &["matrix", "--kernel", "/proc/self"], "/proc/self holds no kernel: "),
    ("one_unknown_among_others", &["matrix", "--kernel", "/proc/version,fnord"], "no kernel \"fnord\": "),
    ("a_small_machine", &["matrix", "--kernel", "fnord", "--machine-memory", "1M"], "a kernel needs at least "),
    ("a_guest_larger_than_its_host", &["matrix", "--kernel", "fnord", "--memory", "4G"], "--memory 4 GiB: the machine has 2 GiB"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let no_qemu = || nostale_vmm::qemu::Installed::find().err().map(|error| error.to_string());
    let of = |&(name, arguments, says): &(&str, &'static [&'static str], &'static str), missing: Option<String>| {
        trial(format!("matrix::{name}"), missing, move || {
            let place = Place::new()?;
            refused(&place, Command::new(NOSTALE).args(arguments), says)
        })
    };
    let arguments = ARGUMENTS.iter().map(|case| of(case, None));
    let with_qemu = WITH_QEMU.iter().map(|case| of(case, no_qemu()));
    arguments.chain(with_qemu).chain([trial("matrix::no_qemu", None, without_qemu)]).collect()
}

pub(crate) fn refused(place: &Place, command: &mut Command, says: &str) -> Result<(), Failed> {
    command.env("NOSTALE_CACHE", place.path().join("cache"));
    let output = place.host(command).output()?;
    ends_with(&output, 2)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    // Those about usage say where to find help as well.
    let ours = errors.starts_with("nostale: ") && errors.lines().count() == 1;
    let clear = errors.contains(says) && (ours || errors.starts_with("error: ")) && output.stdout.is_empty();
    ensure(clear, || format!("expected one line with \"{says}\": {output:?}"))?;
    let left = place.entries()?;
    ensure(left.is_empty(), || format!("left behind: {left:?}"))
}

/// It says what installs it.
fn without_qemu() -> Result<(), Failed> {
    let place = Place::new()?;
    let mut command = Command::new(NOSTALE);
    command.args(["matrix", "--kernel", "6.1"]).env("PATH", place.path());
    refused(&place, &mut command, "qemu-system-x86_64 is not on PATH; `scripts/setup qemu` installs it")
}
