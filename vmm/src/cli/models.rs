//! Which models and which of their variants are meant.

use super::{args::Common, files, output};
use crate::{inside::LitmusText, litmus, report::check::Unchecked};
use nostale_notifier::{
    compile::{Case, MemoryModel, Program},
    lang::{Diagnostic, Diagnostics, Sources},
    near::did_you_mean,
};
use std::{collections::BTreeSet, path::PathBuf};

/// What is asked for.
pub(super) struct Wanted<'a> {
    /// Files, directories, or `-`.
    pub(super) paths: &'a [PathBuf],
    /// Only this ordering.
    pub(super) ordering: Option<&'a str>,
    /// Only this memory model.
    pub(super) memory: Option<MemoryModel>,
}

/// What cannot be checked: for the report, and as it is shown on a terminal.
pub(super) struct Error {
    pub(super) unchecked: Unchecked,
    coloured: String,
}

impl Error {
    /// On standard error.
    pub(super) fn say(&self, common: &Common) {
        let text = if output::colour_of_errors(common) { &self.coloured } else { &self.unchecked.shown };
        eprintln!("{}\n", text.trim_end());
    }
}

/// A file and the cases of it that are to be checked: one at least.
pub(super) struct Chosen {
    pub(super) path: String,
    pub(super) program: Program,
    pub(super) cases: Vec<Case>,
}

pub(super) struct Selection {
    pub(super) chosen: Vec<Chosen>,
    /// What cannot be read: the rest is checked all the same.
    pub(super) errors: Vec<Error>,
}

/// Reads all files; an error is that there is no such ordering in any.
pub(super) fn select(wanted: &Wanted<'_>) -> Result<Selection, String> {
    let is_stdin = files::is_stdin(wanted.paths)?;
    let (files, unusable) = if is_stdin { (wanted.paths.to_vec(), Vec::new()) } else { files::find(wanted.paths) };
    let mut errors: Vec<Error> = unusable.iter().map(of_file).collect();
    let mut programs = Vec::new();
    for file in files {
        let path = file.display().to_string();
        let (text, name) = if is_stdin { (files::stdin(), files::STDIN_NAME) } else { (files::read(&file), &*path) };
        match text {
            Err(error) => errors.push(of_file(&error)),
            Ok(text) => match Program::read(Sources::new(name, text)) {
                Ok(program) => programs.push((path, program)),
                Err(refused) => errors.push(rejected(&path, None, &refused.diagnostics, &refused.sources)),
            },
        }
    }
    if let Some(ordering) = wanted.ordering {
        let known: BTreeSet<&str> = programs.iter().flat_map(|(_, program)| program.variants()).collect();
        // With nothing to look in, what is wrong is something else.
        if !known.is_empty() && !known.contains(ordering) {
            let close = match did_you_mean(ordering, known.iter().copied()) {
                close if close.is_empty() => format!("; known: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
                close => close,
            };
            return Err(format!("--ordering: no model has an ordering '{ordering}'{close}"));
        }
    }
    let chosen = programs.into_iter().map(|(path, program)| {
        let mut cases = program.cases(wanted.memory);
        cases.retain(|case| wanted.ordering.is_none_or(|ordering| ordering == case.variant));
        Chosen { path, program, cases }
    });
    Ok(Selection { chosen: chosen.filter(|chosen| !chosen.cases.is_empty()).collect(), errors })
}

/// How many files are looked at.
pub(super) fn files(chosen: &[Chosen]) -> usize {
    chosen.len()
}

/// The litmus tests of these files that run on real KVM, to be sent elsewhere.
pub(super) fn on_kvm(paths: &[PathBuf]) -> Result<Vec<LitmusText>, String> {
    let Selection { chosen, errors } = select(&Wanted { paths, ordering: None, memory: None })?;
    if let Some(error) = errors.first() {
        return Err(format!("{}: {}", error.unchecked.path, error.unchecked.message));
    }
    let suited = chosen.iter().filter(|chosen| litmus::suited(&chosen.path, &chosen.program).is_some());
    let text = |chosen: &Chosen| LitmusText {
        path: chosen.path.clone(),
        text: chosen.program.sources().get(0).map_or_else(String::new, |source| source.text.to_string()),
    };
    let texts: Vec<LitmusText> = suited.map(text).collect();
    let mut names = BTreeSet::new();
    if let Some(twice) = texts.iter().find(|text| !names.insert(text.pair().ops)) {
        return Err(format!("{}: another test has that name; rename one of them", twice.path));
    }
    if texts.is_empty() {
        return Err("none of these litmus tests runs on KVM; `nostale litmus --on kvm` says why".to_owned());
    }
    Ok(texts)
}

fn of_file(unusable: &files::Unusable) -> Error {
    self::unusable(&unusable.path.display().to_string(), None, &unusable.why)
}

/// What is wrong with a file, or a variant of it, as a whole.
pub(super) fn unusable(path: &str, variant: Option<&str>, why: &str) -> Error {
    let who = variant.map_or(path.to_owned(), |variant| format!("{path} {variant}"));
    let shown = Diagnostic::error(format!("{who}: {why}"));
    let shown = |colour| shown.render(&Sources::default(), colour);
    error(path, variant, why.to_owned(), shown)
}

/// What is wrong in a text.
pub(super) fn rejected(path: &str, variant: Option<&str>, diagnostics: &Diagnostics, sources: &Sources) -> Error {
    let first = diagnostics.0.first();
    let line = first.and_then(|first| first.primary.as_ref()).map(|(span, _)| format!("line {}: ", sources.line(*span)));
    let what = first.map_or("not a model", |first| first.message.as_str());
    let more = match diagnostics.0.len() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let message = format!("{}{what}{more}", line.unwrap_or_default());
    error(path, variant, message, |colour| diagnostics.render(sources, colour))
}

fn error(path: &str, variant: Option<&str>, message: String, shown: impl Fn(bool) -> String) -> Error {
    let unchecked = Unchecked { path: path.to_owned(), variant: variant.map(str::to_owned), message, shown: shown(false) };
    Error { unchecked, coloured: shown(true) }
}
