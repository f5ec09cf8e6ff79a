//! What a machine is made of, and QEMU's command line for it.

use super::{Accel, QemuError};
use serde::{Deserialize, Serialize};
use std::{ffi::OsString, path::PathBuf};

/// Memory is given to nodes in these portions: the size of a huge page, so that no page straddles two nodes.
const PORTION: u64 = 2 << 20;
/// A kernel and an initramfs with everything in it do not fit into less.
const LEAST_MEMORY: u64 = 64 << 20;

/// A machine to boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// The kernel: a bzImage, or the ELF vmlinux inside it. The latter boots 2 to 3 s sooner under emulation, because nothing
    /// has to be decompressed there (it needs `CONFIG_PVH`, which distributions set).
    pub image: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// Memory of the whole machine.
    pub memory_bytes: u64,
    /// vCPUs of the whole machine.
    pub cpus: u32,
    /// NUMA nodes. Memory and vCPUs are split among them; a node beyond the vCPUs has memory only.
    pub nodes: u32,
    /// How it is run.
    pub accel: Accel,
    /// What is added to the kernel's command line.
    pub append: Vec<String>,
    /// A directory for this machine alone: console, messages of QEMU, sockets. It is made when it is missing.
    pub dir: PathBuf,
}

impl MachineSpec {
    /// A machine of two nodes, two vCPUs and 2 GiB.
    #[must_use]
    pub fn new(image: impl Into<PathBuf>, initramfs: impl Into<PathBuf>, accel: Accel, dir: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            initramfs: initramfs.into(),
            memory_bytes: 2 << 30,
            cpus: 2,
            nodes: 2,
            accel,
            append: Vec::new(),
            dir: dir.into(),
        }
    }

    /// Makes sure that it can be a machine.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(&self) -> Result<(), QemuError> {
        self.shape().map(drop)
    }

    /// What each node gets, checked.
    pub(super) fn shape(&self) -> Result<Shape, QemuError> {
        let refuse = |why: String| Err(QemuError::Spec { why });
        if self.cpus == 0 || self.cpus > 255 {
            return refuse(format!("{} vCPUs; 1 to 255 are possible", self.cpus));
        }
        if self.nodes == 0 || self.nodes > 64 {
            return refuse(format!("{} NUMA nodes; 1 to 64 are possible", self.nodes));
        }
        if self.memory_bytes < LEAST_MEMORY {
            return refuse(format!("{} bytes of memory; a kernel needs at least {LEAST_MEMORY}", self.memory_bytes));
        }
        let nodes = u64::from(self.nodes);
        let portions = self.memory_bytes / PORTION;
        if portions < nodes {
            return refuse(format!("{} bytes of memory give {nodes} nodes less than 2 MiB each", self.memory_bytes));
        }
        // Remainders go to the first nodes.
        let part = |all: u64, node: u64| all / nodes + u64::from(node < all % nodes);
        let mut first = 0;
        let nodes = (0..nodes)
            .map(|node| {
                let cpus = part(u64::from(self.cpus), node) as u32;
                first += cpus;
                Node { memory_bytes: part(portions, node) * PORTION, cpus: first - cpus..first }
            })
            .collect();
        Ok(Shape { cpus: self.cpus, nodes, accel: self.accel })
    }

    /// The kernel's command line.
    pub(super) fn command_line(&self) -> String {
        // nokaslr: the mutator needs to know where things are.
        // panic=-1: reboot at once, which -no-reboot turns into the end of the machine.
        // loglevel=5: warnings with their traces, which `quiet` would keep off the console, and nothing of what is normal.
        // rcu_expedited: grace periods are most of what waits during boot and tear-down. They order what they always order.
        // preempt=full: a kernel that may be preempted anywhere shows the races that another one has on a busy host only (where
        // the kernel can choose: CONFIG_PREEMPT_DYNAMIC).
        // init_on_free: whoever still reads a page that has been given back reads zeroes, and not for a long while what was there.
        let mut line =
            String::from("console=ttyS0 nokaslr panic=-1 loglevel=5 rcupdate.rcu_expedited=1 preempt=full init_on_free=1");
        if self.accel == Accel::Tcg {
            // tsc=reliable: all emulated vCPUs read the host's one counter. Unasked, the kernel thinks them unsynchronised and
            // reads the emulated HPET for every time stamp, or stumbles over the watchdog when the host is busy.
            // no_timer_check: whether the timer interrupt works is found out by counting, which a busy host disturbs.
            line += " tsc=reliable no_timer_check";
            // A vCPU is a thread that shares the host's cores with the others and with other machines: what is a lock-up
            // after 20 s on hardware is often a busy host here. Twice that still finds the real ones within a minute.
            line += " watchdog_thresh=20 rcupdate.rcu_cpu_stall_timeout=45";
        }
        for word in &self.append {
            line.push(' ');
            line += word;
        }
        line
    }
}

