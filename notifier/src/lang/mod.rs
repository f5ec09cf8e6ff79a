//! The step language: text to a compiled [`Model`](crate::model::Model).

pub mod ast;

pub use ast::Span;
