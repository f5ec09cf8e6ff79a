//! A recording in a file, in the formats of other tools.

use nostale_notifier::trace::{
    Reading,
    export::{
        ExportError, Kind,
        trace_dat::{self, RawPage, TraceDatError},
    },
    file::{Frame, Frames, ReadError, Source},
};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a recording is called in a directory of results.
pub const RECORDING: &str = "recording.trace";

/// Why it could not be done.
#[derive(Debug, Error)]
pub enum ExportFileError {
    /// The recording cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: ReadError,
    },
    /// The other file cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The same, of a `trace.dat`.
    #[error(transparent)]
    TraceDat(#[from] TraceDatError),
}

/// All items of the recording `from`, as `kind` has them, in the file `to`.
///
/// # Errors
/// The one cannot be read, or the other not written.
pub fn items(kind: Kind, from: &Path, to: &Path) -> Result<(), ExportFileError> {
    let failed = |error| ExportFileError::Read { path: from.to_owned(), error };
    let mut reading = Reading::open(from).map_err(failed)?;
    let mut export = kind.open(to, reading.head())?;
    while let Some(item) = reading.next_item().map_err(failed)? {
        export.item(&item)?;
    }
    Ok(export.finish(reading.tail())?)
}

/// The kernel's own pages of the recording `from`, as `trace-cmd report` reads them, in the file `to`.
///
/// # Errors
/// The one cannot be read, or the other not written.
pub fn trace_dat(from: &Path, to: &Path) -> Result<(), ExportFileError> {
    let failed = |error| ExportFileError::Read { path: from.to_owned(), error };
    // Names of threads come last.
    let (head, tail) = {
        let mut frames = Frames::open(from).map_err(failed)?;
        let mut tail = None;
        while let Some(frame) = frames.next_frame().map_err(failed)? {
            if let Frame::Tail(last) = frame {
                tail = Some(last);
            }
        }
        (frames.head().clone(), tail)
    };
    trace_dat::write(to, &head, tail.as_ref(), &["task", "memory"], |each| {
        let mut frames = Frames::open(from).map_err(failed)?;
        while let Some(frame) = frames.next_frame().map_err(failed)? {
            let Frame::Pages(pages) = frame else { continue };
            let instance = u8::from(pages.source == Source::Memory);
            for bytes in pages.iter() {
                each(RawPage { instance, cpu: pages.cpu, bytes })?;
            }
        }
        Ok::<_, ExportFileError>(())
    })
}
