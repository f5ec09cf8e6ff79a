//! tracefs: whether the kernel's events can be watched, and whether it has those that matter.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use serde::Serialize;

use super::attempt::Attempt;
use super::fact::Fact;
use super::tree::Tree;

/// The events from which an order of invalidations and installs is reconstructed. Kernels lose and gain events; those missing
/// are reported by name.
pub const EVENTS: [&str; 8] = [
    "kvm/kvm_unmap_hva_range",
    "kvm/kvm_age_hva",
    "kvm/kvm_page_fault",
    "kvm/kvm_entry",
    "kvm/kvm_exit",
    "kvmmmu/kvm_mmu_set_spte",
    "kvmmmu/kvm_mmu_prepare_zap_page",
    "kvmmmu/fast_page_fault",
];

/// Where tracefs is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracefs {
    /// Mounted here.
    Mounted {
        /// The mount point.
        path: String,
    },
    /// The kernel has it, nobody mounted it.
    NotMounted {
        /// Whether this process could: tried with a mount that is attached nowhere, so nothing on the host changes.
        mountable: Attempt,
    },
    /// The kernel does not have it (`CONFIG_TRACING`).
    Absent,
}

/// Tracing on this host.
#[derive(Clone, Debug, Serialize)]
pub struct Tracing {
    /// Where it is.
    pub tracefs: Tracefs,
    /// Those of [`EVENTS`] that this kernel does not have.
    pub missing_events: Fact<Vec<String>>,
    /// Whether events can be stamped with the TSC, the clock that guests and host threads read as well.
    pub tsc_clock: Fact<bool>,
}

impl Tracing {
    pub(crate) fn read(tree: &Tree) -> Self {
        let tracefs = match mount_point(tree) {
            Some(path) => Tracefs::Mounted { path },
            None if is_offered(tree) => Tracefs::NotMounted { mountable: Attempt::NotTried },
            None => Tracefs::Absent,
        };
        match &tracefs {
            Tracefs::Mounted { path } => Self::look(tree, &path.clone(), tracefs),
            Tracefs::NotMounted { .. } => Self::blind(tracefs, "tracefs is not mounted"),
            Tracefs::Absent => Self::blind(tracefs, "this kernel has no tracefs"),
        }
    }

    /// Looks into a tracefs that nobody mounted, through a mount that only this process holds.
    pub(crate) fn probe(&mut self) {
        if !matches!(self.tracefs, Tracefs::NotMounted { .. }) {
            return;
        }
        match detached_mount() {
            Ok(mount) => {
                let tracefs = Tracefs::NotMounted { mountable: Attempt::Works };
                let inside = Tree::new(format!("/proc/self/fd/{}", mount.as_raw_fd()));
                *self = Self::look(&inside, "", tracefs);
            }
            Err(errno) => self.tracefs = Tracefs::NotMounted { mountable: Attempt::refused("mounting tracefs", errno) },
        }
    }

    fn blind(tracefs: Tracefs, reason: &str) -> Self {
        Self { tracefs, missing_events: Fact::unknown(reason), tsc_clock: Fact::unknown(reason) }
    }

    fn look(tree: &Tree, path: &str, tracefs: Tracefs) -> Self {
        let absent = |event: &&str| !tree.exists(&format!("{path}/events/{event}"));
        // the directory can be there and closed: tracefs is 0700 unless it was mounted with a group
        let missing_events = tree
            .names(&format!("{path}/events"))
            .map(|_| EVENTS.iter().filter(|event| absent(event)).map(|event| (*event).to_owned()).collect());
        // the clock in use is in brackets
        let tsc_clock = tree.parse(&format!("{path}/trace_clock"), "a list of clocks", |text| {
            Some(text.split_whitespace().any(|clock| clock.trim_matches(['[', ']']) == "x86-tsc"))
        });
        Self { tracefs, missing_events: missing_events.into(), tsc_clock: tsc_clock.into() }
    }

    /// Whether this process can read events now.
    pub fn ready(&self) -> bool {
        matches!(self.tracefs, Tracefs::Mounted { .. }) && self.missing_events.known().is_some()
    }
}

/// proc_mounts: device, mount point, type, ...; blanks in a name are octal (`\040`), as `mangle` in `fs/seq_file.c` writes them.
fn mount_point(tree: &Tree) -> Option<String> {
    let mounts = tree.text("proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let point = words.nth(1)?;
        (words.next()? == "tracefs").then(|| point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
    });
    // mounted twice: the usual place first, as the other one is often the old one below debugfs
    points.max_by_key(|point| point == "/sys/kernel/tracing")
}

fn is_offered(tree: &Tree) -> bool {
    let offered = tree.text("proc/filesystems").unwrap_or_default();
    offered.lines().any(|line| line.split_whitespace().next_back() == Some("tracefs"))
}

/// fsopen(2), fsconfig(2), fsmount(2) without move_mount(2): the mount lives as long as the descriptor.
fn detached_mount() -> Result<OwnedFd, Errno> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    // SAFETY: the name is a C string.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"tracefs".as_ptr(), FSOPEN_CLOEXEC) })?;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: FSCONFIG_CMD_CREATE takes neither key nor value.
    Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, none, none, 0) })?;
    // SAFETY: the call takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })
}

fn owned(fd: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = Errno::result(RawFd::try_from(fd).unwrap_or(-1))?;
    // SAFETY: a descriptor that a system call has just returned belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn mounted_with_some_events() {
        let mut fake = Fake::new()
            .file("proc/self/mounts", "none /sys/kernel/debug/tracing tracefs rw 0 0\nt /my\\040trace tracefs rw 0 0\nbad\n")
            .file("my trace/trace_clock", "[local] global x86-tsc\n");
        for event in &EVENTS[1..] {
            fake = fake.dir(&format!("my trace/events/{event}"));
        }
        let tracing = Tracing::read(&fake.tree());
        assert!(matches!(&tracing.tracefs, Tracefs::Mounted { path } if path == "/my trace"));
        assert!(tracing.missing_events.is(&vec![EVENTS[0].to_owned()]));
        assert!(tracing.tsc_clock.is(&true) && tracing.ready());
    }

    #[test]
    fn offered_or_not() {
        let offered = Fake::new().file("proc/filesystems", "nodev\tsysfs\nnodev\ttracefs\n");
        let tracing = Tracing::read(&offered.tree());
        assert_eq!(tracing.tracefs, Tracefs::NotMounted { mountable: Attempt::NotTried });
        assert_eq!(tracing.missing_events.reason(), Some("tracefs is not mounted"));
        assert_eq!(Tracing::read(&Fake::new().tree()).tracefs, Tracefs::Absent);
    }

    #[test]
    fn mounted_and_closed() {
        let fake = Fake::new().file("proc/self/mounts", "t /t tracefs rw 0 0\n");
        let tracing = Tracing::read(&fake.tree());
        assert!(!tracing.ready() && tracing.missing_events.known().is_none());
    }
}
