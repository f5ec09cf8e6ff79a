//! What is said about a name that is not declared: what it is elsewhere, and what may have been meant.

use super::{decl::Def, library};
use crate::{
    lang::{Diagnostic, ast::Name, habits},
    near::near,
};

/// Nothing of that kind has that name at the top level.
pub(super) fn unknown<'n>(what: &str, name: &Name, found: Option<Def>, known: impl IntoIterator<Item = &'n str>) -> Diagnostic {
    if let Some(found) = found {
        return is_no(what, name, found.what());
    }
    let error = not_declared(what, name);
    suggest(&name.text, known).into_iter().fold(error, Diagnostic::help)
}

/// The same for what is not at the top level: a field, a value, a local variable of something.
pub(super) fn unknown_in<'n>(
    what: &str,
    name: &Name,
    found: Option<Def>,
    known: impl IntoIterator<Item = &'n str>,
) -> Diagnostic {
    match found {
        Some(found) => is_no(what, name, found.what()),
        None => nearly(&name.text, known).into_iter().fold(not_declared(what, name), Diagnostic::help),
    }
}

/// A name that stands for something else.
pub(super) fn is_no(what: &str, name: &Name, found: &str) -> Diagnostic {
    Diagnostic::error(format!("`{}` is no {what}", name.text)).at(name.span, format!("this is {found}"))
}

/// What can be done about a name that is not declared: a habit from C, a library text, a near miss.
pub(super) fn suggest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    if let Some(habit) = habits::instead(name).or_else(|| habits::declaration(name)) {
        return Some(habit.to_owned());
    }
    match (library::declaring(name), nearly(name, known)) {
        (Some(text), Some(nearly)) => Some(format!("`use {text}` declares it; or {nearly}")),
        (Some(text), None) => Some(format!("`use {text}` declares it")),
        (None, nearly) => nearly,
    }
}

fn nearly<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    near(name, known).map(|close| format!("did you mean `{close}`?"))
}

fn not_declared(what: &str, name: &Name) -> Diagnostic {
    Diagnostic::error(format!("no {what} is called `{}`", name.text)).at(name.span, "not declared")
}
