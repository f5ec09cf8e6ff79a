//! Lines, blank lines and comments.

use super::{WIDTH, columns::columns};
use crate::lang::{Span, lines::Comment};

/// What is printed so far.
pub(super) struct Page<'s> {
    source: &'s str,
    /// Comments that have no place yet; None for those that have one.
    comments: Vec<Option<Comment<'s>>>,
    starts: Vec<u32>,
    /// All before it have their place.
    next: usize,
    lines: Vec<Line<'s>>,
    indent: usize,
    /// Up to where the source is printed.
    printed: u32,
    /// Nothing stands in the block yet.
    fresh: bool,
}

/// One line of the new text.
pub(super) struct Line<'s> {
    pub(super) indent: usize,
    pub(super) text: String,
    /// The comment behind it, and the column in which that stood.
    pub(super) comment: Option<(&'s str, usize)>,
    pub(super) blank_before: bool,
}

impl Line<'_> {
    /// Columns that it takes without its comment.
    pub(super) fn width(&self) -> usize {
        self.indent * 4 + self.text.chars().count()
    }
}

impl<'s> Page<'s> {
    pub(super) fn new(source: &'s str, comments: &[Comment<'s>]) -> Self {
        let starts = comments.iter().map(|comment| comment.start).collect();
        let comments = comments.iter().copied().map(Some).collect();
        Self { source, comments, starts, next: 0, lines: Vec::new(), indent: 0, printed: 0, fresh: true }
    }

    /// The source from one place to another.
    fn source(&self, start: u32, end: u32) -> &'s str {
        self.source.get(start as usize..end as usize).unwrap_or_default()
    }

    /// It was written on one line.
    pub(super) fn one_line(&self, span: Span) -> bool {
        !self.source(span.start, span.end).contains('\n')
    }

    /// The column of a place of the source.
    pub(super) fn column(&self, at: u32) -> usize {
        self.source(0, at).chars().rev().take_while(|&c| c != '\n').count()
    }

    /// A comment stands in it.
    pub(super) fn commented(&self, span: Span) -> bool {
        let first = self.starts.partition_point(|&start| start < span.start);
        self.starts.get(first).is_some_and(|&start| start < span.end)
    }

    /// One past the `{` that follows a place, with nothing but words and comments in between.
    pub(super) fn after_brace(&self, from: u32) -> u32 {
        let mut comment = false;
        for (offset, byte) in (from..).zip(self.source.as_bytes().iter().skip(from as usize)) {
            match byte {
                b'#' => comment = true,
                b'\n' => comment = false,
                b'{' if !comment => return offset + 1,
                _ => {}
            }
        }
        from
    }

    /// A text fits into a line at this depth.
    pub(super) fn fits(&self, text: &str) -> bool {
        self.indent * 4 + text.chars().count() <= WIDTH
    }

    /// Gives their own lines to all comments up to a place.
    pub(super) fn comments_before(&mut self, end: u32) {
        while self.starts.get(self.next).is_some_and(|&start| start < end) {
            if let Some(comment) = self.comments[self.next].take() {
                self.line_from(comment.start, comment.text.to_owned());
                self.printed = self.printed.max(comment.start + length(comment.text));
            }
            self.next += 1;
        }
    }

    /// A line for what stands at a place of the source, with the blank line before it, if there was one.
    pub(super) fn line_from(&mut self, start: u32, text: String) {
        let mut between = self.source(self.printed.min(start), start).split('\n').skip(1).peekable();
        let mut blank_before = false;
        while let Some(line) = between.next() {
            blank_before |= between.peek().is_some() && line.trim().is_empty();
        }
        self.lines.push(Line { indent: self.indent, text, comment: None, blank_before: blank_before && !self.fresh });
        self.fresh = false;
    }

    /// A line that belongs to what is before it.
    pub(super) fn line(&mut self, text: String) {
        self.lines.push(Line { indent: self.indent, text, comment: None, blank_before: false });
        self.fresh = false;
    }

    /// What ended at a place is printed: the comment behind it goes behind the last line.
    pub(super) fn ended(&mut self, end: u32) {
        self.printed = end;
        let mut index = self.starts.partition_point(|&start| start < end);
        while self.comments.get(index).is_some_and(Option::is_none) {
            index += 1;
        }
        let Some(Some(comment)) = self.comments.get(index).copied() else { return };
        let column = self.column(comment.start);
        let close = self.source(end, comment.start).chars().all(|c| " \t\r,;()".contains(c));
        let Some(line) = self.lines.last_mut().filter(|line| close && !comment.own_line && line.comment.is_none()) else {
            return;
        };
        line.comment = Some((comment.text, column));
        self.comments[index] = None;
        self.printed = comment.start + length(comment.text);
    }

    /// Prints what belongs inside something, one step to the right.
    pub(super) fn inside(&mut self, print: impl FnOnce(&mut Self)) {
        self.indent += 1;
        print(self);
        self.indent -= 1;
    }

    /// Prints what belongs one step to the left.
    pub(super) fn outside(&mut self, print: impl FnOnce(&mut Self)) {
        let indent = self.indent;
        self.indent = indent.saturating_sub(1);
        print(self);
        self.indent = indent;
    }

    /// Nothing stands in the block yet: it begins without a blank line.
    pub(super) fn opened(&mut self, end: u32) {
        self.ended(end);
        self.fresh = true;
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        let mut text = String::new();
        for (line, column) in self.lines.iter().zip(columns(&self.lines)) {
            if line.blank_before {
                text.push('\n');
            }
            text += &" ".repeat(line.indent * 4);
            text += &line.text;
            if let Some((comment, _)) = line.comment {
                text += &" ".repeat(column.saturating_sub(line.width()));
                text += comment;
            }
            text.push('\n');
        }
        text
    }
}

fn length(comment: &str) -> u32 {
    u32::try_from(comment.len()).unwrap_or(u32::MAX)
}
