//! Operations and their orderings.

use super::{
    expr::{list, name, ty},
    page::Page,
};
use crate::lang::{
    Span,
    ast::{Block, Name, Op},
};
use std::collections::BTreeMap;

/// One ordering: its names and its definition.
type Ordering = (Vec<Name>, Block);

impl Page<'_> {
    pub(super) fn op(&mut self, span: Span, op: &Op) {
        let result = op.result.as_ref().map_or(String::new(), |result| format!(": {}", ty(result)));
        let head = format!("op {}({}){result}", op.name.text, list(&op.params, name));
        if let Some(line) = self.whole(span, &head, op) {
            self.line_from(span.start, line);
            return self.ended(span.end);
        }
        match &op.body {
            Some(body) => self.with_block(span.start, &head, body),
            None => {
                let last = op.params.last().unwrap_or(&op.name).span.end;
                let last = op.result.as_ref().map_or(last, |result| result.span.end);
                self.comments_before(last);
                self.line_from(span.start, head);
                self.ended(last);
            }
        }
        self.inside(|page| {
            for (head, (names, body)) in page.heads(&op.orderings).into_iter().zip(&op.orderings) {
                let start = names.first().map_or(body.span.start, |name| name.span.start);
                page.comments_before(start);
                page.with_block(start, &head, body);
            }
        });
    }

    /// An operation with all its orderings on one line, if it was written so.
    fn whole(&self, span: Span, head: &str, op: &Op) -> Option<String> {
        let mut line = head.to_owned();
        if let Some(block) = &op.body {
            line += &format!(" {}", self.inline_block(block)?);
        }
        for (names, block) in &op.orderings {
            line += &format!(" {} {}", plain(names), self.inline_block(block)?);
        }
        Some(line).filter(|line| self.one_line(span) && !self.commented(span) && self.fits(line))
    }

    /// What stands before the braces of orderings: with blanks, where these braces were below each other.
    fn heads(&self, orderings: &[Ordering]) -> Vec<String> {
        let mut heads: Vec<String> = orderings.iter().map(|(names, _)| plain(names)).collect();
        let mut lined_up: BTreeMap<usize, Vec<(usize, String)>> = BTreeMap::new();
        for (index, (_, block)) in orderings.iter().enumerate().filter(|(_, (_, block))| !self.commented(block.span)) {
            if let Some(text) = self.inline_block(block) {
                lined_up.entry(self.column(block.span.start)).or_default().push((index, text));
            }
        }
        for mut group in lined_up.into_values() {
            // What is too long for the common column is left out, and with it the width that only it asked for.
            loop {
                let width = group.iter().map(|&(index, _)| heads[index].chars().count()).max().unwrap_or_default();
                let all = group.len();
                group.retain(|(index, text)| self.fits(&format!("{:<width$} {text}", heads[*index])));
                if group.len() == all {
                    group.iter().for_each(|&(index, _)| heads[index] = format!("{:<width$}", heads[index]));
                    break;
                }
            }
        }
        heads
    }
}

fn plain(names: &[Name]) -> String {
    format!("ordering {}", list(names, name))
}
