//! What lies in a directory: results, and what was kept beside them.

use super::{
    headline::{Headline, Tone},
    kind::Kind,
};
use crate::report::text::clean;
use serde::Serialize;
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Directories below the one that was asked for: `results/6.1/run/report.json`.
const DEPTH: usize = 3;
/// Documents of a page; more are counted.
const MOST: usize = 256;
/// A document that is larger is none that people read.
const LARGEST_BYTES: u64 = 256 << 20;
/// So much of the kernel's messages is shown, from their end.
const LOG_BYTES: usize = 64 << 10;
/// What a kernel's own events came to.
const TRACE: &str = "trace.json";
/// What was known about the host of a run.
const FACTS: &str = "host.json";

/// Why there is nothing to make a page of.
#[derive(Debug, Error)]
pub enum GatherError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is a file.
    #[error("{} is not a directory; give the one that --out has made, or one with several of them", path.display())]
    NotADirectory {
        /// What was given.
        path: PathBuf,
    },
    /// Nothing in it is a result.
    #[error("there is no result in {}{}; give a directory that --out has made, or one with several of them", path.display(), found(unusable))]
    Nothing {
        /// Where.
        path: PathBuf,
        /// Documents that were found all the same, and what is wrong with them.
        unusable: Vec<String>,
    },
}

fn found(unusable: &[String]) -> String {
    match unusable {
        [] => String::new(),
        [one] => format!(" ({one})"),
        [first, ..] => format!(" ({first}; and {} more)", unusable.len() - 1),
    }
}

/// Everything that a page is about.
#[derive(Debug, Serialize)]
pub struct Results {
    /// The directory's name.
    pub title: String,
    /// What was found, by path.
    pub documents: Vec<Document>,
    /// Documents that were too many.
    pub left_out: usize,
}

/// A document.
#[derive(Debug, Serialize)]
pub struct Document {
    /// Where, from the directory that was asked for.
    pub path: String,
    /// The same, as short as it can be said: the name of its directory, unless that holds several.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it comes to.
    pub headline: Headline,
    /// Why it cannot be shown.
    pub problem: Option<String>,
    /// All of it.
    pub data: Value,
    /// What was known about its host.
    pub facts: Option<Value>,
    /// The end of what its kernel said meanwhile.
    pub kernel_log: Option<String>,
    /// Turns the times of its events into microseconds.
    pub ticks_per_us: Option<f64>,
}

impl Document {
    /// Whether there is something to show.
    #[must_use]
    pub fn is_result(&self) -> bool {
        self.problem.is_none() && self.kind != Kind::Unknown
    }

    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        let path = clean(&self.path);
        match &self.problem {
            Some(problem) => format!("{path}: {}", clean(problem)),
            None => format!("{path}: {}: {}", self.headline.word, clean(&self.headline.text)),
        }
    }
}

/// Reads what lies in a directory and, where that holds no results itself, in those below it.
///
/// # Errors
/// It cannot be read, or nothing in it is a result.
pub fn gather(directory: &Path) -> Result<Results, GatherError> {
    let io = |error| GatherError::Io { path: directory.to_owned(), error };
    let whole = fs::canonicalize(directory).map_err(io)?;
    if !whole.is_dir() {
        return Err(GatherError::NotADirectory { path: directory.to_owned() });
    }
    let mut documents = Vec::new();
    below(&whole, &whole, DEPTH, &mut documents).map_err(io)?;
    if !documents.iter().any(Document::is_result) {
        let unusable = documents.iter().map(Document::line).collect();
        return Err(GatherError::Nothing { path: directory.to_owned(), unusable });
    }
    let left_out = documents.len().saturating_sub(MOST);
    documents.truncate(MOST);
    let title = whole.file_name().map_or_else(|| whole.to_string_lossy(), OsStr::to_string_lossy);
    Ok(Results { title: clean(&title), documents, left_out })
}

/// The documents of a directory; if none of them is a result, those of the directories in it as well: what lies below a result
/// (`violations/`) is in it already, but for traces.
fn below(top: &Path, directory: &Path, depth: usize, documents: &mut Vec<Document>) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    entries.sort();
    let is_document = |path: &Path| path.extension() == Some(OsStr::new("json")) && path.file_name() != Some(OsStr::new(FACTS));
    let mut here: Vec<_> = entries.iter().filter(|path| path.is_file() && is_document(path)).map(|path| one(top, path)).collect();
    if let [alone] = &mut here[..]
        && let Some(above) = Path::new(&alone.path).parent().filter(|above| *above != Path::new(""))
    {
        alone.name = above.to_string_lossy().into_owned();
    }
    let found = here.iter().any(Document::is_result);
    documents.append(&mut here);
    let directories = entries.iter().filter(|path| path.is_dir());
    if found {
        // All but what a kernel's own events came to, of which each kernel of a matrix has a file.
        let traces = directories.map(|path| path.join(TRACE)).filter(|path| path.is_file());
        documents.extend(traces.map(|path| {
            let document = one(top, &path);
            let above = Path::new(&document.path).parent().map(|above| above.to_string_lossy().into_owned());
            Document { name: above.unwrap_or_default(), ..document }
        }));
    } else if depth > 0 {
        for path in directories {
            // One that we may not read does not hide the others.
            let _ = below(top, path, depth - 1, documents);
        }
    }
    Ok(())
}

fn one(top: &Path, file: &Path) -> Document {
    let path = file.strip_prefix(top).unwrap_or(file).to_string_lossy().into_owned();
    let nothing = Headline::none();
    let mut document = Document {
        name: path.clone(),
        path,
        kind: Kind::Unknown,
        headline: nothing,
        problem: None,
        data: Value::Null,
        facts: None,
        kernel_log: None,
        ticks_per_us: None,
    };
    if let Err(problem) = fill(&mut document, file) {
        document.headline = Headline { tone: Tone::Nothing, word: "unreadable".to_owned(), ..Headline::none() };
        document.problem = Some(problem);
    }
    document
}

fn fill(document: &mut Document, file: &Path) -> Result<(), String> {
    let bytes = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if bytes > LARGEST_BYTES {
        return Err(format!("{bytes} bytes are too many for a page"));
    }
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut data: Value = serde_json::from_str(&text).map_err(|error| format!("not JSON, or not whole: {error}"))?;
    document.kind = Kind::of(&data);
    if document.kind == Kind::Matrix {
        // They have files of their own, see `below`.
        let kernels = data.get_mut("kernels").and_then(Value::as_array_mut);
        kernels.into_iter().flatten().filter_map(Value::as_object_mut).for_each(|kernel| _ = kernel.remove("trace"));
    }
    document.headline = document.kind.headline(&text, &data)?;
    // Of what nobody knows, the headline tells enough.
    if document.kind != Kind::Unknown {
        document.data = data;
    }
    if document.kind == Kind::Run {
        let beside = |name: &str| file.with_file_name(name);
        document.facts = value(&beside(FACTS));
        document.kernel_log = fs::read(beside("kernel.log")).ok().map(|log| end(&log));
        document.ticks_per_us = first_in(&beside("violations")).and_then(|case| case.get("ticks_per_us")?.as_f64());
    }
    Ok(())
}

fn value(file: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

fn first_in(directory: &Path) -> Option<Value> {
    let file = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path()).min()?;
    value(&file)
}

/// The last lines of a log.
fn end(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let Some(cut) = text.len().checked_sub(LOG_BYTES) else { return text.into_owned() };
    let behind = text.as_bytes()[cut..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |line| cut + line + 1);
    format!("[{behind} bytes before this are left out]\n{}", &text[behind..])
}
