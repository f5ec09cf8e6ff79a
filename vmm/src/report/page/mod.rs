//! One page of HTML from whatever results lie in a directory: everything is in it, it fetches nothing, and it works from a file.
//!
//! ```text
//! directory ──gather──▶ documents, each with its headline ──embed──▶ JSON that cannot leave its element ──▶ the page
//! ```
//!
//! What people see is made of that JSON by the scripts in `assets/`, which only ever create text nodes: names in results may contain
//! anything.

mod assets;
mod embed;
mod gather;
mod headline;
mod kind;

pub use gather::{Document, GatherError, Results, gather};
pub use headline::{Headline, Tone};
pub use kind::Kind;

use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// What a page is called that is written into the directory that it is about.
pub const NAME: &str = "report.html";
/// By this a page of ours is known again.
const MARK: &[u8] = b"<meta name=\"generator\" content=\"nostale\">";
/// It stands within so many bytes of the beginning.
const MARK_WITHIN: u64 = 1024;

/// Why a page could not be written.
#[derive(Debug, Error)]
pub enum PageError {
    /// There is something with this name that we have not made.
    #[error("{} already exists, and is no page of nostale's; choose another file with --to", path.display())]
    Taken {
        /// The file asked for.
        path: PathBuf,
    },
    /// The file has no place.
    #[error("cannot write {}: {error}; choose another file with --to", path.display())]
    Write {
        /// The file asked for.
        path: PathBuf,
        /// What the kernel answered.
        error: io::Error,
    },
}

/// What the scripts find.
#[derive(Serialize)]
struct Data<'a> {
    /// Of this program.
    version: &'static str,
    #[serde(flatten)]
    results: &'a Results,
}

/// The page about these results.
#[must_use]
pub fn render(results: &Results) -> String {
    let data = embed::json(&Data { version: env!("CARGO_PKG_VERSION"), results });
    let (style, script) = (assets::style(), assets::script());
    let title = match results.documents.iter().find(|document| document.headline.tone != Tone::Nothing) {
        Some(one) if results.documents.len() == 1 => format!("{}: {}", one.headline.word, results.title),
        _ => results.title.clone(),
    };
    let without_scripts: String = results.documents.iter().map(|document| embed::text(&document.line()) + "\n").collect();
    embed::fill(
        assets::PAGE,
        &[
            ("style-hash", &embed::hash(&style)),
            ("script-hash", &embed::hash(&script)),
            ("title", &embed::text(&title)),
            ("style", &style),
            ("script", &script),
            ("data", &data),
            ("lines", &without_scripts),
        ],
    )
}

/// Writes a page, whole or not at all. An older page of ours makes room; nothing else does.
///
/// # Errors
/// Something else has the name, or the file could not be written.
pub fn write(path: &Path, page: &str) -> Result<(), PageError> {
    let failed = |error| PageError::Write { path: path.to_owned(), error };
    if path.symlink_metadata().is_ok() && !is_ours(path) {
        return Err(PageError::Taken { path: path.to_owned() });
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut new = tempfile::Builder::new().prefix(".nostale-report-").tempfile_in(directory).map_err(failed)?;
    new.write_all(page.as_bytes()).map_err(failed)?;
    // A temporary file is its owner's alone; a page is for showing.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    new.as_file().set_permissions(readable).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    new.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn is_ours(path: &Path) -> bool {
    let mut head = Vec::new();
    let file = fs::metadata(path).is_ok_and(|found| found.is_file());
    let read = file && File::open(path).and_then(|file| file.take(MARK_WITHIN).read_to_end(&mut head)).is_ok();
    read && head.windows(MARK.len()).any(|part| part == MARK)
}

#[cfg(test)]
mod tests;
