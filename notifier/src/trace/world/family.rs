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
}

impl Family {
    /// That of the process `main`.
    #[must_use]
    pub fn new(main: Option<Tid>) -> Self {
        Self { main, ..Self::default() }
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
        let Ok(child) = i32::try_from(ret) else { return };
        if child <= 0 {
            return;
        }
        if !shares || !self.is_own(tid) {
            self.foreign.insert(Tid(child), ());
        } else {
            // Numbers are used again.
            self.foreign.remove(&Tid(child));
        }
        self.forked |= !shares && self.is_own(tid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_with_memory_of_their_own_are_foreign_and_so_are_theirs() {
        let call = |name| Call::named(name).expect("known");
        let mut family = Family::new(Some(Tid(1)));
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
}
