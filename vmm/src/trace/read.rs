//! From a recording in a file to its profile.

use nostale_notifier::event::Tsc;
use nostale_notifier::trace::{
    Reading,
    analysis::Analysis,
    event::{Item, SlotMap},
    file::ReadError,
    layout::Layout,
    profile::Profile,
};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a recording could not be read.
#[derive(Debug, Error)]
#[error("{}: {error}", path.display())]
pub struct ReadTraceError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub error: ReadError,
}

/// Events between two words on how far it is.
const WORD: u64 = 1 << 18;

/// The profile of a recording.
///
/// # Errors
/// The file is none, or is damaged otherwise than by ending too early.
pub fn profile_of(path: &Path) -> Result<Profile, ReadTraceError> {
    profile_with(path, &mut |_| {})
}

/// The same; is told after every so many events how many there were.
///
/// # Errors
/// As above.
pub fn profile_with(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<Profile, ReadTraceError> {
    let failed = |error| ReadTraceError { path: path.to_owned(), error };
    let slots = layout(path).map_err(failed)?;
    let mut reading = Reading::open(path).map_err(failed)?;
    let mut analysis = Analysis::new(reading.head());
    if let Some(slots) = slots {
        analysis.item(&Item::Slots { tsc: Tsc::default(), slots });
    }
    let mut seen = 0;
    while let Some(item) = reading.next_item().map_err(failed)? {
        analysis.item(&item);
        seen += 1;
        if seen % WORD == 0 {
            progress(seen);
        }
    }
    Ok(analysis.finish(reading.tail(), reading.truncated()))
}

/// How guest memory lies in the host, if the recording does not say so by itself: that takes a pass of its own, because what happens in its
/// first moment is judged by what is learnt later.
fn layout(path: &Path) -> Result<Option<Vec<SlotMap>>, ReadError> {
    let mut reading = Reading::open(path)?;
    let mut layout = Layout::default();
    while let Some(item) = reading.next_item()? {
        layout.item(&item);
        if layout.is_known() {
            return Ok(None);
        }
    }
    Ok(layout.finish())
}
