//! A model file, read and understood: its variants, and what is expected of each.

use super::{
    MemoryModel,
    decl::Decls,
    expectation::{Expectation, expectation, note},
    library,
    limits::{MOST_ERRORS, MOST_ORDERINGS},
    unit::Unit,
};
use crate::{
    lang::{
        Diagnostic, Diagnostics, Sources, Span,
        ast::{Expected, File, ItemKind, Name},
        parse,
    },
    model::Model,
    near::near,
};

/// What the one variant of a file without orderings is called.
pub const DEFAULT: &str = "default";

/// A model file without errors.
#[derive(Debug)]
pub struct Program {
    sources: Sources,
    /// The file itself, then the library texts that it uses.
    files: Vec<File>,
    /// After `model`; otherwise the name of the file.
    pub name: String,
    /// After `source`.
    pub source: Option<String>,
    /// After `year`.
    pub year: Option<i64>,
    orderings: Vec<String>,
    expectations: Vec<Expectation>,
}

/// A text that cannot be used, and why.
#[derive(Debug)]
pub struct Rejected {
    /// The text, and what it uses.
    pub sources: Sources,
    /// What is wrong with it.
    pub diagnostics: Diagnostics,
}

impl Rejected {
    /// The diagnostics, shown in the text.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        self.diagnostics.render(&self.sources, colour)
    }
}

/// Something to check: a variant under a memory model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// The ordering, or [`DEFAULT`].
    pub variant: String,
    /// The memory model.
    pub memory: MemoryModel,
    /// What the file expects.
    pub expected: Expected,
    /// The message of the property that is to fail.
    pub message: Option<String>,
}

impl Program {
    /// Reads a model file: its grammar, its names and types in every variant, and its expectations.
    ///
    /// # Errors
    /// Everything that is wrong with it, each at its place.
    pub fn read(sources: Sources) -> Result<Self, Box<Rejected>> {
        Self::with(sources, library::TEXTS)
    }

