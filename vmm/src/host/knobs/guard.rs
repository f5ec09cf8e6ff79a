//! The hold of one caller on one knob.

use std::path::{Path, PathBuf};

use super::journal::{Holder, Journal, JournalError};
use super::knob::{Kind, Knob, KnobError};
use super::restore::{Outcome, Restored, restore};
use super::{Knobs, locked};

/// Why a knob was not put back. It names the original, so that a person can do it.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The journal cannot be used, so it is not known who else holds the knob.
    #[error("{path} should go back to {original:?}: {source}")]
    Journal {
        /// The file of the knob.
        path: PathBuf,
        /// Its value before.
        original: String,
        /// What is wrong with the journal.
        source: JournalError,
    },
    /// Somebody has deleted the journal while the knob was held.
    #[error("the journal of host settings was deleted during the run; put {path} back to {original:?} by hand")]
    NotInJournal {
        /// The file of the knob.
        path: PathBuf,
        /// Its value before.
        original: String,
    },
    /// The knob did not take its original value. The next recovery tries again.
    #[error("{path} was not put back to {original:?}: {source}")]
    Knob {
        /// The file of the knob.
        path: PathBuf,
        /// Its value before.
        original: String,
        /// What the kernel answered.
        source: Box<KnobError>,
    },
}

/// Keeps a knob at its value. When the last guard for a knob on this host is dropped, the original comes back.
#[derive(Debug)]
#[must_use = "the setting is put back as soon as the guard is dropped"]
pub struct Guard {
    knobs: Knobs,
    knob: Knob,
    holder: Holder,
    original: String,
    value: String,
}

impl Guard {
    pub(super) fn new(knobs: Knobs, knob: Knob, holder: Holder, original: String, value: String) -> Self {
        Self { knobs, knob, holder, original, value }
    }

    /// The file of the knob, with symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.knob.path
    }

    /// What the knob will go back to.
    pub fn original(&self) -> &str {
        &self.original
    }

    /// What the knob held when it was set: for a counter perhaps not quite what was wanted.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a counter holds less than was `wanted`.
    pub fn fell_short(&self, wanted: &str) -> bool {
        let number = |text: &str| text.parse::<i128>().ok();
        self.knob.kind == Kind::Counter && number(&self.value) < number(wanted)
    }

    /// Lets go, like a drop, and tells what became of the knob.
    pub fn release(self) -> Result<Outcome, ReleaseError> {
        self.let_go()
    }

    /// Does its work once: a drop follows `release`, and may follow `release_all`.
    fn let_go(&self) -> Result<Outcome, ReleaseError> {
        let live = &self.knobs.shared.live;
        // The copy of a guard in a forked child holds nothing.
        if self.holder.process.pid != std::process::id() || !locked(live).contains(&self.holder.token) {
            return Ok(Outcome::AlreadyReleased);
        }
        let (path, original) = (self.knob.path.clone(), self.original.clone());
        let opened = Journal::open(&self.knobs.shared.dir);
        // Asked again: another thread may have released everything while this one waited for the lock.
        if !locked(live).remove(&self.holder.token) {
            return Ok(Outcome::AlreadyReleased);
        }
        let mut journal = match opened {
            Ok(journal) => journal,
            Err(source) => return Err(ReleaseError::Journal { path, original, source }),
        };
        let Some(at) = journal.knobs.iter().position(|entry| entry.holders.contains(&self.holder)) else {
            return Err(ReleaseError::NotInJournal { path, original });
        };
        let entry = &mut journal.knobs[at];
        entry.holders.retain(|holder| *holder != self.holder);
        let result = match entry.holders.len() {
            // First the knob, then the journal: a death in between finds the original in place, and nothing to do.
            0 => restore(entry),
            holders => Ok(Outcome::StillHeld { holders }),
        };
        if entry.holders.is_empty() && result.is_ok() {
            journal.knobs.remove(at);
        }
        let saved = journal.save();
        match (result, saved) {
            (Err(source), _) => Err(ReleaseError::Knob { path, original, source: Box::new(source) }),
            (Ok(_), Err(source)) => Err(ReleaseError::Journal { path, original, source }),
            (Ok(outcome), Ok(())) => Ok(outcome),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        match self.let_go() {
            Ok(outcome) => {
                let (path, original) = (self.knob.path.clone(), self.original.clone());
                self.knobs.note(&Restored { path, original, result: Ok(outcome) });
            }
            Err(error) => locked(&self.knobs.shared.notes).push(error.to_string()),
        }
    }
}
