//! What caused an invalidation.

use crate::trace::{
    event::{Call, Tid},
    world::{InCall, World},
};
use std::collections::BTreeMap;

/// A kind of cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A system call, with what tells its uses apart: advice, ioctl, flags.
    Call(Call, u64),
    /// A page fault of a thread of the VM, or of a vCPU that runs its guest.
    Fault,
    /// Another thread's work: compaction, reclaim, KSM, somebody else's process.
    Thread(Tid),
}

/// `KVM_RUN`: what a vCPU does in there is what its guest's faults make it do.
const KVM_RUN: u64 = 0xae80;
/// `MAP_FIXED`.
const MAP_FIXED: u64 = 0x10;
/// `CLONE_VM`.
const CLONE_VM: u64 = 0x100;

impl Operation {
    /// The cause of what a thread does now.
    #[must_use]
    pub fn of(tid: Tid, call: Option<&InCall>, world: &World) -> Self {
        let Some(InCall { call, args, .. }) = call else {
            let known = world.thread(tid).is_some_and(|thread| thread.own) && world.family.is_own(tid);
            return if known { Self::Fault } else { Self::Thread(tid) };
        };
        let detail = match call.name() {
            "ioctl" if args[1] == KVM_RUN => return Self::Fault,
            "ioctl" => args[1],
            "madvise" => args[2],
            "process_madvise" => args[3],
            "mmap" => args[3] & MAP_FIXED,
            "clone" => args[0] & CLONE_VM,
            _ => 0,
        };
        Self::Call(*call, detail)
    }

    /// Its name: `mremap`, `madvise(DONTNEED)`, `fault`, `kcompactd`.
    #[must_use]
    pub fn name(self, threads: &BTreeMap<i32, String>) -> String {
        match self {
            Self::Fault => "fault".to_owned(),
            Self::Thread(tid) => threads.get(&tid.0).map_or_else(
                || "thread".to_owned(),
                |name| {
                    let name = name.split(['/', ':']).next().unwrap_or(name).trim_end_matches(|c: char| c.is_ascii_digit());
                    if name.is_empty() { "thread".to_owned() } else { name.to_owned() }
                },
            ),
            Self::Call(call, detail) => match (call.name(), detail) {
                ("madvise" | "process_madvise", advice) => format!("{}({})", call.name(), advice_name(advice)),
                ("mmap", MAP_FIXED) => "mmap(FIXED)".to_owned(),
                ("clone", 0) => "fork".to_owned(),
                ("ioctl", request) => ioctl_name(request).map_or_else(|| format!("ioctl({request:#x})"), str::to_owned),
                (name, _) => name.to_owned(),
            },
        }
    }
}

/// `include/uapi/asm-generic/mman-common.h`.
fn advice_name(advice: u64) -> String {
    let name = match advice {
        4 => "DONTNEED",
        8 => "FREE",
        9 => "REMOVE",
        10 => "DONTFORK",
        11 => "DOFORK",
        12 => "MERGEABLE",
        13 => "UNMERGEABLE",
        14 => "HUGEPAGE",
        15 => "NOHUGEPAGE",
        16 => "DONTDUMP",
        17 => "DODUMP",
        18 => "WIPEONFORK",
        19 => "KEEPONFORK",
        20 => "COLD",
        21 => "PAGEOUT",
        22 => "POPULATE_READ",
        23 => "POPULATE_WRITE",
        24 => "DONTNEED_LOCKED",
        25 => "COLLAPSE",
        102 => "GUARD_INSTALL",
        103 => "GUARD_REMOVE",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// `include/uapi/linux/kvm.h`, `userfaultfd.h`, `fs.h`: ioctls that change what is mapped.
const fn ioctl_name(request: u64) -> Option<&'static str> {
    // The number and the type are what tells them apart; sizes grow.
    Some(match request & 0xffff {
        0xae46 => "KVM_SET_USER_MEMORY_REGION",
        0xae49 => "KVM_SET_USER_MEMORY_REGION2",
        0xaed2 => "KVM_SET_MEMORY_ATTRIBUTES",
        0xaad5 => "KVM_PRE_FAULT_MEMORY",
        0xaa03 => "UFFDIO_COPY",
        0xaa04 => "UFFDIO_ZEROPAGE",
        0xaa05 => "UFFDIO_MOVE",
        0xaa06 => "UFFDIO_WRITEPROTECT",
        0xaa07 => "UFFDIO_CONTINUE",
        0xaa00 => "UFFDIO_REGISTER",
        0xaa01 => "UFFDIO_UNREGISTER",
        0x6610 => "PAGEMAP_SCAN",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_which_only_foreign_work_is_seen_has_no_faults() {
        use crate::{
            Hva,
            event::Tsc,
            trace::{
                event::{At, KernelEvent, What},
                synthetic,
            },
        };
        let mut world = World::new(&synthetic::head());
        let call = |name| Call::named(name).expect("known");
        let mut happens = |tid, what| world.apply(&KernelEvent { at: At { tsc: Tsc(1), cpu: 0, tid: Tid(tid) }, what });
        let (start, end) = (Hva::new(0x1000), Hva::new(0x2000));
        happens(5, What::RangeStart { mm: 0, start, end, reason: 0 });
        happens(6, What::Exit { call: call("migrate_pages"), ret: 0 });
        happens(7, What::Exit { call: call("munmap"), ret: 0 });
        assert_eq!(Operation::of(Tid(5), None, &world), Operation::Thread(Tid(5)), "compaction, where probes tell of it");
        assert_eq!(Operation::of(Tid(6), None, &world), Operation::Thread(Tid(6)), "somebody who moves pages of others");
        assert_eq!(Operation::of(Tid(7), None, &world), Operation::Fault);
    }

    #[test]
    fn uses_of_a_call_have_names_of_their_own() {
        let call = |name| Call::named(name).expect("known");
        let threads = BTreeMap::from([(7, "kcompactd0".to_owned()), (8, "kworker/u4:2".to_owned()), (9, "12".to_owned())]);
        for (operation, name) in [
            (Operation::Call(call("madvise"), 4), "madvise(DONTNEED)"),
            (Operation::Call(call("madvise"), 77), "madvise(77)"),
            (Operation::Call(call("clone"), 0), "fork"),
            (Operation::Call(call("clone"), CLONE_VM), "clone"),
            (Operation::Call(call("ioctl"), 0xc020_aa05), "UFFDIO_MOVE"),
            (Operation::Call(call("ioctl"), 0x5401), "ioctl(0x5401)"),
            (Operation::Call(call("mremap"), 0), "mremap"),
            (Operation::Fault, "fault"),
            (Operation::Thread(Tid(7)), "kcompactd"),
            (Operation::Thread(Tid(8)), "kworker"),
            (Operation::Thread(Tid(9)), "thread"),
            (Operation::Thread(Tid(1)), "thread"),
        ] {
            assert_eq!(operation.name(&threads), name);
        }
    }
}
