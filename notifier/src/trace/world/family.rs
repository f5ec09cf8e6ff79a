//! Which threads belong to the process whose VM is looked at. Its children are recorded too, and have memory (or VMs) of their own at the
//! same addresses.

use crate::trace::event::{Call, Tid};
use rustc_hash::FxHashMap;

/// `CLONE_VM`: the child shares its parent's memory.
const CLONE_VM: u64 = 0x100;

/// Threads and what became of them.
#[derive(Debug, Default)]
pub struct Family {
    main: Option<Tid>,
    /// Those that are known to have memory of their own.
    foreign: FxHashMap<Tid, ()>,
    forked: bool,
    /// Whether the recording tells of new threads and processes before they do anything. Otherwise it must be taken from what the calls
    /// return that make them, which may be long after that.
    told: bool,
    /// The memory of the VM's process, where probes say whose is changed (`struct mm_struct`).
    mm: Option<u64>,
}

impl Family {
    /// That of the process `main`; `told`: in a recording with `task_newtask`.
    #[must_use]
    pub fn new(main: Option<Tid>, told: bool) -> Self {
        Self { main, told, ..Self::default() }
    }

    /// Whether a thread works on the VM's memory, as far as is known.
    #[must_use]
    pub fn is_own(&self, tid: Tid) -> bool {
        !self.foreign.contains_key(&tid)
    }

    /// Whether the process has had children with copies of its memory: then pages may be mapped at the same address by somebody who has
    /// no secondary MMU.
    #[must_use]
    pub const fn has_forked(&self) -> bool {
        self.forked
    }

    /// Whether it is known which memory is the VM's process's.
    #[must_use]
    pub const fn knows_mm(&self) -> bool {
        self.mm.is_some()
    }

    /// Whether memory is known to be another process's.
    #[must_use]
    pub fn is_others(&self, mm: u64) -> bool {
        self.mm.is_some_and(|own| own != mm)
    }

    /// The VM's process has this memory.
    pub(super) const fn has_mm(&mut self, mm: u64) {
        self.mm = Some(mm);
    }

    /// A thread or a process comes to be.
    pub(super) fn born(&mut self, parent: Tid, child: Tid, flags: u64) {
        let shares = flags & CLONE_VM != 0;
        if shares && self.is_own(parent) {
            // Numbers are used again.
            self.foreign.remove(&child);
        } else {
            self.foreign.insert(child, ());
        }
        self.forked |= !shares && self.is_own(parent);
    }

    /// A thread enters a system call.
    pub(super) fn enters(&mut self, tid: Tid, call: Call) {
        if call.name() == "execve" && self.main.is_some_and(|main| main != tid) {
            self.foreign.insert(tid, ());
        }
    }

    /// A thread returns from one, which it entered with `args` if that was seen.
    pub(super) fn returns(&mut self, tid: Tid, call: Call, args: Option<[u64; 6]>, ret: i64) {
        let shares = match call.name() {
            "clone" => args.is_some_and(|args| args[0] & CLONE_VM != 0),
            // Its flags lie in memory. glibc makes threads with it, and children that share memory until they execute something.
            "clone3" | "vfork" => true,
            "fork" => false,
            _ => return,
        };
        match i32::try_from(ret) {
            Ok(child) if child > 0 && !self.told => self.born(tid, Tid(child), if shares { CLONE_VM } else { 0 }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_with_memory_of_their_own_are_foreign_and_so_are_theirs() {
        let call = |name| Call::named(name).expect("known");
        let mut family = Family::new(Some(Tid(1)), false);
        family.returns(Tid(1), call("clone"), Some([CLONE_VM, 0, 0, 0, 0, 0]), 2);
        assert!(family.is_own(Tid(2)) && !family.has_forked());
        family.returns(Tid(2), call("clone"), Some([0x11, 0, 0, 0, 0, 0]), 3);
        assert!(!family.is_own(Tid(3)) && family.has_forked());
        family.returns(Tid(3), call("clone3"), None, 4);
        assert!(!family.is_own(Tid(4)), "a thread of a child");
        family.returns(Tid(1), call("clone3"), None, 4);
        assert!(family.is_own(Tid(4)), "the number was used again");
        family.enters(Tid(4), call("execve"));
        assert!(!family.is_own(Tid(4)));
        family.returns(Tid(1), call("fork"), None, -11);
        assert!(family.is_own(Tid(-11)));
    }

    #[test]
    fn a_program_that_was_started_is_foreign_though_its_start_returns_after_it_has_begun() {
        let call = |name| Call::named(name).expect("known");
        let mut family = Family::new(Some(Tid(1)), true);
        family.born(Tid(1), Tid(2), CLONE_VM | 0x4000);
        assert!(family.is_own(Tid(2)), "until it executes something");
        family.enters(Tid(2), call("execve"));
        family.returns(Tid(1), call("clone3"), None, 2);
        assert!(!family.is_own(Tid(2)) && !family.has_forked());
        family.born(Tid(2), Tid(3), CLONE_VM | 0x1_0000);
        assert!(!family.is_own(Tid(3)), "its thread");
        family.born(Tid(1), Tid(4), 0);
        assert!(!family.is_own(Tid(4)) && family.has_forked());
        assert!(!family.is_others(7));
        family.has_mm(8);
        assert!(family.is_others(7) && !family.is_others(8));
    }
}
