//! What the grammar does besides building the tree.

use super::{
    Diagnostic,
    ast::{Block, Expr, ExprKind, Name, Span, Stmt, StmtKind, Type, TypeKind},
    token::Token,
};
use lalrpop_util::ErrorRecovery;
use std::convert::Infallible;

/// What is wrong in the statements of an item.
#[derive(Debug, Default)]
pub(crate) struct Broken<'t> {
    /// Where the parser stopped, left out words, and went on.
    pub(crate) recovered: Vec<ErrorRecovery<u32, Token<'t>, Infallible>>,
    /// Well-formed, but not a statement.
    pub(crate) problems: Vec<Diagnostic>,
}

impl Type {
    /// A type that is written as one word, or that a word stands for.
    pub(crate) fn named(name: &str, span: Span) -> Self {
        Self { span, kind: TypeKind::Named(Name { text: name.to_owned(), span }) }
    }
}

/// A statement that is a place and nothing more: a call, or a mistake.
pub(crate) fn call_or_value(place: Expr, broken: &mut Broken<'_>) -> Option<StmtKind> {
    match place.kind {
        ExprKind::Name(text) => Some(StmtKind::Call { name: Name { text, span: place.span }, args: Vec::new(), parens: false }),
        ExprKind::Call(name, args) => Some(StmtKind::Call { name, args, parens: true }),
        _ => {
            let problem = Diagnostic::error("a value that nothing is done with").at(place.span, "this is not a statement");
            broken.problems.push(problem.help("`x.pte = B` writes it, `let old = x.pte` reads it"));
            None
        }
    }
}

/// The `else` block of an `else if`.
pub(crate) fn else_if(kind: StmtKind, span: Span) -> Block {
    Block { span, stmts: vec![Stmt { span, kind }] }
}
