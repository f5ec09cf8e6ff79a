//! Statements: on one line where they were written so, otherwise with their blocks opened.

use super::{
    expr::{broken, domain, expr, init, list, ty},
    page::Page,
};
use crate::lang::{
    Span,
    ast::{AssignOp, Block, Expr, Name, Stmt, StmtKind},
};

impl Page<'_> {
    /// The statements of a block, without its braces.
    fn stmts(&mut self, block: &Block) {
        self.inside(|page| {
            let on_a_line = |a: &Stmt, b: &Stmt| page.one_line(Span { end: b.span.end, ..a.span });
            let lines: Vec<&[Stmt]> = block.stmts.chunk_by(on_a_line).collect();
            for stmts in lines {
                if !page.side_by_side(stmts) {
                    stmts.iter().for_each(|stmt| page.stmt("", stmt));
                }
            }
            page.comments_before(block.span.end.saturating_sub(1));
        });
    }

    /// Statements that were written on one line, if they can stay there: several, and without blocks.
    fn side_by_side(&mut self, stmts: &[Stmt]) -> bool {
        let [first, .., last] = stmts else { return false };
        let span = Span { end: last.span.end, ..first.span };
        let simple = stmts.iter().all(|stmt| head_end(stmt) == stmt.span.end) && !self.commented(span);
        let texts: Option<Vec<String>> = stmts.iter().map(|stmt| self.inline(stmt)).collect();
        let Some(line) = texts.map(|texts| texts.join("; ")).filter(|line| simple && self.fits(line)) else { return false };
        self.comments_before(span.start);
        self.line_from(span.start, line);
        self.ended(span.end);
        true
    }

    /// A block whose `{` is printed. The closing brace is left to what follows.
    pub(super) fn opened_block(&mut self, block: &Block) {
        self.opened(block.span.start + 1);
        self.stmts(block);
    }

    /// The last closing brace of a statement.
    fn close(&mut self, end: u32) {
        self.line("}".to_owned());
        self.ended(end);
    }

    /// What stands before a block, and the block, on one line if it can be.
    pub(super) fn with_block(&mut self, start: u32, head: &str, block: &Block) {
        self.comments_before(block.span.start);
        let inline = Some(block).filter(|block| !self.commented(block.span)).and_then(|block| self.inline_block(block));
        if let Some(line) = inline.map(|inline| format!("{head} {inline}")).filter(|line| self.fits(line)) {
            self.line_from(start, line);
            self.ended(block.span.end);
        } else {
            self.line_from(start, format!("{head} {{"));
            self.opened_block(block);
            self.close(block.span.end);
        }
    }

    fn stmt(&mut self, label: &str, stmt: &Stmt) {
        let start = stmt.span.start;
        let head = head_end(stmt);
        if !self.commented(Span { start: head, ..stmt.span }) {
            let line = self.inline(stmt).map(|text| label.to_owned() + &text);
            if let Some(line) = line.filter(|line| self.fits(line)) {
                self.comments_before(head);
                self.line_from(start, line);
                self.ended(stmt.span.end);
                return;
            }
        }
        match &stmt.kind {
            StmtKind::Label(name, stmt) if !self.one_line(Span { end: stmt.span.start, ..name.span }) => {
                self.label(start, format!("{label}{}:", name.text), stmt);
            }
            StmtKind::Label(name, stmt) => {
                self.comments_before(stmt.span.start);
                self.stmt(&format!("{label}{}: ", name.text), stmt);
            }
            StmtKind::If { .. } | StmtKind::Choose(_) => self.chain(label, stmt),
            StmtKind::While { condition, body } => {
                self.comments_before(body.span.start);
                self.condition(Some(start), &format!("{label}while "), condition, body);
                self.close(stmt.span.end);
            }
            StmtKind::Loop(body) => self.with_block(start, &format!("{label}loop"), body),
            StmtKind::Atomic(body) => self.with_block(start, &format!("{label}atomic"), body),
            StmtKind::Repeat { times, body } => self.with_block(start, &format!("{label}repeat {}", expr(times)), body),
            StmtKind::For { name, domain: of, body } => {
                self.with_block(start, &format!("{label}for {} in {}", name.text, domain(of)), body);
            }
            StmtKind::Wait(condition) => self.long(stmt.span.end, start, &format!("{label}wait "), condition, None),
            StmtKind::Assert { condition, message } => {
                self.long(stmt.span.end, start, &format!("{label}assert "), condition, message.as_ref());
            }
            _ => {
                self.comments_before(stmt.span.end);
                self.line_from(start, label.to_owned() + &self.inline(stmt).unwrap_or_default());
                self.ended(stmt.span.end);
            }
        }
    }

    /// A label on its own line, one step to the left as in C.
    fn label(&mut self, start: u32, label: String, stmt: &Stmt) {
        self.comments_before(stmt.span.start);
        self.outside(|page| page.line_from(start, label));
        self.ended(stmt.span.start);
        self.stmt("", stmt);
    }

    /// What has a condition before its block, which is opened. Without a start, it goes on with the statement before.
    pub(super) fn condition(&mut self, start: Option<u32>, head: &str, condition: &Expr, body: &Block) {
        let line = format!("{head}{} {{", expr(condition));
        let (first, others) = broken(condition);
        let whole = others.is_empty() || self.fits(&line);
        let line = if whole { line } else { format!("{head}{first}") };
        match start {
            Some(start) => self.line_from(start, line),
            None => self.line(line),
        }
        if !whole {
            self.inside(|page| others.into_iter().for_each(|line| page.line(line)));
            self.line("{".to_owned());
        }
        self.opened_block(body);
    }

    /// A message was written on a line of its own.
    fn apart(&self, condition: &Expr, message: &Name) -> bool {
        !self.one_line(Span { end: message.span.start, start: condition.span.end, ..condition.span })
    }

    /// A condition with a message, on as many lines as it needs.
    pub(super) fn long(&mut self, end: u32, start: u32, head: &str, condition: &Expr, message: Option<&Name>) {
        self.comments_before(end);
        let apart = message.is_some_and(|message| self.apart(condition, message));
        let message = message.map(|message| format!("\"{}\"", message.text));
        let line = head.to_owned() + &expr(condition);
        let with_message = message.as_ref().map_or(line.clone(), |message| format!("{line} {message}"));
        if !apart && self.fits(&with_message) {
            self.line_from(start, with_message);
        } else {
            let (first, others) = if self.fits(&line) { (expr(condition), Vec::new()) } else { broken(condition) };
            self.line_from(start, head.to_owned() + &first);
            self.inside(|page| others.into_iter().chain(message).for_each(|line| page.line(line)));
        }
        self.ended(end);
    }

    /// A block on one line, if it was written so.
    pub(super) fn inline_block(&self, block: &Block) -> Option<String> {
        if block.stmts.is_empty() {
            return Some("{}".to_owned());
        }
        if !self.one_line(block.span) {
            return None;
        }
        let stmts: Option<Vec<String>> = block.stmts.iter().map(|stmt| self.inline(stmt)).collect();
        Some(format!("{{ {} }}", stmts?.join("; ")))
    }

    /// A statement on one line, if its blocks were written so.
    fn inline(&self, stmt: &Stmt) -> Option<String> {
        let block = |block| self.inline_block(block);
        Some(match &stmt.kind {
            StmtKind::Let { name, ty: of, value } => {
                let of = of.as_ref().map_or(String::new(), |of| format!(": {}", ty(of)));
                format!("let {}{of}{}", name.text, init(value.as_ref()))
            }
            StmtKind::Assign { place, how, value } => {
                let value = value.as_ref().map(expr).unwrap_or_default();
                let place = expr(place);
                match how {
                    AssignOp::Set => format!("{place} = {value}"),
                    AssignOp::Add => format!("{place} += {value}"),
                    AssignOp::Sub => format!("{place} -= {value}"),
                    AssignOp::Increment => format!("{place}++"),
                    AssignOp::Decrement => format!("{place}--"),
                }
            }
            StmtKind::Call { name, args, parens: true } => format!("{}({})", name.text, list(args, expr)),
            StmtKind::Call { name, args, parens: false } if args.is_empty() => name.text.clone(),
            StmtKind::Call { name, args, parens: false } => format!("{} {}", name.text, list(args, expr)),
            StmtKind::If { .. } | StmtKind::Choose(_) if !self.in_a_row(stmt) => return None,
            StmtKind::If { condition, then, otherwise } => {
                let otherwise = match otherwise {
                    None => String::new(),
                    Some(other) => format!(" else {}", else_if(other).map_or_else(|| block(other), |stmt| self.inline(stmt))?),
                };
                format!("if {} {}{otherwise}", expr(condition), block(then)?)
            }
            StmtKind::Loop(body) => format!("loop {}", block(body)?),
            StmtKind::While { condition, body } => format!("while {} {}", expr(condition), block(body)?),
            StmtKind::Repeat { times, body } => format!("repeat {} {}", expr(times), block(body)?),
            StmtKind::For { name, domain: of, body } => format!("for {} in {} {}", name.text, domain(of), block(body)?),
            StmtKind::Atomic(body) => format!("atomic {}", block(body)?),
            StmtKind::Choose(blocks) => {
                let blocks: Option<Vec<String>> = blocks.iter().map(block).collect();
                format!("choose {}", blocks?.join(" or "))
            }
            StmtKind::Wait(condition) => format!("wait {}", expr(condition)),
            StmtKind::Assert { condition, message: Some(message) } if self.apart(condition, message) => return None,
            StmtKind::Assert { condition, message } => {
                let message = message.as_ref().map_or(String::new(), |message| format!(" \"{}\"", message.text));
                format!("assert {}{message}", expr(condition))
            }
            StmtKind::Break => "break".to_owned(),
            StmtKind::Continue => "continue".to_owned(),
            StmtKind::Return(None) => "return".to_owned(),
            StmtKind::Return(Some(value)) => format!("return {}", expr(value)),
            StmtKind::Goto(label) => format!("goto {}", label.text),
            StmtKind::Label(label, stmt) if !self.one_line(Span { end: stmt.span.start, ..label.span }) => return None,
            StmtKind::Label(label, stmt) => format!("{}: {}", label.text, self.inline(stmt)?),
        })
    }
}

/// Where the first block of a statement begins, or the statement ends: comments up to there go before it.
fn head_end(stmt: &Stmt) -> u32 {
    match &stmt.kind {
        StmtKind::If { then: block, .. }
        | StmtKind::Loop(block)
        | StmtKind::Atomic(block)
        | StmtKind::While { body: block, .. }
        | StmtKind::Repeat { body: block, .. }
        | StmtKind::For { body: block, .. } => block.span.start,
        StmtKind::Choose(blocks) => blocks.first().map_or(stmt.span.end, |block| block.span.start),
        StmtKind::Label(_, stmt) => head_end(stmt),
        _ => stmt.span.end,
    }
}

/// The `if` of an `else if`.
pub(super) fn else_if(block: &Block) -> Option<&Stmt> {
    match &block.stmts[..] {
        [stmt] if stmt.span == block.span => Some(stmt),
        _ => None,
    }
}
