//! The step language: text to a compiled [`Model`](crate::model::Model).

mod actions;
mod as_in_c;
pub mod ast;
mod diagnostic;
mod fmt;
pub(crate) mod habits;
mod items;
mod lines;
mod nesting;
mod parse;
mod source;
mod syntax;
mod token;

lalrpop_util::lalrpop_mod!(
    #[allow(clippy::all, clippy::pedantic, clippy::unwrap_used, unreachable_pub, rust_2018_idioms, unused, reason = "generated")]
    grammar,
    "/lang/grammar.rs"
);

pub use ast::Span;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use fmt::format;
pub use parse::parse;
pub use source::{Source, Sources};
pub use token::{ITEM_WORDS, STATEMENT_WORDS};
