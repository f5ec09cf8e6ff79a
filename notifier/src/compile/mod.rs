//! From the syntax tree to a compiled [`Model`](crate::model::Model): names and types, operations expanded for one ordering, and the
//! control flow of each thread folded into atomic steps.

mod assign;
mod builtin;
mod constant;
mod control;
mod decl;
mod expectation;
mod expr;
mod flow;
mod fold;
mod initial;
mod library;
mod limits;
mod memory;
mod operand;
mod pass;
mod program;
mod returns;
mod scope;
mod stmt;
mod storage;
mod ty;
mod unit;
mod unknown;

pub use memory::{BUFFERED, MemoryModel};
pub use program::{Case, DEFAULT, Program, Rejected};
