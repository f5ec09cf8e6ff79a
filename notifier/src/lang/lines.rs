//! From a text to words and statement ends: comments put aside, and every line end that ends a statement made a [`Token::Sep`].

use super::{
    Diagnostic, Diagnostics, Sources,
    ast::Span,
    habits,
    parse::ENOUGH,
    token::{BadToken, Placed, Token},
};
use logos::Logos;

/// The largest text that is read. Nobody writes a larger model; somebody may name the wrong file.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// A comment with its `#`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Comment<'t> {
    pub(crate) text: &'t str,
    pub(crate) start: u32,
    /// Nothing else stands on its line.
    pub(crate) own_line: bool,
}

/// The words of a text.
#[derive(Debug, Default)]
pub(crate) struct Lexed<'t> {
    /// Without comments. No `Sep` is first or last, follows another or a `{`, or precedes a `}`.
    pub(crate) tokens: Vec<Placed<'t>>,
    pub(crate) comments: Vec<Comment<'t>>,
    /// What was left out because it is no word.
    pub(crate) problems: Vec<Diagnostic>,
}

/// The words of text number `text`.
///
/// # Errors
/// Where it is not a text that anybody could have written.
pub(crate) fn lex(sources: &Sources, text: u16) -> Result<Lexed<'_>, Diagnostics> {
    let Some(source) = sources.get(text) else {
        return Err(Diagnostic::error(format!("there is no text number {text}")).into());
    };
    let content = source.text.as_str();
    if content.len() > MAX_BYTES {
        let size = content.len().div_ceil(1 << 20);
        return Err(Diagnostic::error(format!("`{}` is no model: it has {size} MiB, the limit is 1 MiB", source.name)).into());
    }
    let place = |start: usize, end: usize| Span { text, start: narrow(start), end: narrow(end) };
    if let Some((at, found)) = content.char_indices().find(|&(_, c)| c == '\0' || c == char::REPLACEMENT_CHARACTER) {
        return Err(Diagnostic::error("this is not a UTF-8 text")
            .at(place(at, at + found.len_utf8()), "no text from here on")
            .into());
    }
    let mut lexed = Lexed::default();
    let mut pending: Option<Placed<'_>> = None;
    let mut line_is_empty = true;
    for (token, range) in Token::lexer(content).spanned() {
        let (start, end) = (narrow(range.start), narrow(range.end));
        match token {
            Ok(Token::Newline) => {
                end_of_statement(&mut pending, &lexed.tokens, None);
                line_is_empty = true;
                continue;
            }
            Ok(Token::Comment(text)) => {
                lexed.comments.push(Comment { text: text.trim_end(), start, own_line: line_is_empty });
                continue;
            }
            Ok(Token::Sep) => end_of_statement(&mut pending, &lexed.tokens, Some(Placed { token: Token::Sep, start, end })),
            Ok(token) => lexed.push(&mut pending, Placed { token, start, end }),
            // A byte order mark, as some editors write it.
            Err(BadToken::Character) if start == 0 && content.starts_with('\u{feff}') => continue,
            Err(BadToken::Character) if is_address(content, range.start) => {
                lexed.address(place(range.start, range.end), content);
            }
            Err(bad) => {
                lexed.bad(bad, place(range.start, range.end), &content[range]);
                // What stands for a word: nothing is to follow from its absence.
                let token = match bad {
                    BadToken::Number => Some(Token::Number(0)),
                    BadToken::OpenText | BadToken::Quotes => Some(Token::Text("")),
                    BadToken::Character | BadToken::CComment => None,
                };
                if let Some(token) = token {
                    lexed.push(&mut pending, Placed { token, start, end });
                }
            }
        }
        line_is_empty = false;
    }
    Ok(lexed)
}

/// Notes that a statement may have ended: with a `;`, or with the line.
fn end_of_statement<'t>(pending: &mut Option<Placed<'t>>, before: &[Placed<'t>], semicolon: Option<Placed<'t>>) {
    let Some(last) = before.last() else { return };
    if pending.is_none() && last.token != Token::LBrace {
        let line_end = last.token.may_end().then_some(Placed { token: Token::Sep, start: last.end, end: last.end });
        *pending = semicolon.or(line_end);
    } else if semicolon.is_some() {
        *pending = pending.and(semicolon);
    }
}

