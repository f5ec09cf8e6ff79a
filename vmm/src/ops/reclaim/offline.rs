//! `offline`: the block of memory that holds a guest page is taken offline, which migrates everything in it, and brought back.

use crate::{
    host::{
        facts::{Facts, Need},
        knobs::{Guard, Knob, Knobs, SetError},
        vmstat::Events,
    },
    ops::{Bed, Done, HostOperation, Made, Operation, OperationError, Rng, eyes::Eyes},
};
use nostale_notifier::{HvaRange, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;
use std::{
    collections::HashSet,
    io,
    os::unix::thread::JoinHandleExt,
    path::Path,
    sync::Once,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// The operation. Only for who asks for it: on a host that is short of memory, what is taken offline is missed.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "offline",
    summary: "take the memory block of a guest page offline, and bring it back: everything in it moves",
    share: 3,
    needs: |facts, _| {
        facts.need_memory_blocks()?;
        facts.need_pagemap()
    },
    make,
    ..Operation::USUAL
};

const DIR: &str = "/sys/devices/system/memory";
/// Pages that are looked at.
const LOOK: u64 = 65536;
/// How long the kernel may try to empty a block: it goes on for ever, if a page cannot be moved.
const PATIENCE: Duration = Duration::from_secs(4);
/// Blocks that were tried in vain before this gives up.
const TRIES: usize = 32;

fn make(bed: &Bed<'_>, facts: &Facts) -> Made {
    let block_pages = facts.memory.block_bytes.ok_or(OperationError::Unmade)? / PAGE_SIZE;
    let knobs = bed.knobs.cloned().ok_or_else(Need::journal)?;
    let seen = bed.arena.home().part(0, bed.arena.pages().min(LOOK)).unwrap_or(bed.arena.home());
    Ok(Box::new(Offline { block_pages, knobs, eyes: Eyes::open()?, seen, refused: HashSet::new() }))
}

struct Offline {
    block_pages: u64,
    knobs: Knobs,
    eyes: Eyes,
    seen: HvaRange,
    /// Blocks that hold something that cannot be moved.
    refused: HashSet<u64>,
}

impl HostOperation for Offline {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let Some(block) = self.block(rng)? else {
            return Ok(if self.refused.len() >= TRIES { Done::Exhausted } else { Done::Busy });
        };
        let before = self.eyes.before(self.seen, Events::MIGRATED)?;
        bed.note(Stage::OperationStart, bed.arena.home(), 0);
        let offline = match self.take_offline(block) {
            Ok(offline) => offline,
            Err(SetError::Knob(_)) => {
                self.refused.insert(block);
                return Ok(Done::Busy);
            }
            Err(error) => return Err(OperationError::io("taking memory offline")(io::Error::other(error))),
        };
        let gone = self.eyes.gone(&before)?;
        bed.note(Stage::Returned, bed.arena.home(), 0);
        let back = offline.release();
        back.map_err(|error| OperationError::io("bringing memory back online")(io::Error::other(error)))?;
        bed.note(Stage::Restored, bed.arena.home(), 0);
        Ok(if gone == 0 { Done::Busy } else { Done::Pages(gone) })
    }
}

impl Offline {
    /// A block with guest pages, that was not refused yet.
    fn block(&self, rng: &mut Rng) -> Result<Option<u64>, OperationError> {
        let mut blocks: Vec<u64> =
            self.eyes.pfns(self.seen)?.into_iter().flatten().map(|pfn| pfn.get() / self.block_pages).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks.retain(|block| !self.refused.contains(block) && Path::new(&format!("{DIR}/memory{block}/state")).exists());
        Ok(if blocks.is_empty() { None } else { Some(blocks[rng.random_range(0..blocks.len())]) })
    }

    /// Takes a block offline, and gives up when that takes too long. It comes back with the guard.
    fn take_offline(&self, block: u64) -> Result<Guard, SetError> {
        let (knobs, knob) = (self.knobs.clone(), Knob::choice(format!("{DIR}/memory{block}/state")));
        let thread = std::thread::spawn(move || knobs.set(&knob, "offline"));
        let deadline = Instant::now() + PATIENCE;
        while !thread.is_finished() {
            if Instant::now() > deadline {
                nudge(&thread);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Sends the thread a signal that does nothing, but that ends what it does in the kernel (mm/memory_hotplug.c, offline_pages).
fn nudge<T>(thread: &JoinHandle<T>) {
    extern "C" fn nothing(_: i32) {}
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // SAFETY: a handler that does nothing, installed without SA_RESTART, for a signal that nothing else here uses.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            libc::sigaction(libc::SIGRTMAX() - 1, &action, std::ptr::null_mut());
        }
    });
    // SAFETY: the handle has not been joined, so the thread's id is valid even if it has ended.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGRTMAX() - 1) };
}
