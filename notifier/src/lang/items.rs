//! Cuts the words of a text into items, and finds the brackets that have no partner.
//!
//! It is done before parsing, because a missing `}` would otherwise be found at the end of the text, far from its place.

use super::{
    Diagnostic, Sources,
    ast::Span,
    token::{Placed, Token},
};

/// The words of one item.
#[derive(Debug)]
pub(crate) struct Chunk<'a, 't> {
    pub(crate) tokens: &'a [Placed<'t>],
    /// Brackets without a partner: parsing it would only repeat that in other words.
    pub(crate) unbalanced: Vec<Diagnostic>,
}

/// The items of text number `text`.
pub(crate) fn split<'a, 't>(tokens: &'a [Placed<'t>], sources: &Sources, text: u16) -> Vec<Chunk<'a, 't>> {
    let mut chunks = Vec::new();
    let mut first = 0;
    let mut brackets = Brackets { text, sources, open: Vec::new(), unbalanced: Vec::new(), suspect: None };
    for (index, placed) in tokens.iter().enumerate() {
        match placed.token {
            Token::LBrace | Token::LParen | Token::LBracket => brackets.open.push(*placed),
            Token::RBrace | Token::RParen | Token::RBracket => brackets.close(*placed),
            Token::Sep if brackets.open.is_empty() => {
                chunks.push(Chunk { tokens: &tokens[first..index], unbalanced: brackets.findings(None) });
                first = index + 1;
            }
            // No such word stands inside an item, so the one before is not complete.
            token if token.begins_item() && index > first && brackets.starts_line(&tokens[..index], placed) => {
                chunks.push(Chunk { tokens: &tokens[first..index], unbalanced: brackets.findings(Some(*placed)) });
                first = index;
            }
            _ => {}
        }
    }
    if first < tokens.len() {
        chunks.push(Chunk { tokens: &tokens[first..], unbalanced: brackets.findings(None) });
    }
    chunks
}

/// The brackets of one item.
struct Brackets<'a, 't> {
    text: u16,
    sources: &'a Sources,
    open: Vec<Placed<'t>>,
    unbalanced: Vec<Diagnostic>,
    /// The first `{` and `}` that belong together, although their lines are not indented alike.
    suspect: Option<(Placed<'t>, Placed<'t>)>,
}

impl<'t> Brackets<'_, 't> {
    /// A word is the first of its line, or of its statement.
    fn starts_line(&self, before: &[Placed<'_>], word: &Placed<'_>) -> bool {
        before.last().is_none_or(|last| {
            let between = Span { text: self.text, start: last.end, end: word.start };
            matches!(last.token, Token::Sep | Token::LBrace | Token::RBrace) || self.sources.slice(between).contains('\n')
        })
    }

    /// What is wrong in the item that ends here, before the word of another item if one begins too early.
    fn findings(&mut self, next: Option<Placed<'t>>) -> Vec<Diagnostic> {
        let suspect = self.suspect.take();
        let innermost = self.open.pop();
        self.open.clear();
        if let Some(bracket) = innermost {
            let mut finding = self.never_closed(bracket);
            if let Some((opening, closing)) = suspect.filter(|_| bracket.token == Token::LBrace) {
                let line = self.sources.line(opening.span(self.text));
                let label = format!("this closes the block of line {line}, though its line is not indented like that one");
                finding = finding.also(closing.span(self.text), label);
            }
            if let Some(next) = next {
                finding = finding.also(next.span(self.text), "an item begins here, which cannot stand inside another");
            }
            self.unbalanced.push(finding);
        }
        std::mem::take(&mut self.unbalanced)
    }

    /// Closes the bracket that a closing one belongs to; a `}` also those that were forgotten inside its block.
    fn close(&mut self, closing: Placed<'t>) {
        let partner = match closing.token {
            Token::RBrace => Token::LBrace,
            Token::RParen => Token::LParen,
            _ => Token::LBracket,
        };
        if self.open.last().is_some_and(|bracket| bracket.token == partner) {
            let opening = self.open.pop();
            if closing.token == Token::RBrace && self.suspect.is_none() {
                self.suspect = opening.filter(|opening| self.odd(*opening, closing)).map(|opening| (opening, closing));
            }
        } else if closing.token == Token::RBrace && self.open.iter().any(|bracket| bracket.token == partner) {
            while let Some(bracket) = self.open.pop().filter(|bracket| bracket.token != partner) {
                let finding = self.never_closed(bracket);
                self.unbalanced.push(finding);
            }
        } else {
            let mut stray = Diagnostic::error(format!("a `{}` too many", shown(closing.token)));
            stray = stray.at(closing.span(self.text), format!("there is no `{}` that it closes", shown(partner)));
            if let Some(bracket) = self.open.last() {
                stray = stray.also(bracket.span(self.text), format!("this `{}` is still open", shown(bracket.token)));
            }
            self.unbalanced.push(stray);
        }
    }

    fn never_closed(&self, bracket: Placed<'_>) -> Diagnostic {
        let which = shown(bracket.token);
        Diagnostic::error(format!("a `{which}` that is never closed")).at(bracket.span(self.text), "opened here")
    }

    /// Two braces on lines that are not indented alike.
    fn odd(&self, opening: Placed<'_>, closing: Placed<'_>) -> bool {
        let [opening, closing] = [opening, closing].map(|brace| {
            let before = self.sources.slice(Span { text: self.text, start: 0, end: brace.start });
            let line = before.rsplit('\n').next().unwrap_or_default();
            (before.len() - line.len(), line.len() - line.trim_start().len())
        });
        opening.0 != closing.0 && opening.1 != closing.1
    }
}

fn shown(bracket: Token<'_>) -> &'static str {
    match bracket {
        Token::LBrace => "{",
        Token::RBrace => "}",
        Token::LParen => "(",
        Token::RParen => ")",
        Token::LBracket => "[",
        _ => "]",
    }
}
