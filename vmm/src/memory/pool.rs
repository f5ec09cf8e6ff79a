//! File pages that are not mapped into the arena for the moment: parked, watched, and used again in turn.

use super::Snapshot;
use std::collections::VecDeque;

/// A page of the arena's file, by its index in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(pub u32);

/// Retired frames, the longest-parked first: the longer a page lies still, the surer a stale write to it is seen.
#[derive(Debug, Default)]
pub struct FramePool {
    parked: VecDeque<(Frame, Option<Retired>)>,
}

/// What was known of a frame when it left the arena.
#[derive(Clone, Debug)]
pub struct Retired {
    /// Arena page that it was.
    pub page: u64,
    /// Generation of the operation that took it out.
    pub generation: u64,
    /// What it held when that operation had returned, if anybody looked.
    pub snapshot: Option<Snapshot>,
}

impl FramePool {
    /// A pool of frames that were never mapped.
    #[must_use]
    pub fn new(frames: impl IntoIterator<Item = Frame>) -> Self {
        Self { parked: frames.into_iter().map(|frame| (frame, None)).collect() }
    }

    /// Parks a frame that was just taken out of the arena; `None` if nothing is known of it.
    pub fn park(&mut self, frame: Frame, retired: Option<Retired>) {
        self.parked.push_back((frame, retired));
    }

    /// The frame that has been parked longest, with what must still be true of it.
    pub fn take(&mut self) -> Option<(Frame, Option<Retired>)> {
        self.parked.pop_front()
    }

    /// Forgets what was known of all that is parked: the file has lost its contents.
    pub fn forget(&mut self) {
        self.parked.iter_mut().for_each(|(_, retired)| *retired = None);
    }

    /// All that is parked.
    pub fn iter(&self) -> impl Iterator<Item = (Frame, Option<&Retired>)> {
        self.parked.iter().map(|(frame, parked)| (*frame, parked.as_ref()))
    }

    /// Frames parked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parked.len()
    }

    /// Whether none is parked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }
}
