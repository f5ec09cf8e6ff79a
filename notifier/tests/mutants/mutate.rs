//! Mutants of a model file: its text with one statement dropped, or with two neighbours in each other's place.

use nostale_notifier::lang::{
    Span,
    ast::{Block, File, ItemKind, Op, Stmt, StmtKind},
};

/// A model file that was tampered with.
pub(crate) struct Mutant {
    /// What was done to it, for whoever looks into a failure.
    pub(crate) what: String,
    pub(crate) text: String,
}

/// Every mutant of what one variant runs: its threads, and the definitions of operations that count in it.
pub(crate) fn mutants(text: &str, file: &File, variant: &str) -> Vec<Mutant> {
    let mut maker = Maker { text, made: Vec::new() };
    for item in &file.items {
        match &item.kind {
            ItemKind::Thread { body, .. } => maker.block(body),
            ItemKind::Op(op) => definition(op, variant).into_iter().for_each(|body| maker.block(body)),
            _ => {}
        }
    }
    maker.made
}

fn definition<'a>(op: &'a Op, variant: &str) -> Option<&'a Block> {
    let own = op.orderings.iter().find(|(names, _)| names.iter().any(|name| name.text == variant));
    own.map(|(_, body)| body).or(op.body.as_ref())
}

struct Maker<'t> {
    text: &'t str,
    made: Vec<Mutant>,
}

impl Maker<'_> {
    fn block(&mut self, block: &Block) {
        for stmt in &block.stmts {
            self.drop(stmt);
        }
        for pair in block.stmts.windows(2) {
            self.swap(pair[0].span, pair[1].span);
        }
        block.stmts.iter().for_each(|stmt| self.inside(stmt));
    }

    fn inside(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::If { then, otherwise, .. } => {
                self.block(then);
                otherwise.iter().for_each(|block| self.block(block));
            }
            StmtKind::Loop(body) | StmtKind::Atomic(body) => self.block(body),
            StmtKind::While { body, .. } | StmtKind::Repeat { body, .. } | StmtKind::For { body, .. } => self.block(body),
            StmtKind::Choose(blocks) => blocks.iter().for_each(|block| self.block(block)),
            StmtKind::Label(_, inner) => self.inside(inner),
            _ => {}
        }
    }

    /// Without a statement. What is jumped to stays: its label goes to what comes next.
    fn drop(&mut self, stmt: &Stmt) {
        if let StmtKind::Label(_, inner) = &stmt.kind {
            return self.drop(inner);
        }
        let before = &self.text[..stmt.span.start as usize];
        // The `if` of an `else if` is all that the `else` has.
        let instead = if before.trim_end().ends_with("else") { "{ }" } else { "" };
        self.make(format!("without `{}`", self.slice(stmt.span)), [before, instead, &self.text[stmt.span.end as usize..]]);
    }

    fn swap(&mut self, first: Span, second: Span) {
        let (a, b) = (self.slice(first), self.slice(second));
        if a != b {
            let between = &self.text[first.end as usize..second.start as usize];
            let swapped = [b, between, a].concat();
            self.make(
                format!("`{b}` before `{a}`"),
                [&self.text[..first.start as usize], &swapped, &self.text[second.end as usize..]],
            );
        }
    }

    fn slice(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    fn make(&mut self, what: String, parts: [&str; 3]) {
        let text = parts.concat();
        self.made.push(Mutant { what, text });
    }
}
