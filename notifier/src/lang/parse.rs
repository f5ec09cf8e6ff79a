//! From text to tree.

use super::{
    Diagnostic, Diagnostics, Sources,
    actions::Broken,
    ast::{File, Item},
    grammar::ItemParser,
    items::{self, Chunk},
    lines::{self, Comment},
    nesting,
    syntax::Place,
    token::{Placed, Token},
};
use lalrpop_util::ParseError;

/// More than this nobody reads, and what follows from the first ones goes away with them.
const MAX_DIAGNOSTICS: usize = 20;

/// Where so much is wrong, no more is looked for.
pub(crate) const ENOUGH: usize = 200;

/// The tree of text number `text`.
///
/// # Errors
/// What is wrong with it, in the order of the text, at most 20 findings.
pub fn parse(sources: &Sources, text: u16) -> Result<File, Diagnostics> {
    parse_with_comments(sources, text).map(|(file, _)| file)
}

/// The tree, and the comments, which are not in it.
pub(crate) fn parse_with_comments(sources: &Sources, text: u16) -> Result<(File, Vec<Comment<'_>>), Diagnostics> {
    let mut lexed = lines::lex(sources, text)?;
    nesting::check(&lexed.tokens, text)?;
    let mut findings = std::mem::take(&mut lexed.problems);
    let words = findings.len();
    let mut items = Vec::new();
    let kinds: Vec<&str> = lexed.tokens.windows(2).filter_map(declared_kind).collect();
    for chunk in items::split(&lexed.tokens, sources, text) {
        if findings.len() >= ENOUGH {
            break;
        }
        items.extend(parse_item(Place { sources, text, tokens: chunk.tokens, kinds: &kinds }, chunk, &mut findings));
    }
    findings.truncate(ENOUGH);
    // What is wrong on a line with something that is no word, may well follow from that.
    let strange: Vec<u32> = findings[..words].iter().filter_map(|finding| line(finding, sources)).collect();
    let mut index = 0;
    findings.retain(|finding| {
        index += 1;
        index <= words || line(finding, sources).is_none_or(|line| !strange.contains(&line))
    });
    if findings.is_empty() {
        return Ok((File { items }, lexed.comments));
    }
    findings.sort_by_key(|finding| finding.primary.as_ref().map_or(0, |(span, _)| span.start));
    let more = findings.len().saturating_sub(MAX_DIAGNOSTICS);
    findings.truncate(MAX_DIAGNOSTICS);
    if let Some(last) = findings.last_mut().filter(|_| more > 0) {
        let at_least = if more + MAX_DIAGNOSTICS >= ENOUGH { "at least " } else { "" };
        last.notes.push(format!("{at_least}{more} more places are wrong"));
    }
    Err(Diagnostics(findings))
}

fn line(finding: &Diagnostic, sources: &Sources) -> Option<u32> {
    finding.primary.as_ref().map(|(span, _)| sources.line(*span))
}

/// The kind that two words begin to declare.
fn declared_kind<'t>(words: &[Placed<'t>]) -> Option<&'t str> {
    match words {
        [Placed { token: Token::Kind, .. }, Placed { token: Token::Name(name), .. }] => Some(name),
        _ => None,
    }
}

fn parse_item(place: Place<'_, '_>, chunk: Chunk<'_, '_>, findings: &mut Vec<Diagnostic>) -> Option<Item> {
    if !chunk.unbalanced.is_empty() {
        findings.extend(chunk.unbalanced);
        return None;
    }
    let mut broken = Broken::default();
    let words = chunk.tokens.iter().map(|placed| Ok((placed.start, placed.token, placed.end)));
    if let Some(stray) = place.stray_expectation() {
        findings.push(stray);
        return None;
    }
    let result = ItemParser::new().parse(place.text, &mut broken, words);
    let before = findings.len();
    findings.append(&mut broken.problems);
    for recovery in broken.recovered.iter().take(ENOUGH) {
        let finding = place.explain(&recovery.error);
        // A second stumble over the same word says nothing new.
        if findings[before..]
            .last()
            .is_none_or(|last| last.primary.as_ref().map(|at| at.0) != finding.primary.as_ref().map(|at| at.0))
        {
            findings.push(finding);
        }
        let count = |token| recovery.dropped_tokens.iter().filter(|(_, dropped, _)| *dropped == token).count();
        if count(Token::LBrace) != count(Token::RBrace) {
            // From here on, blocks are not what they look like.
            return None;
        }
    }
    match result {
        Ok(item) if findings.len() == before => Some(item),
        Ok(_) => None,
        Err(error) => {
            if findings.len() == before {
                findings.push(place.explain(&error));
            }
            None
        }
    }
}

/// What the parser reports.
pub(crate) type SyntaxError<'t> = ParseError<u32, Token<'t>, std::convert::Infallible>;
