//! What a file expects of its orderings.

use super::{DEFAULT, MemoryModel, decl::Decls, unit::Result};
use crate::{
    lang::{
        Diagnostic, Sources, Span,
        ast::{self, Expected, Name},
    },
    near::near,
};

/// One expectation, understood.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    pub(super) variant: String,
    pub(super) memory: Option<MemoryModel>,
    pub(super) expected: Expected,
    pub(super) message: Option<String>,
    at: Span,
}

/// Understands an expectation; `declared` are the orderings of the file.
pub(super) fn expectation(
    decls: &Decls<'_>,
    sources: &Sources,
    said: &ast::Expectation,
    declared: &[&str],
) -> Result<Expectation> {
    let variant = match &said.ordering {
        // The definitions that belong to no ordering are one, too.
        Some(name) if declared.contains(&name.text.as_str()) || name.text == DEFAULT => name.text.clone(),
        Some(name) => {
            let error =
                Diagnostic::error(format!("no ordering is called `{}`", name.text)).at(name.span, "nothing is defined for it");
            return Err(match near(&name.text, declared.iter().copied()) {
                Some(close) => error.help(format!("did you mean `{close}`?")),
                None if declared.is_empty() => error.help("this file has no orderings: `expect holds`"),
                None => error.help(format!("the orderings are {}", declared.join(", "))),
            });
        }
        None if declared.is_empty() => DEFAULT.to_owned(),
        None => {
            return Err(Diagnostic::error("of which ordering?")
                .at(said.span, "not said")
                .help(format!("the orderings are {}", declared.join(", "))));
        }
    };
    let memory = match &said.memory_model {
        None => None,
        Some(name) => match MemoryModel::ALL.into_iter().find(|model| model.name() == name.text) {
            Some(model) => Some(model),
            None => {
                return Err(Diagnostic::error(format!("no memory model is called `{}`", name.text))
                    .at(name.span, "not known")
                    .help("sc, tso or weak"));
            }
        },
    };
    if let Some(message) = &said.message {
        known_message(decls, sources, message, said.verdict)?;
    }
    let message = said.message.as_ref().map(|message| message.text.clone());
    Ok(Expectation { variant, memory, expected: said.verdict, message, at: said.span })
}

/// A message that is expected has to be one that can come.
fn known_message(decls: &Decls<'_>, sources: &Sources, message: &Name, verdict: Expected) -> Result<()> {
    if verdict != Expected::Fails {
        return Err(Diagnostic::error("only what fails has a message").at(message.span, "nothing fails here"));
    }
    // Messages of `assert` are inside of operations and threads, and those of the checker's own are not in the text at all: only
    // a message that is nearly one of a property is certainly a mistake.
    let known = decls.properties.iter().filter_map(|property| property.message);
    if known.clone().any(|known| known == message.text) {
        return Ok(());
    }
    let quoted = format!("\"{}\"", message.text);
    let elsewhere = sources.get(message.span.text).is_some_and(|source| source.text.matches(&quoted).count() > 1);
    match near(&message.text, known) {
        Some(close) if !elsewhere => Err(Diagnostic::error("no property says that")
            .at(message.span, "expected here")
            .help(format!("did you mean \"{close}\"?"))),
        _ => Ok(()),
    }
}

/// Adds an expectation, unless there is one for the same case.
pub(super) fn note(known: &mut Vec<Expectation>, new: Expectation, errors: &mut Vec<Diagnostic>) {
    if let Some(first) = known.iter().find(|said| said.variant == new.variant && said.memory == new.memory) {
        let contradiction = first.expected != new.expected || first.message != new.message;
        let what = if contradiction { "contradictory expectations" } else { "the same expectation twice" };
        errors.push(Diagnostic::error(what).at(new.at, "again here").also(first.at, "first here"));
    } else {
        known.push(new);
    }
}
