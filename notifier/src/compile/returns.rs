//! Whether an operation that returns a value can end without one.

use crate::lang::ast::{Block, Stmt, StmtKind};

/// Control never leaves the block at its end.
pub(super) fn never_ends(block: &Block) -> bool {
    block.stmts.iter().any(leaves)
}

/// Control never goes on behind the statement.
fn leaves(stmt: &Stmt) -> bool {
    match &stmt.kind {
        StmtKind::Return(_) | StmtKind::Goto(_) | StmtKind::Break | StmtKind::Continue => true,
        StmtKind::If { then, otherwise, .. } => never_ends(then) && otherwise.as_ref().is_some_and(never_ends),
        StmtKind::Choose(blocks) => blocks.iter().all(never_ends),
        StmtKind::Atomic(block) => never_ends(block),
        StmtKind::Loop(body) => !breaks(body),
        StmtKind::Label(_, inner) => leaves(inner),
        _ => false,
    }
}

/// A `break` of this loop, not of one inside it.
fn breaks(block: &Block) -> bool {
    block.stmts.iter().any(breaking)
}

fn breaking(stmt: &Stmt) -> bool {
    match &stmt.kind {
        StmtKind::Break => true,
        StmtKind::If { then, otherwise, .. } => breaks(then) || otherwise.as_ref().is_some_and(breaks),
        StmtKind::Choose(blocks) => blocks.iter().any(breaks),
        StmtKind::Atomic(block) => breaks(block),
        StmtKind::Label(_, inner) => breaking(inner),
        _ => false,
    }
}
