//! The words of a model file.

use super::ast::Span;
use logos::Logos;

/// What cannot be a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum BadToken {
    /// A character that no word begins with.
    #[default]
    Character,
    /// A text without its closing quote on the same line.
    OpenText,
    /// A text in the wrong quotes.
    Quotes,
    /// Digits that are no number, or too many of them.
    Number,
    /// A comment as in C.
    CComment,
}

/// A word. Names, texts and comments borrow from the file.
#[derive(Logos, Clone, Copy, PartialEq, Eq, Debug)]
#[logos(error = BadToken)]
#[logos(skip r"[ \t\r]+")]
pub(crate) enum Token<'t> {
    #[token("\n")]
    Newline,
    #[regex("#[^\n]*", |lex| lex.slice(), allow_greedy = true)]
    Comment(&'t str),
    /// `;`, and after [`super::lines`] also the end of a line that ends a statement.
    #[token(";")]
    Sep,

    #[regex("[A-Za-z_][A-Za-z0-9_]*", |lex| lex.slice())]
    Name(&'t str),
    #[regex("[0-9][A-Za-z0-9_]*", |lex| lex.slice().parse().map_err(|_| BadToken::Number))]
    Number(i64),
    /// Without its quotes.
    #[regex("\"[^\"\n]*\"", |lex| lex.slice().trim_matches('"'))]
    #[regex("\"[^\"\n]*", |_| Err(BadToken::OpenText))]
    #[regex("'[^'\n]*'", |_| Err(BadToken::Quotes))]
    #[regex("//[^\n]*", |_| Err(BadToken::CComment), allow_greedy = true)]
    #[token("/*", c_comment)]
    Text(&'t str),

    // Items.
    #[token("model")]
    Model,
    #[token("source")]
    Source,
    #[token("year")]
    Year,
    #[token("use")]
    Use,
    #[token("const")]
    Const,
    #[token("enum")]
    Enum,
    #[token("kind")]
    Kind,
    #[token("typesafe")]
    Typesafe,
    #[token("var")]
    Var,
    #[token("flag")]
    Flag,
    #[token("spin")]
    Spin,
    #[token("mutex")]
    Mutex,
    #[token("rwlock")]
    Rwlock,
    #[token("rwsem")]
    Rwsem,
    #[token("free")]
    Free,
    #[token("list")]
    List,
    #[token("of")]
    Of,
    #[token("op")]
    Op,
    #[token("ordering")]
    Ordering,
    #[token("thread")]
    Thread,
    #[token("never")]
    Never,
    #[token("always")]
    Always,
    #[token("sometimes")]
    Sometimes,
    #[token("finally")]
    Finally,
    #[token("observe")]
    Observe,
    #[token("allow")]
    Allow,
    #[token("expect")]
    Expect,
    #[token("holds")]
    Holds,
    #[token("fails")]
    Fails,
    #[token("deadlocks")]
    Deadlocks,
    #[token("livelocks")]
    Livelocks,
    #[token("under")]
    Under,

    // Statements.
    #[token("let")]
    Let,
    #[token("if")]
    If,
    #[token("else")]
    Else,
    #[token("while")]
    While,
    #[token("loop")]
    Loop,
    #[token("repeat")]
    Repeat,
    #[token("for")]
    For,
    #[token("atomic")]
    Atomic,
    #[token("choose")]
    Choose,
    #[token("or")]
    Or,
    #[token("wait")]
    Wait,
    #[token("assert")]
    Assert,
    #[token("break")]
    Break,
    #[token("continue")]
    Continue,
    #[token("return")]
    Return,
    #[token("goto")]
    Goto,

    // Expressions.
    #[token("true")]
    True,
    #[token("false")]
    False,
    #[token("none")]
    None,
    #[token("any")]
    Any,
    #[token("forall")]
    Forall,
    #[token("exists")]
    Exists,
    #[token("in")]
    In,

    #[token("{")]
    LBrace,
    #[token("}")]
    RBrace,
    #[token("(")]
    LParen,
    #[token(")")]
    RParen,
    #[token("[")]
    LBracket,
    #[token("]")]
    RBracket,
    #[token(",")]
    Comma,
    #[token(":")]
    Colon,
    #[token(".")]
    Dot,
    #[token("..")]
    DotDot,
    #[token("?")]
    Question,
    #[token("=")]
    Assign,
    #[token("+=")]
    PlusAssign,
    #[token("-=")]
    MinusAssign,
    #[token("++")]
    PlusPlus,
    #[token("--")]
    MinusMinus,
    #[token("||")]
    OrOr,
    #[token("&&")]
    AndAnd,
    #[token("==")]
    EqEq,
    #[token("!=")]
    NotEq,
    #[token("<")]
    Less,
    #[token("<=")]
    LessEq,
    #[token(">")]
    Greater,
    #[token(">=")]
    GreaterEq,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("%")]
    Percent,
    #[token("!")]
    Not,
}

/// A comment as in C, up to its end; one that has none ends with its line.
fn c_comment<'t>(lex: &mut logos::Lexer<'t, Token<'t>>) -> Result<&'t str, BadToken> {
    let rest = lex.remainder();
    let line = rest.find('\n').unwrap_or(rest.len());
    lex.bump(rest.find("*/").map_or(line, |end| end + 2));
    Err(BadToken::CComment)
}

/// A token with its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placed<'t> {
    pub(crate) token: Token<'t>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Placed<'_> {
    /// Its place in text number `text`.
    pub(crate) fn span(&self, text: u16) -> Span {
        Span { text, start: self.start, end: self.end }
    }
}

impl Token<'_> {
    /// A statement or an item may end after it.
    pub(crate) fn may_end(&self) -> bool {
        use Token::{
            Break, Continue, False, MinusMinus, Name, None, Number, PlusPlus, Question, RBrace, RBracket, RParen, Return, Text,
            True,
        };
        self.is_name()
            || matches!(self, Name(_) | Number(_) | Text(_) | RParen | RBracket | RBrace | Question | PlusPlus | MinusMinus)
            || matches!(self, True | False | None | Break | Continue | Return)
    }

    /// Neither a statement nor an item begins with it, so that it goes on with the line before.
    pub(crate) fn goes_on(&self) -> bool {
        use Token::{
            AndAnd, Assign, Colon, Comma, Dot, DotDot, Else, EqEq, Greater, GreaterEq, In, LBrace, Less, LessEq, MinusAssign,
            NotEq, Or, OrOr, Ordering, Percent, Plus, PlusAssign, RBracket, RParen, Slash, Star, Text,
        };
        matches!(self, Else | Or | Ordering | In | Text(_) | LBrace | RParen | RBracket | Comma | Colon | Dot | DotDot)
            || matches!(self, Assign | PlusAssign | MinusAssign | OrOr | AndAnd | EqEq | NotEq | Less | LessEq | Greater)
            || matches!(self, GreaterEq | Plus | Star | Slash | Percent)
    }

    /// A word that is also a name wherever that is not ambiguous.
    fn is_name(&self) -> bool {
        use Token::{Deadlocks, Fails, Flag, Free, Holds, List, Livelocks, Model, Mutex, Of, Rwlock, Rwsem, Source, Spin};
        use Token::{Name, Typesafe, Under, Year};
        matches!(self, Name(_) | Model | Source | Year | Typesafe | Flag | Spin | Mutex | Rwlock | Rwsem | Free | List | Of)
            || matches!(self, Holds | Fails | Deadlocks | Livelocks | Under)
    }

    /// A word of the language that cannot be a name.
    pub(crate) fn is_reserved(&self) -> bool {
        use Token::{Any, Assert, Atomic, Break, Choose, Continue, Else, Exists, False, For, Forall, Goto, If, In, Let, Loop};
        use Token::{None, Or, Ordering, Repeat, Return, True, Wait, While};
        self.begins_item()
            || matches!(self, Any | Assert | Atomic | Break | Choose | Continue | Else | Exists | False | For | Forall | Goto)
            || matches!(self, If | In | Let | Loop | None | Or | Ordering | Repeat | Return | True | Wait | While)
    }

    /// A word that begins an item and nothing else: where it stands inside a block, the block was not closed.
    pub(crate) fn begins_item(&self) -> bool {
        use Token::{Allow, Always, Const, Enum, Expect, Finally, Kind, Never, Observe, Op, Sometimes, Thread, Use, Var};
        matches!(self, Use | Const | Enum | Kind | Var | Op | Thread | Never | Always | Sometimes | Finally | Allow | Expect)
            || matches!(self, Observe)
    }
}

/// The words that begin an item, for near misses.
pub const ITEM_WORDS: &[&str] = &[
    "allow",
    "always",
    "const",
    "enum",
    "expect",
    "finally",
    "flag",
    "kind",
    "model",
    "mutex",
    "never",
    "observe",
    "op",
    "rwlock",
    "rwsem",
    "sometimes",
    "source",
    "spin",
    "thread",
    "use",
    "var",
    "year",
];

/// The words that begin a statement, for near misses.
pub const STATEMENT_WORDS: &[&str] =
    &["assert", "atomic", "break", "choose", "continue", "for", "goto", "if", "let", "loop", "repeat", "return", "wait", "while"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_not_a_fraction() {
        let tokens: Vec<_> = Token::lexer("0..7").map(|token| token.expect("a token")).collect();
        assert_eq!(tokens, [Token::Number(0), Token::DotDot, Token::Number(7)]);
    }

    #[test]
    fn the_words_are_tokens_of_their_own() {
        for word in ITEM_WORDS.iter().chain(STATEMENT_WORDS) {
            assert!(!matches!(Token::lexer(word).next(), Some(Ok(Token::Name(_)) | Err(_)) | None), "{word}");
        }
    }
}