/// What the hardware of a machine looks like: the same for a machine that is saved and those restored from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    pub(super) cpus: u32,
    pub(super) nodes: Vec<Node>,
    pub(super) accel: Accel,
}

/// A NUMA node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) memory_bytes: u64,
    pub(super) cpus: std::ops::Range<u32>,
}

/// The numbers under which QEMU inherits what it is to use. Passed on open, so that no path has to be short (a socket's may
/// have 107 bytes) or free of commas, and no name can be taken by somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// A connected socket: the monitor.
    pub(super) qmp: i32,
    /// A connected socket: the second serial line.
    pub(super) channel: i32,
    /// A listening socket.
    pub(super) gdb: i32,
    /// The file of the first serial line.
    pub(super) console: i32,
    /// A file for each node's memory.
    pub(super) memory: Vec<i32>,
}

/// Where the machine starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// A kernel.
    Kernel(&'a MachineSpec),
    /// The state that comes through the monitor.
    Saved,
}

/// The whole command line of QEMU.
pub(super) fn arguments(shape: &Shape, fds: &Descriptors, start: Start<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
    add(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-name", "nostale"]);
    // q35, pc and microvm boot equally fast when no disk, no network and no display is there; q35 is the one with a PCI
    // Express bus and an ACPI description of the nodes.
    add(&["-machine", "q35", "-accel", shape.accel.accelerator(), "-cpu", shape.accel.cpu()]);

    let memory: u64 = shape.nodes.iter().map(|node| node.memory_bytes).sum();
    // Cores of one socket share a cache, and no cache spans two nodes: the kernel warns of that.
    let sockets = if shape.cpus.is_multiple_of(shape.nodes.len() as u32) { shape.nodes.len() as u32 } else { shape.cpus };
    let cores = shape.cpus / sockets;
    add(&["-m", &format!("{memory}B"), "-smp", &format!("cpus={},sockets={sockets},cores={cores},threads=1", shape.cpus)]);
    // Written through to the file by the machine that may be saved; a private copy for each that comes from it.
    let share = if start == Start::Saved { "off" } else { "on" };
    for (index, (node, fd)) in shape.nodes.iter().zip(&fds.memory).enumerate() {
        let size = node.memory_bytes;
        add(&["-object", &format!("memory-backend-file,id=ram{index},size={size},mem-path=/proc/self/fd/{fd},share={share}")]);
        let cpus = match (node.cpus.start, node.cpus.end) {
            (start, end) if start == end => String::new(),
            (start, end) => format!(",cpus={start}-{}", end - 1),
        };
        add(&["-numa", &format!("node,nodeid={index},memdev=ram{index}{cpus}")]);
    }

    add(&["-chardev", &format!("file,id=console,path=/proc/self/fd/{},append=on", fds.console), "-serial", "chardev:console"]);
    add(&["-chardev", &format!("socket,id=channel,fd={}", fds.channel), "-serial", "chardev:channel"]);
    add(&["-chardev", &format!("socket,id=qmp,fd={}", fds.qmp), "-mon", "chardev=qmp,mode=control"]);
    add(&["-chardev", &format!("socket,id=gdb,fd={},server=on,wait=off", fds.gdb), "-gdb", "chardev:gdb"]);

    match start {
        Start::Kernel(spec) => {
            add(&["-append", &spec.command_line(), "-kernel"]);
            arguments.push(spec.image.clone().into());
            arguments.push("-initrd".into());
            arguments.push(spec.initramfs.clone().into());
        }
        Start::Saved => add(&["-incoming", "defer"]),
    }
    arguments
}
