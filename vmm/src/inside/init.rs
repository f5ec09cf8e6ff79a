//! PID 1: prepares the machine, and hands it over to [`serve`].

use super::{
    holder, modules,
    port::{self, Port},
    protocol::Ready,
    serve::serve,
};
use crate::host::{clock, facts::Facts};
use nix::{
    mount::{MsFlags, mount},
    sys::reboot::{RebootMode, reboot},
};
use std::{fs, io, path::Path, time::Duration};

/// Kernel settings of a machine that is there to be tested: its log is complete and may be read, its symbols have addresses. What
/// it does about an oops is left to the kernel's command line.
const SETTINGS: &[(&str, &str)] = &[
    // Everything but debugging goes to the console: what the kernel said last is there even when nobody could read its log.
    ("/proc/sys/kernel/printk", "7 4 1 7"),
    ("/proc/sys/kernel/kptr_restrict", "0"),
    ("/proc/sys/kernel/dmesg_restrict", "0"),
    // Groups that a run makes have memory to reclaim.
    ("/sys/fs/cgroup/cgroup.subtree_control", "+memory"),
];

/// What is mounted where: type, place.
const MOUNTS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
];

/// Whether this process is the init of a machine made for it: PID 1 under the name under which a kernel starts its init. (In a
/// container, `nostale` may be PID 1 as well.)
#[must_use]
pub fn is_init() -> bool {
    let name = std::env::args_os().next();
    std::process::id() == 1 && name.is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == "init"))
}

/// Is PID 1 from here to the end of the machine.
///
/// The initramfs must hold a `/dev/console` (each kernel's built-in one does): a process without standard streams opens
/// `/dev/null` in their place, and that is not there yet either.
pub fn init() -> ! {
    let began_seconds = monotonic_seconds();
    let mut notes = Vec::new();
    mounts(&mut notes);
    for (path, value) in SETTINGS {
        if let Err(error) = fs::write(path, value) {
            notes.push(format!("{path} stays as it is: {error}"));
        }
    }
    let port = match open_port() {
        Ok(port) => port,
        Err(error) => {
            eprintln!("nostale: {}: {error}: nobody can be spoken with", port::PATH);
            power_off();
        }
    };
    let modules = modules::load(Path::new("/modules"), &mut notes);
    if let Err(error) = holder::hold() {
        notes.push(format!("no VM is held, so each run switches KVM on and off: {error}"));
    }
    // Once, before anybody waits: it is inherited by every child.
    let facts = Facts::gather();
    let ready = Ready {
        release: facts.kernel.release.text().to_string(),
        began_seconds,
        ticks_per_us: clock::hertz() / 1e6,
        modules,
        kvm: facts.need_kvm().inspect_err(|need| notes.push(need.to_string())).is_ok(),
        notes,
        uptime_seconds: monotonic_seconds(),
    };
    serve(&port, &facts, ready);
    power_off()
}

fn mounts(notes: &mut Vec<String>) {
    for (kind, place) in MOUNTS {
        // What somebody has put there into the initramfs is to be seen; that is in memory as well.
        if *kind == "tmpfs" && fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some()) {
            continue;
        }
        let made = fs::create_dir_all(place);
        let mounted = made.and_then(|()| Ok(mount(Some(*kind), *place, Some(*kind), MsFlags::empty(), None::<&str>)?));
        match mounted {
            // The kernel was faster (CONFIG_DEVTMPFS_MOUNT), or debugfs has brought tracefs along.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => notes.push(format!("{place} is not mounted: {error}")),
            Ok(()) => {}
        }
    }
}

/// The port, which may appear a moment after PID 1 does.
fn open_port() -> io::Result<Port> {
    const TRIES: u32 = 20;
    for _ in 1..TRIES {
        match Port::open() {
            Ok(port) => return Ok(port),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    Port::open()
}

/// Seconds since the kernel's start. A restored snapshot goes on where it was kept.
fn monotonic_seconds() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// Ends the machine.
fn power_off() -> ! {
    for mode in [RebootMode::RB_POWER_OFF, RebootMode::RB_HALT_SYSTEM] {
        // It returns only when it fails.
        let Err(error) = reboot(mode);
        eprintln!("nostale: {mode:?}: {error}");
    }
    // PID 1 must not end: the kernel would call that a panic, and somebody would look for its cause.
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_test_is_no_init() {
        assert!(!super::is_init());
    }
}
