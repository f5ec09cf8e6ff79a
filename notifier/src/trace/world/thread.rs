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
        *self = Self::default();
    }
}
