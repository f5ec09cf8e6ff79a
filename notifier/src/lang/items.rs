//! Cuts the words of a text into items, and finds the brackets that have no partner.
//!
//! It is done before parsing, because a missing `}` would otherwise be found at the end of the text, far from its place.

use super::{
    Diagnostic,
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
pub(crate) fn split<'a, 't>(tokens: &'a [Placed<'t>], text: u16) -> Vec<Chunk<'a, 't>> {
    let mut chunks = Vec::new();
    let (mut first, mut open, mut unbalanced) = (0, Vec::new(), Vec::new());
    for (index, placed) in tokens.iter().enumerate() {
        match placed.token {
            Token::LBrace | Token::LParen | Token::LBracket => open.push(placed),
            Token::RBrace | Token::RParen | Token::RBracket => close(placed, &mut open, &mut unbalanced, text),
            Token::Sep if open.is_empty() => {
                chunks.push(Chunk { tokens: &tokens[first..index], unbalanced: std::mem::take(&mut unbalanced) });
                first = index + 1;
            }
            token if token.begins_item() && index > first && starts_line(&tokens[..index]) && !open.is_empty() => {
                let unclosed = open.drain(..).next_back().map(|bracket| {
                    never_closed(bracket, text).also(placed.span(text), "an item begins here, which cannot stand inside another")
                });
                unbalanced.extend(unclosed);
                chunks.push(Chunk { tokens: &tokens[first..index], unbalanced: std::mem::take(&mut unbalanced) });
                first = index;
            }
            _ => {}
        }
    }
    unbalanced.extend(open.last().map(|bracket| never_closed(bracket, text)));
    if first < tokens.len() {
        chunks.push(Chunk { tokens: &tokens[first..], unbalanced });
    }
    chunks
}

fn starts_line(before: &[Placed<'_>]) -> bool {
    before.last().is_none_or(|last| matches!(last.token, Token::Sep | Token::LBrace | Token::RBrace))
}

/// Closes the bracket that a closing one belongs to; a `}` also those that were forgotten inside its block.
fn close<'a, 't>(closing: &Placed<'_>, open: &mut Vec<&'a Placed<'t>>, unbalanced: &mut Vec<Diagnostic>, text: u16) {
    let partner = match closing.token {
        Token::RBrace => Token::LBrace,
        Token::RParen => Token::LParen,
        _ => Token::LBracket,
    };
    if open.last().is_some_and(|bracket| bracket.token == partner) {
        open.pop();
    } else if closing.token == Token::RBrace && open.iter().any(|bracket| bracket.token == partner) {
        while let Some(bracket) = open.pop().filter(|bracket| bracket.token != partner) {
            unbalanced.push(never_closed(bracket, text));
        }
    } else {
        let mut stray = Diagnostic::error(format!("a `{}` too many", shown(closing.token)));
        stray = stray.at(closing.span(text), format!("there is no `{}` that it closes", shown(partner)));
        if let Some(bracket) = open.last() {
            stray = stray.also(bracket.span(text), format!("this `{}` is still open", shown(bracket.token)));
        }
        unbalanced.push(stray);
    }
}

fn never_closed(bracket: &Placed<'_>, text: u16) -> Diagnostic {
    let which = shown(bracket.token);
    Diagnostic::error(format!("a `{which}` that is never closed")).at(bracket.span(text), "opened here")
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
