//! What a parser stumbles over, in words.

use super::{
    Diagnostic, ITEM_WORDS, STATEMENT_WORDS, Sources,
    ast::Span,
    parse::SyntaxError,
    token::{Placed, Token},
};
use crate::near::slip;
use lalrpop_util::ParseError;

/// The item in which it happens.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a, 't> {
    pub(crate) sources: &'a Sources,
    pub(crate) text: u16,
    pub(crate) tokens: &'a [Placed<'t>],
    /// The kinds that the text declares: what an item may begin with besides the words of the language.
    pub(crate) kinds: &'a [&'t str],
}

impl Place<'_, '_> {
    /// The finding for an error of the parser.
    pub(crate) fn explain(&self, error: &SyntaxError<'_>) -> Diagnostic {
        let (start, end, token, expected) = match error {
            ParseError::UnrecognizedToken { token: (start, token, end), expected } => (*start, *end, Some(*token), &expected[..]),
            ParseError::ExtraToken { token: (start, token, end) } => (*start, *end, Some(*token), &[][..]),
            ParseError::UnrecognizedEof { location, expected } => (*location, *location, None, &expected[..]),
            ParseError::InvalidToken { location } => (*location, *location, None, &[][..]),
            ParseError::User { error } => match *error {},
        };
        let span = Span { text: self.text, start, end };
        let mut at = self.tokens.partition_point(|placed| placed.start < start || (placed.start == start && placed.end < end));
        let (mut span, mut token) = (span, token);
        // The end of a statement that is not written down: after a block, before something else on its line.
        let next = self.tokens.get(at + 1).filter(|next| token == Some(Token::Sep) && start == end && self.one_line(span, next));
        if let Some(next) = next {
            (at, span, token) = (at + 1, next.span(self.text), Some(next.token));
        }
        let statement = self.statement(at);
        if let Some(foreign) = self.as_in_c(statement, at) {
            return foreign;
        }
        if let Some(misspelt) = self.misspelt(statement, at, span) {
            return misspelt;
        }
        let expected = Expected(expected);
        if expected.a_name_only() && token.is_some_and(|token| token.is_reserved()) {
            let word = self.sources.slice(span);
            return Diagnostic::error(format!("`{word}` is a word of the language and cannot be a name"))
                .at(span, expected.in_words())
                .help(format!("call it `{word}_` or `my_{word}`"));
        }
        let mut finding = Diagnostic::error(format!("unexpected {}", self.named(token, span))).at(span, expected.in_words());
        if let Some(meant) = token.and_then(|token| expected.word_like(token)) {
            return finding.help(format!("did you mean `{meant}`?"));
        }
        let advice = advice(token, &expected, &self.tokens[statement.min(at)..at]);
        finding.help.extend(advice.map(str::to_owned));
        finding
    }

    /// Where the statement (or item) begins that word number `at` stands in.
    fn statement(&self, at: usize) -> usize {
        let mut before = self.tokens[..at].iter();
        let end = before.rposition(|placed| matches!(placed.token, Token::Sep | Token::LBrace | Token::RBrace));
        end.map_or(0, |end| end + 1)
    }

    /// Nothing but blanks lies between a place and a word.
    fn one_line(&self, span: Span, next: &Placed<'_>) -> bool {
        !self.sources.slice(Span { end: next.start, ..span }).contains('\n')
    }

    /// A statement or item that begins with something like a word of the language.
    fn misspelt(&self, statement: usize, at: usize, found: Span) -> Option<Diagnostic> {
        if let Some(item) = self.misspelt_item() {
            return Some(item);
        }
        let first = self.tokens.get(statement).filter(|_| statement > 0 && at > statement)?;
        let Token::Name(word) = first.token else { return None };
        let call = self.tokens.get(statement + 1).is_some_and(|next| next.token == Token::LParen);
        if call && self.tokens.get(at).is_none_or(|token| token.token != Token::LBrace) {
            return None;
        }
        let after_block = statement > 1 && self.tokens[statement - 2].token == Token::RBrace;
        let further = if after_block { &["else", "or", "ordering"][..] } else { &[] };
        let meant = slip(word, further.iter().copied()).or_else(|| slip(word, STATEMENT_WORDS.iter().copied()))?;
        let finding = Diagnostic::error(format!("`{word}` begins no statement")).at(first.span(self.text), "");
        Some(finding.also(found, "not expected here").help(format!("did you mean `{meant}`?")))
    }

    /// The item begins with something like a word of the language, and not with a kind.
    fn misspelt_item(&self) -> Option<Diagnostic> {
        let first = self.tokens.first()?;
        let Token::Name(word) = first.token else { return None };
        let meant = slip(word, ITEM_WORDS.iter().copied()).filter(|_| !self.kinds.contains(&word))?;
        let finding = Diagnostic::error(format!("`{word}` begins no item")).at(first.span(self.text), "");
        Some(finding.help(format!("did you mean `{meant}`?")))
    }

    /// What was found.
    fn named(&self, token: Option<Token<'_>>, span: Span) -> String {
        let slice = self.sources.slice(span);
        match token {
            None => "end of the item".to_owned(),
            Some(Token::Sep) if slice.is_empty() => "end of the line".to_owned(),
            Some(Token::Name(_)) => format!("name `{slice}`"),
            Some(Token::Number(_)) => format!("number `{slice}`"),
            Some(Token::Text(_)) => "text".to_owned(),
            Some(_) => format!("`{slice}`"),
        }
    }
}