    /// Reads a model file as what a real machine is to do: the library's operations are accesses and system calls, and not the steps that
    /// the machine takes for them. What the file expects of orderings does not matter there; a file that speaks of page tables itself
    /// is none of this kind.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_real(sources: Sources) -> Result<Self, Box<Rejected>> {
        Self::with(sources, library::REAL)
    }

    fn with(mut sources: Sources, library: &[(&str, &'static str)]) -> Result<Self, Box<Rejected>> {
        let files = match texts(&mut sources, library) {
            Ok(files) => files,
            Err(diagnostics) => return Err(Box::new(Rejected { sources, diagnostics })),
        };
        match understand(&sources, &files) {
            Ok((orderings, expectations)) => {
                let find = |pick: fn(&ItemKind) -> Option<&Name>| {
                    files[0].items.iter().find_map(|item| pick(&item.kind)).map(|quoted| quoted.text.clone())
                };
                let name = find(|kind| if let ItemKind::Model(name) = kind { Some(name) } else { None });
                let source = find(|kind| if let ItemKind::Source(text) = kind { Some(text) } else { None });
                let year = files[0].items.iter().find_map(|item| if let ItemKind::Year(y) = item.kind { Some(y) } else { None });
                let name = name.or_else(|| sources.get(0).map(|text| text.name.clone())).unwrap_or_default();
                Ok(Self { sources, files, name, source, year, orderings, expectations })
            }
            Err(mut errors) => {
                errors.sort_by_key(|error| error.primary.as_ref().map(|(span, _)| (span.text, span.start)));
                Err(Box::new(Rejected { sources, diagnostics: Diagnostics(errors) }))
            }
        }
    }

    /// The texts that places count in.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The orderings, in the order in which the file expects something of them; [`DEFAULT`] where it has none.
    #[must_use]
    pub fn variants(&self) -> Vec<&str> {
        if self.orderings.is_empty() { vec![DEFAULT] } else { self.orderings.iter().map(String::as_str).collect() }
    }

    /// What there is to check: every variant, under every memory model that the file names for it, or under `memory` alone.
    #[must_use]
    pub fn cases(&self, memory: Option<MemoryModel>) -> Vec<Case> {
        let mut cases = Vec::new();
        for variant in self.variants() {
            let said: Vec<&Expectation> = self.expectations.iter().filter(|said| said.variant == variant).collect();
            let anywhere = said.iter().find(|said| said.memory.is_none());
            let models: Vec<MemoryModel> = match memory {
                Some(memory) => vec![memory],
                None => MemoryModel::ALL
                    .into_iter()
                    .filter(|model| {
                        let named = said.iter().any(|said| said.memory == Some(*model));
                        named || (*model == MemoryModel::Sc && (anywhere.is_some() || said.is_empty()))
                    })
                    .collect(),
            };
            for memory in models {
                let found = said.iter().find(|said| said.memory == Some(memory)).or(anywhere);
                cases.push(Case {
                    variant: variant.to_owned(),
                    memory,
                    expected: found.map_or(Expected::Holds, |said| said.expected),
                    message: found.and_then(|said| said.message.clone()),
                });
            }
        }
        cases
    }

    /// Compiles one variant.
    ///
    /// # Errors
    /// What can only be seen under that memory model; [`Self::read`] has found everything else.
    pub fn compile(&self, variant: &str, memory: MemoryModel) -> Result<Model, Diagnostics> {
        let files: Vec<&File> = self.files.iter().collect();
        let decls = Decls::of(&files).map_err(Diagnostics)?;
        let ordering = self.orderings.iter().map(String::as_str).find(|ordering| *ordering == variant);
        let first = Unit::pass(&decls, &self.sources, ordering, memory, None)?;
        let second = Unit::pass(&decls, &self.sources, ordering, memory, Some(&first.usage))?;
        let variant = ordering.unwrap_or(DEFAULT).to_owned();
        Ok(Model { name: self.name.clone(), variant, ..second.model })
    }
}

/// The file and the library texts that it uses.
fn texts(sources: &mut Sources, library: &[(&str, &'static str)]) -> Result<Vec<File>, Diagnostics> {
    let mut file = parse(sources, 0)?;
    if std::ptr::eq(library, library::REAL) {
        file.items.retain(|item| !matches!(item.kind, ItemKind::Expect(_)));
    }
    let uses: Vec<Name> = file
        .items
        .iter()
        .filter_map(|item| match &item.kind {
            ItemKind::Use(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let mut files = vec![file];
    for (number, name) in uses.iter().enumerate() {
        let Some((_, text)) = library.iter().find(|(known, _)| *known == name.text) else {
            let error = Diagnostic::error(format!("no library text is called `{}`", name.text)).at(name.span, "not known");
            let known = library.iter().map(|(known, _)| *known);
            return Err(match near(&name.text, known.clone()) {
                Some(close) => error.help(format!("did you mean `{close}`?")),
                None => error.help(format!("there is {}", known.collect::<Vec<_>>().join(", "))),
            }
            .into());
        };
        if let Some(first) = uses[..number].iter().find(|first| first.text == name.text) {
            let error = Diagnostic::error(format!("`{}` is used twice", name.text)).at(name.span, "again here");
            return Err(error.also(first.span, "first here").into());
        }
        let text = sources.add(format!("library/{}.nst", name.text), *text);
        files.push(parse(sources, text)?);
    }
    Ok(files)
}

type Understood = (Vec<String>, Vec<Expectation>);

fn understand(sources: &Sources, files: &[File]) -> Result<Understood, Vec<Diagnostic>> {
    let decls = Decls::of(&files.iter().collect::<Vec<_>>())?;
    let mut errors = titles(&files[0]);
    if decls.threads.is_empty() {
        let at = Span { text: 0, start: 0, end: 0 };
        errors.push(Diagnostic::error("a model without threads").at(at, "").help("say what runs: `thread guest { … }`"));
    }
    for allowed in decls.allow.iter().filter(|word| !["deadlock", "livelock"].contains(&word.text.as_str())) {
        errors.push(
            Diagnostic::error(format!("`{}` cannot be allowed", allowed.text)).at(allowed.span, "`deadlock` or `livelock`"),
        );
    }
    let mut declared: Vec<&str> = Vec::new();
    for name in decls.ops.iter().flat_map(|op| &op.orderings).flat_map(|(names, _)| names) {
        if !declared.contains(&name.text.as_str()) {
            declared.push(&name.text);
            if declared.len() > MOST_ORDERINGS {
                return Err(vec![Diagnostic::error(format!("more than {MOST_ORDERINGS} orderings")).at(name.span, "too many")]);
            }
        }
    }
    for op in &decls.ops {
        for (at, name) in op.orderings.iter().flat_map(|(names, _)| names).enumerate() {
            let earlier = op.orderings.iter().flat_map(|(names, _)| names).take(at);
            if let Some(first) = earlier.into_iter().find(|first| first.text == name.text) {
                let what = format!("`{}` is defined twice for the ordering `{}`", op.name.text, name.text);
                errors.push(Diagnostic::error(what).at(name.span, "again here").also(first.span, "first here"));
            }
        }
    }
    let mut expectations = Vec::new();
    for said in files[0].items.iter().filter_map(|item| if let ItemKind::Expect(said) = &item.kind { Some(said) } else { None }) {
        for said in said {
            if errors.len() >= MOST_ERRORS {
                return Err(errors);
            }
            match expectation(&decls, sources, said, &declared) {
                Ok(expectation) => note(&mut expectations, expectation, &mut errors),
                Err(error) => errors.push(error),
            }
        }
    }
    // What is expected comes in the order of its lines, what nobody expects anything of comes last.
    let mut orderings: Vec<String> = Vec::new();
    for name in expectations.iter().map(|said| said.variant.as_str()).chain(declared.iter().copied()) {
        let only = declared.is_empty();
        if !only && !orderings.iter().any(|known| known == name) {
            orderings.push(name.to_owned());
        }
    }
    let variants: Vec<Option<&str>> =
        if orderings.is_empty() { vec![None] } else { orderings.iter().map(|name| Some(name.as_str())).collect() };
    for variant in variants {
        if errors.len() >= MOST_ERRORS {
            break;
        }
        if let Err(found) = Unit::pass(&decls, sources, variant, MemoryModel::Sc, None) {
            // What is wrong in all variants is said once.
            errors.extend(found.0.into_iter().filter(|error| !errors.contains(error)).collect::<Vec<_>>());
        }
    }
    errors.truncate(MOST_ERRORS);
    if errors.is_empty() { Ok((orderings, expectations)) } else { Err(errors) }
}

/// `model` comes first, and each of `model`, `source` and `year` once.
fn titles(file: &File) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let mut seen: Vec<(&str, Span)> = Vec::new();
    for (at, item) in file.items.iter().enumerate() {
        let word = match &item.kind {
            ItemKind::Model(_) => "model",
            ItemKind::Source(_) => "source",
            ItemKind::Year(_) => "year",
            _ => continue,
        };
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == word) {
            let error = Diagnostic::error(format!("`{word}` is said twice"));
            errors.push(error.at(item.span, "again here").also(*first, "first here"));
        } else if word == "model" && at > 0 {
            errors.push(Diagnostic::error("`model` is not the first item").at(item.span, "belongs to the top"));
        }
        seen.push((word, item.span));
    }
    errors
}
