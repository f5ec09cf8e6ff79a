//! What `nostale trace --kernel` refuses before a kernel is fetched or booted: in one line, with exit status 2.

use crate::{NOSTALE, Place, matrix::refused, trial};
use libtest_mimic::Trial;
use std::process::Command;

/// Known to be wrong before QEMU is started.
const ARGUMENTS: &[(&str, &[&str], &str)] = &[
    ("no_command", &["--kernel", "6.1"], "COMMAND"),
    ("a_process_of_this_kernel", &["--kernel", "6.1", "--pid", "1"], "'--pid <PID>'"),
    ("a_recording_of_before", &["--kernel", "6.1", "--read", "x"], "'--read <FILE>'"),
    ("a_recording_that_stays_there", &["--kernel", "6.1", "--out", "o", "--export", "csv", "--", "true"], "'--export <LIST>'"),
    ("a_file_for_this_kernel", &["--file", "/etc/passwd", "--", "true"], "--kernel <NAME|PATH>"),
    ("unknown_disturbance", &["--kernel", "6.1", "--disturb", "swap", "--", "true"], "'swap' for '--disturb"),
    (
        "nothing_and_something",
        &["--kernel", "6.1", "--disturb", "none,compact", "--", "true"],
        "--disturb none: nothing can go with it",
    ),
    ("no_time", &["--kernel", "6.1", "--seconds", "0", "--", "true"], "'0' for '--seconds"),
    ("too_many_nodes", &["--kernel", "6.1", "--nodes", "65", "--", "true"], "'65' for '--nodes"),
    ("no_such_program", &["--kernel", "6.1", "--", "no-such-program"], "there is no program \"no-such-program\" on PATH"),
    ("no_such_program_here", &["--kernel", "6.1", "--", "./missing"], "there is no program \"./missing\""),
    ("a_script", &["--kernel", "6.1", "--", "ldd"], "ldd is not an x86-64 ELF file that can be started: "),
    ("no_such_file", &["--kernel", "6.1", "--file", "missing", "--", "true"], "--file missing: No such file"),
    ("a_file_in_proc", &["--kernel", "6.1", "--file", "/etc/passwd:/proc/x", "--", "true"], "--file /proc/x: "),
];

/// The same, where QEMU has to be there.
const WITH_QEMU: &[(&str, &[&str], &str)] = &[
    ("unknown_kernel", &["--kernel", "fnord", "--", "true"], "no kernel \"fnord\": "),
    ("a_small_machine", &["--kernel", "fnord", "--machine-memory", "1M", "--", "true"], "a kernel needs at least "),
    (
        "more_than_fits",
        &["--kernel", "fnord", "--machine-memory", "64M", "--", "qemu-system-x86_64"],
        "too much for a machine of 64 MiB (--machine-memory)",
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let no_qemu = || nostale_vmm::qemu::Installed::find().err().map(|error| error.to_string());
    let of = |&(name, arguments, says): &(&str, &'static [&'static str], &'static str), missing: Option<String>| {
        trial(format!("trace_kernel::{name}"), missing, move || {
            let place = Place::new()?;
            refused(&place, Command::new(NOSTALE).arg("trace").args(arguments), says)
        })
    };
    let arguments = ARGUMENTS.iter().map(|case| of(case, None));
    arguments.chain(WITH_QEMU.iter().map(|case| of(case, no_qemu()))).collect()
}
