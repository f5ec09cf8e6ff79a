//! What one thread is doing.

use crate::{
    HvaRange,
    trace::event::{Call, KernelEvent},
};

/// A system call under way.
#[derive(Clone, Copy, Debug)]
pub struct InCall {
    /// Which.
    pub call: Call,
    /// With what.
    pub args: [u64; 6],
    /// How it began.
    pub event: KernelEvent,
}

/// A thread.
#[derive(Debug, Default)]
pub struct Thread {
    /// Whether it was seen in what is recorded of the VM's own threads only. Of others there are some events too: compaction announces
    /// ranges as well, and whoever moves another process's pages calls something for it.
    pub own: bool,
    /// The system call that it is in.
    pub call: Option<InCall>,
    /// Ranges that it has announced and not ended, where probes tell.
    pub ranges: Vec<(HvaRange, KernelEvent)>,
}

impl Thread {
    /// Ends the announcement of `range`, the latest if there are several; tells whether there was one.
    pub fn end(&mut self, range: HvaRange) -> bool {
        let at = self.ranges.iter().rposition(|(open, _)| *open == range);
        at.map(|at| self.ranges.remove(at)).is_some()
    }

    /// Forgets what could be wrong after events were lost.
    pub fn forget(&mut self) {
        *self = Self { own: self.own, ..Self::default() };
    }
}
