//! What is written as in C, or as it is nearly written here, and recognised by more than one word.

use super::{
    Diagnostic,
    ast::Span,
    habits,
    syntax::Place,
    token::{Placed, Token},
};

impl Place<'_, '_> {
    /// What word number `at`, over which the parser stumbled, and the statement around it are in C.
    pub(crate) fn as_in_c(&self, statement: usize, at: usize) -> Option<Diagnostic> {
        self.arrow(at).or_else(|| self.declaration(0, at)).or_else(|| self.declaration(statement, at)).or_else(|| {
            let [first, open] = self.tokens.get(statement..statement + 2)? else { return None };
            let Token::Name(word) = first.token else { return None };
            let block = self.tokens.get(at).is_some_and(|found| found.token == Token::LBrace);
            let advice = habits::instead(word).filter(|_| block && open.token == Token::LParen)?;
            Some(Diagnostic::error(format!("`{word}` begins no statement")).at(first.span(self.text), "").help(advice))
        })
    }

    /// `x->pte`
    fn arrow(&self, at: usize) -> Option<Diagnostic> {
        let minus = at.checked_sub(usize::from(self.tokens.get(at)?.token == Token::Greater))?;
        let around = self.tokens.get(minus..minus + 2)?;
        let [Placed { token: Token::Minus, start, end }, Placed { token: Token::Greater, start: next, end: last }] = *around
        else {
            return None;
        };
        let example = match (minus.checked_sub(1).map(|before| self.tokens[before]), self.tokens.get(minus + 2)) {
            (Some(base), Some(field)) if matches!((base.token, field.token), (Token::Name(_), Token::Name(_))) => {
                let word = |placed: &Placed<'_>| self.sources.slice(placed.span(self.text));
                format!("{}.{}", word(&base), word(field))
            }
            _ => "x.pte".to_owned(),
        };
        let span = Span { text: self.text, start, end: last };
        (end == next).then(|| {
            Diagnostic::error("unexpected `->`")
                .at(span, "expected `.`")
                .help(format!("fields are written with a dot: `{example}`"))
        })
    }

    /// `int n = 0`, `static void f(…)`
    fn declaration(&self, first: usize, at: usize) -> Option<Diagnostic> {
        let word = self.tokens.get(first).filter(|_| at > first)?;
        let Token::Name(text) = word.token else { return None };
        let advice = habits::declaration(text).filter(|_| !self.kinds.contains(&text))?;
        let what = if first == 0 { "item" } else { "statement" };
        Some(Diagnostic::error(format!("`{text}` begins no {what}")).at(word.span(self.text), "").help(advice))
    }

    /// `b fails` as an item of its own: an expectation behind a `;` or the end of a line, which looks like an object of a kind.
    pub(crate) fn stray_expectation(&self) -> Option<Diagnostic> {
        let [first, verdict, ..] = self.tokens else { return None };
        let Token::Name(ordering) = first.token else { return None };
        let is_verdict = matches!(verdict.token, Token::Holds | Token::Fails | Token::Deadlocks | Token::Livelocks);
        (is_verdict && !self.kinds.contains(&ordering)).then(|| {
            Diagnostic::error("an expectation that does not follow `expect`")
                .at(Span { end: verdict.end, ..first.span(self.text) }, "this begins an item")
                .help("expectations are separated by `,`: `expect a holds, b fails`")
        })
    }
}
