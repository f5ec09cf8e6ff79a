//! A barrier that can be called off: a vCPU may never come back.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

#[derive(Debug, Default)]
struct Inside {
    arrived: usize,
    /// How often all have met.
    times: u64,
    off: bool,
}

/// A place at which so many meet, again and again.
#[derive(Debug)]
pub(super) struct Meeting {
    members: usize,
    inside: Mutex<Inside>,
    changed: Condvar,
}

impl Meeting {
    pub(super) fn new(members: usize) -> Self {
        Self { members, inside: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until all have come. False: it was called off. `look` is asked now and then whether there is still hope.
    pub(super) fn meet(&self, look: &dyn Fn() -> bool) -> bool {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.arrived += 1;
        if inside.arrived == self.members {
            inside.arrived = 0;
            inside.times += 1;
            self.changed.notify_all();
            return !inside.off;
        }
        let now = inside.times;
        while inside.times == now && !inside.off {
            let waited = self.changed.wait_timeout(inside, Duration::from_millis(50));
            let (woken, time) = waited.unwrap_or_else(PoisonError::into_inner);
            inside = woken;
            if time.timed_out() && inside.times == now && !look() {
                inside.off = true;
                self.changed.notify_all();
            }
        }
        !inside.off
    }

    /// Nobody need come any more.
    pub(super) fn call_off(&self) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).off = true;
        self.changed.notify_all();
    }
}
