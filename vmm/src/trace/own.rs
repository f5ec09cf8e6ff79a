//! A recording that this process makes of its own VMs.

use super::{ReadTraceError, profile_of};
use crate::{
    host::clock,
    machine::{Registered, SlotsTold},
};
use nostale_notifier::{
    addr::PAGE_SHIFT,
    trace::{
        event::{Gfn, SlotMap},
        profile::Profile,
        record::{RecordError, Recorder, TracefsError, Wanted, find_tracefs},
    },
};
use std::{
    fs::File,
    io::{self, BufWriter},
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

/// Why it could not be made.
#[derive(Debug, Error)]
pub enum OwnTraceError {
    /// No tracefs.
    #[error(transparent)]
    Tracefs(#[from] TracefsError),
    /// The recorder.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It could not be read again.
    #[error(transparent)]
    Read(#[from] ReadTraceError),
}

/// A recording under way.
#[derive(Debug)]
pub struct OwnTrace {
    recorder: Arc<Recorder>,
    path: PathBuf,
}

impl OwnTrace {
    /// Begins one, in the file `path`.
    ///
    /// # Errors
    /// There is no tracefs, or no right to it, or no such file can be made.
    pub fn start(path: &Path, title: &str) -> Result<Self, OwnTraceError> {
        let tracefs = find_tracefs()?;
        let file = File::create(path).map_err(|error| OwnTraceError::File { path: path.to_owned(), error })?;
        let pid = std::process::id() as i32;
        let wanted = Wanted { title: title.to_owned(), frees: true, ..Wanted::new(tracefs, pid, clock::hertz()) };
        let recorder = Recorder::start(wanted, BufWriter::with_capacity(1 << 18, file))?;
        // No guest memory yet: what is seen before there is any is nobody's.
        recorder.slots(Vec::new());
        Ok(Self { recorder: Arc::new(recorder), path: path.to_owned() })
    }

    /// What VMs tell how their memory lies.
    #[must_use]
    pub fn told(&self) -> SlotsTold {
        let recorder = Arc::clone(&self.recorder);
        SlotsTold::new(move |slots| recorder.slots(slots.iter().map(map).collect()))
    }

    /// Ends it, when no VM is left that was given [`OwnTrace::told`]; gives its profile.
    ///
    /// # Errors
    /// It was not written, or cannot be read.
    pub fn finish(self) -> Result<Profile, OwnTraceError> {
        match Arc::try_unwrap(self.recorder) {
            Ok(recorder) => _ = recorder.stop()?,
            // Somebody has kept a VM: the recording ends without its last words, and is read as far as it goes.
            Err(shared) => drop(shared),
        }
        Ok(profile_of(&self.path)?)
    }
}

fn map(known: &Registered) -> SlotMap {
    let hva = known.slot.hva();
    SlotMap { gfn: Gfn(known.slot.gpa().get() >> PAGE_SHIFT), pages: hva.pages(), hva: hva.start() }
}