/// A usual mistake.
fn advice(token: Option<Token<'_>>, expected: &Expected<'_>, before: &[Placed<'_>]) -> Option<&'static str> {
    let head = before.first().map(|placed| placed.token);
    let last = before.last().map(|placed| placed.token);
    let compared = || before.iter().any(|placed| is_comparison(&placed.token));
    Some(match token? {
        Token::Assign | Token::PlusPlus | Token::MinusMinus
            if before.len() == 1 && head.is_some_and(|head| head.is_reserved()) =>
        {
            "a word of the language cannot be a name"
        }
        Token::Assign if expected.has("\"==\"") || expected.has("\"+\"") => "`==` compares, `=` writes",
        Token::EqEq if matches!(head, Some(Token::Name(_))) && !expected.has("\"==\"") => "`=` writes, `==` compares",
        token if is_comparison(&token) && compared() => "comparisons do not chain: write `a < b && b < c`",
        Token::Forall | Token::Exists | Token::Any => "put it in parentheses",
        Token::LParen if last == Some(Token::For) => "write `for i in 0..2 { … }`",
        Token::Sep | Token::Name(_) | Token::Return | Token::Break | Token::Continue | Token::Goto
            if expected.has("\"{\"") && matches!(head, Some(Token::If | Token::While | Token::Else)) =>
        {
            "the body stands in braces: `if done { n = 1 }`"
        }
        Token::Else => "an `else` follows the `}` of its `if`",
        _ => return None,
    })
}

fn is_comparison(token: &Token<'_>) -> bool {
    use Token::{EqEq, Greater, GreaterEq, In, Less, LessEq, NotEq};
    matches!(token, EqEq | NotEq | Less | LessEq | Greater | GreaterEq | In)
}

/// What the parser would have gone on with: the names of terminals in the grammar.
struct Expected<'a>(&'a [String]);

/// Terminals that a person knows under one name. The first one stands for all: where it is missing, so is the name.
const GROUPS: &[(&str, &str, &[&str])] = &[
    (
        "\"goto\"",
        "a statement",
        &[
            "\"let\"",
            "\"if\"",
            "\"while\"",
            "\"loop\"",
            "\"repeat\"",
            "\"for\"",
            "\"atomic\"",
            "\"choose\"",
            "\"wait\"",
            "\"assert\"",
            "\"break\"",
            "\"continue\"",
            "\"return\"",
            "name",
        ],
    ),
    (
        "\"forall\"",
        "an expression",
        &["\"exists\"", "\"any\"", "\"!\"", "\"-\"", "\"(\"", "\"[\"", "number", "name", "\"true\"", "\"false\"", "\"none\""],
    ),
    ("\"!\"", "an operand", &["\"-\"", "\"(\"", "\"[\"", "number", "name", "\"true\"", "\"false\"", "\"none\""]),
    ("\"++\"", "an assignment", &["\"=\"", "\"+=\"", "\"-=\"", "\"--\"", "\".\"", "\"[\"", "\"(\"", "\":\""]),
    ("\"%\"", "an operator", OPERATORS),
    ("\"+\"", "an operator", OPERATORS),
    ("\"==\"", "an operator", OPERATORS),
    ("\"&&\"", "an operator", OPERATORS),
    ("\"thread\"", "an item", &["name"]),
    ("number", "an argument", &["name", "\"true\"", "\"false\"", "\"none\""]),
    ("name", "a name", &[]),
    ("text", "a text in `\"`", &[]),
    ("sep", "the end of the statement", &["\"}\""]),
];

/// What may stand after an operand.
const OPERATORS: &[&str] = &[
    "\"*\"", "\"/\"", "\"+\"", "\"-\"", "\"==\"", "\"!=\"", "\"<\"", "\"<=\"", "\">\"", "\">=\"", "\"in\"", "\"&&\"", "\"||\"",
    "\".\"", "\"[\"", "\"(\"",
];

/// Words that are names in most places: they say nothing where a name is expected.
const ALSO_NAMES: &[&str] = &[
    "\"deadlocks\"",
    "\"fails\"",
    "\"flag\"",
    "\"free\"",
    "\"holds\"",
    "\"list\"",
    "\"livelocks\"",
    "\"model\"",
    "\"mutex\"",
    "\"of\"",
    "\"rwlock\"",
    "\"rwsem\"",
    "\"source\"",
    "\"spin\"",
    "\"typesafe\"",
    "\"under\"",
    "\"year\"",
];

impl Expected<'_> {
    fn has(&self, terminal: &str) -> bool {
        self.0.iter().any(|expected| expected == terminal)
    }

    /// A name and nothing else would do.
    fn a_name_only(&self) -> bool {
        self.has("name") && self.0.iter().all(|expected| expected == "name" || ALSO_NAMES.contains(&&**expected))
    }

    /// An expected word of the language that is almost the name that was found.
    fn word_like(&self, found: Token<'_>) -> Option<&str> {
        let Token::Name(found) = found else { return None };
        let words = self.0.iter().filter_map(|expected| expected.strip_prefix('"')?.strip_suffix('"'));
        let words: Vec<&str> = words.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect();
        slip(found, words)
    }

    /// `expected an expression or `{``
    fn in_words(&self) -> String {
        let mut left: Vec<&str> = self.0.iter().map(String::as_str).collect();
        let mut words: Vec<String> = Vec::new();
        if left.contains(&"name") {
            left.retain(|expected| !ALSO_NAMES.contains(expected));
        }
        for (first, group, members) in GROUPS {
            if left.contains(first) {
                left.retain(|expected| expected != first && !members.contains(expected));
                words.push((*group).to_owned());
            }
        }
        words.extend(left.into_iter().map(|terminal| terminal.replace('"', "`")));
        match words.split_last() {
            None => "expected the end of the item".to_owned(),
            Some((last, [])) => format!("expected {last}"),
            Some((last, others)) => format!("expected {} or {last}", others.join(", ")),
        }
    }
}