impl<'t> Lexed<'t> {
    /// Adds a word, and before it the end of the statement before, unless that goes on.
    fn push(&mut self, pending: &mut Option<Placed<'t>>, next: Placed<'t>) {
        let closed = self.tokens.last().filter(|last| last.token == Token::RBrace);
        // A block ends its statement: `if a { b } c = 1`.
        let after_block = closed.map(|last| Placed { token: Token::Sep, start: last.end, end: last.end });
        if let Some(sep) = pending.take().or(after_block) {
            let semicolon = sep.start < sep.end;
            if next.token != Token::RBrace && (semicolon || !next.token.goes_on()) {
                self.tokens.push(sep);
            }
        }
        self.tokens.push(next);
    }

    /// Reports the `&` of `spin_lock(&ptl)`, and with it what will be wrong with the call.
    fn address(&mut self, span: Span, content: &str) {
        let rest = content.get(span.end as usize..).unwrap_or_default();
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let mut problem =
            Diagnostic::error("there are no addresses").at(span, "not needed").help(format!("name it without the `&`: `{name}`"));
        let open = self.tokens.iter().rposition(|placed| placed.token == Token::LParen);
        let call = open.and_then(|open| self.tokens.get(open.checked_sub(1)?)).map(|placed| placed.token);
        if let Some(Token::Name(call)) = call
            && !self.tokens.iter().skip(open.unwrap_or(0)).any(|placed| placed.token == Token::RParen)
            && let Some(advice) = habits::instead(call)
        {
            problem = problem.help(format!("for `{call}`, {advice}"));
        }
        self.report(problem);
    }

    /// Reports what is no word.
    fn bad(&mut self, bad: BadToken, span: Span, slice: &'t str) {
        let problem = match bad {
            BadToken::OpenText => {
                Diagnostic::error("a text without its closing quote").at(span, "a text ends on its line, with `\"`")
            }
            BadToken::Quotes => Diagnostic::error("a text in single quotes").at(span, "").help("texts stand in `\"`"),
            BadToken::Number if slice.bytes().all(|byte| byte.is_ascii_digit()) => {
                Diagnostic::error("a number that is too large").at(span, "")
            }
            BadToken::Number => Diagnostic::error(format!("`{slice}` is neither a number nor a name"))
                .at(span, "")
                .help("numbers are decimal, and names do not begin with a digit"),
            BadToken::CComment => {
                let first_line = slice.lines().next().map_or(0, str::len);
                let span = Span { end: span.start + narrow(first_line), ..span };
                Diagnostic::error("a comment as in C").at(span, "").help("comments begin with `#`")
            }
            BadToken::Character => {
                let mut problem = Diagnostic::error(format!("`{slice}` is no word of the language")).at(span, "");
                problem.help.extend(instead(slice).map(str::to_owned));
                problem
            }
        };
        // One for a foreign word, not one for each of its letters.
        let last = self.problems.last().and_then(|last| last.primary.as_ref());
        if bad == BadToken::Character && last.is_some_and(|(last, _)| last.end == span.start) {
            return;
        }
        self.report(problem);
    }

    fn report(&mut self, problem: Diagnostic) {
        if self.problems.len() < ENOUGH {
            self.problems.push(problem);
        }
    }
}

/// A `&` that takes an address, as in C: a name follows at once, and no operand stands directly before it.
fn is_address(content: &str, at: usize) -> bool {
    let Some((before, after)) = content.split_at_checked(at) else { return false };
    let operand = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ')' | ']' | '&');
    let name = |c: char| c.is_ascii_alphabetic() || c == '_';
    after.strip_prefix('&').is_some_and(|rest| rest.starts_with(name)) && !before.ends_with(operand)
}

/// What was meant with a character that is no word.
fn instead(slice: &str) -> Option<&'static str> {
    Some(match slice {
        "&" => "write `&&` for \"and\"",
        "|" => "write `||` for \"or\"",
        "'" | "`" | "´" | "“" | "”" => "texts stand in `\"`",
        "$" | "@" | "~" | "^" | "\\" => return None,
        _ => "names are made of the letters a to z and A to Z, digits and `_`",
    })
}

fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
