//! Destinations that are killed at a moment of chance, to see that the source goes on.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

/// Kills a process after a time, unless it is dropped before.
#[derive(Debug)]
pub(super) struct Doom {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Doom {
    /// Whoever makes it waits for the process only when this is gone, so that its number stays its own.
    pub(super) fn after(pid: Pid, time: Duration) -> Self {
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            if told.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
        Self { thread: Some((tell, thread)) }
    }
}

impl Drop for Doom {
    fn drop(&mut self) {
        if let Some((tell, thread)) = self.thread.take() {
            drop(tell);
            let _ = thread.join();
        }
    }
}
