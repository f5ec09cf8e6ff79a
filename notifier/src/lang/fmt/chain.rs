//! Statements with several blocks: `if` with all that follow by `else`, and `choose`.

use super::{expr::expr, page::Page, stmt::else_if};
use crate::lang::{
    Span,
    ast::{Block, Expr, Stmt, StmtKind},
};

/// One block of several.
struct Link<'a> {
    /// The words before it.
    words: &'static str,
    condition: Option<&'a Expr>,
    block: &'a Block,
}

/// The blocks of a statement that may have several, in order.
fn links(first: &Stmt) -> Vec<Link<'_>> {
    if let StmtKind::Choose(blocks) = &first.kind {
        let words = ["choose "].into_iter().chain(std::iter::repeat("or "));
        return words.zip(blocks).map(|(words, block)| Link { words, condition: None, block }).collect();
    }
    let mut links = Vec::new();
    let mut next = Some(first);
    while let Some(StmtKind::If { condition, then, otherwise }) = next.take().map(|stmt| &stmt.kind) {
        let words = if links.is_empty() { "if " } else { "else if " };
        links.push(Link { words, condition: Some(condition), block: then });
        if let Some(block) = otherwise {
            next = else_if(block);
            if next.is_none() {
                links.push(Link { words: "else ", condition: None, block });
            }
        }
    }
    links
}

/// What stands between two blocks, with the words before the second.
fn between(above: &Block, block: &Block) -> Span {
    Span { start: above.span.end, end: block.span.start, ..block.span }
}

impl Page<'_> {
    /// No block of the statement begins on a line of its own.
    pub(super) fn in_a_row(&self, stmt: &Stmt) -> bool {
        links(stmt).windows(2).all(|pair| self.one_line(between(pair[0].block, pair[1].block)))
    }

    /// A statement with several blocks. Those that were written on one line stay so where they fit; comments between two blocks go
    /// into the later one.
    pub(super) fn chain(&mut self, label: &str, stmt: &Stmt) {
        let links = links(stmt);
        // What stands on the last line, which is not printed yet, and where the statement begins, until that is printed.
        let mut line = label.to_owned();
        let mut start = Some(stmt.span.start);
        if let Some(first) = links.first() {
            self.comments_before(first.block.span.start);
        }
        for (index, Link { words, condition, block }) in links.iter().enumerate() {
            let gap = index.checked_sub(1).map(|above| between(links[above].block, block));
            let open = gap.is_none() || line == "}";
            let below = !open && gap.is_some_and(|gap| !self.one_line(gap));
            let head = format!("{words}{}", condition.map_or(String::new(), |condition| expr(condition) + " "));
            let free = !gap.is_some_and(|gap| self.commented(gap)) && !self.commented(block.span);
            let own = Some(block).filter(|_| free).and_then(|block| self.inline_block(block)).map(|text| head + &text);
            let blank = if gap.is_some() { " " } else { "" };
            let joined = own.as_ref().map(|own| format!("{line}{blank}{own}")).filter(|text| !below && self.fits(text));
            match (joined, own.filter(|own| !open && self.fits(own))) {
                (Some(joined), _) => line = joined,
                (None, Some(own)) => {
                    self.print(&mut start, std::mem::replace(&mut line, own));
                }
                (None, None) => {
                    let mut head = format!("{line}{blank}{words}");
                    let whole = format!("{head}{}{{", condition.map_or(String::new(), |condition| expr(condition) + " "));
                    if !open && !self.fits(&whole) {
                        self.print(&mut start, line);
                        head = (*words).to_owned();
                    }
                    match condition {
                        Some(condition) => self.condition(start.take(), &head, condition, block),
                        None => {
                            self.print(&mut start, head + "{");
                            self.opened_block(block);
                        }
                    }
                    line = "}".to_owned();
                }
            }
        }
        self.print(&mut start, line);
        self.ended(stmt.span.end);
    }

    /// A line of a statement that begins at a place, unless that has its line already.
    fn print(&mut self, start: &mut Option<u32>, line: String) {
        match start.take() {
            Some(start) => self.line_from(start, line),
            None => self.line(line),
        }
    }
}
