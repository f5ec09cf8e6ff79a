//! Items.

use super::{
    expr::{declarator, expr, init, list, name, range, ty},
    page::Page,
};
use crate::lang::{
    Span,
    ast::{Expectation, Expected, Expr, Field, Intro, Item, ItemKind, Name, Object, PropertyKind},
};

/// The inside of a pair of braces that are no block of statements.
struct Braces<T> {
    /// The elements, each with its place.
    elements: Vec<(Span, T)>,
    /// With commas, and not with line ends.
    commas: bool,
    /// The text with its braces.
    span: Span,
}

impl Page<'_> {
    pub(super) fn item(&mut self, item: &Item) {
        let Span { start, end, .. } = item.span;
        self.comments_before(start);
        let line = match &item.kind {
            ItemKind::Model(text) => format!("model \"{}\"", text.text),
            ItemKind::Source(text) => format!("source \"{}\"", text.text),
            ItemKind::Year(year) => format!("year {year}"),
            ItemKind::Use(name) => format!("use {}", name.text),
            ItemKind::Const { name, value } => format!("const {} = {}", name.text, expr(value)),
            ItemKind::Var { intro, vars, ty: of, init: value } => {
                let (vars, value) = (list(vars, declarator), init(value.as_ref()));
                match intro {
                    Intro::Var => format!("var {vars}: {}{value}", ty(of)),
                    Intro::Flag => format!("flag {vars}{value}"),
                    Intro::Lock => format!("{} {vars}", ty(of)),
                }
            }
            ItemKind::Observe(what) => format!("observe {}", list(what, expr)),
            ItemKind::Allow(what) => format!("allow {}", list(what, name)),
            ItemKind::Property { what, condition, message } => {
                let word = match what {
                    PropertyKind::Never => "never ",
                    PropertyKind::Always => "always ",
                    PropertyKind::Sometimes => "sometimes ",
                    PropertyKind::Finally => "finally ",
                };
                return self.long(end, start, word, condition, message.as_ref());
            }
            ItemKind::Enum { name: of, values } => {
                let span = Span { start: self.after_brace(of.span.end).saturating_sub(1), ..item.span };
                let elements = values.iter().map(|value| (value.span, name(value))).collect();
                return self.braces(start, &format!("enum {}", of.text), Braces { elements, commas: true, span }, "");
            }
            ItemKind::Kind { name, typesafe, fields } => {
                let span = Span { start: self.after_brace(name.span.end).saturating_sub(1), ..item.span };
                let elements = fields.iter().map(|of| (of.span, field(of))).collect();
                let head = format!("kind {}{}", name.text, if *typesafe { " typesafe" } else { "" });
                return self.braces(start, &head, Braces { elements, commas: false, span }, "");
            }
            ItemKind::Objects { kind, objects } => return self.objects(item.span, &kind.text, objects),
            ItemKind::Op(op) => return self.op(item.span, op),
            ItemKind::Thread { name, each, body } => {
                return self.with_block(start, &format!("thread {}{}", name.text, family(each.as_ref())), body);
            }
            ItemKind::Expect(all) => return self.expect(item.span, all),
        };
        self.comments_before(end);
        self.line_from(start, line);
        self.ended(end);
    }

    /// `head { a; b }`, on one line if it was written so.
    fn braces(&mut self, start: u32, head: &str, braces: Braces<String>, tail: &str) {
        let Braces { elements, commas, span } = braces;
        self.comments_before(span.start);
        let texts: Vec<&str> = elements.iter().map(|(_, text)| text.as_str()).collect();
        let inline = match &texts[..] {
            [] => format!("{head} {{}}{tail}"),
            texts => format!("{head} {{ {} }}{tail}", texts.join(if commas { ", " } else { "; " })),
        };
        if !self.commented(span) && (elements.is_empty() || self.one_line(span) && self.fits(&inline)) {
            self.line_from(start, inline);
        } else {
            self.line_from(start, format!("{head} {{"));
            self.opened(span.start + 1);
            self.inside(|page| {
                for (span, text) in elements {
                    page.comments_before(span.end);
                    page.line_from(span.start, text + if commas { "," } else { "" });
                    page.ended(span.end);
                }
                page.comments_before(span.end.saturating_sub(1));
            });
            self.line(format!("}}{tail}"));
        }
        self.ended(span.end);
    }

    fn objects(&mut self, span: Span, kind: &str, objects: &[Object]) {
        let whole = format!("{kind} {}", list(objects, object));
        if self.one_line(span) && self.fits(&whole) {
            self.line_from(span.start, whole);
            return self.ended(span.end);
        }
        for (index, object) in objects.iter().enumerate() {
            let tail = if index + 1 < objects.len() { "," } else { "" };
            if index == 0 {
                self.object(span.start, &format!("{kind} "), object, tail);
            } else {
                self.inside(|page| page.object(object.span.start, "", object, tail));
            }
        }
    }

    /// One object on its own line or lines.
    fn object(&mut self, start: u32, before: &str, object: &Object, tail: &str) {
        let head = format!("{before}{}", head(object));
        if object.fields.is_empty() && !self.commented(object.span) {
            self.comments_before(object.span.start);
            self.line_from(start, head + tail);
            return self.ended(object.span.end);
        }
        let span = Span { start: self.after_brace(object.name.span.end).saturating_sub(1), ..object.span };
        let place = |name: &Name, value: &Expr| Span { end: value.span.end, ..name.span };
        let elements = object.fields.iter().map(|(name, value)| (place(name, value), assigned(name, value))).collect();
        self.braces(start, &head, Braces { elements, commas: false, span }, tail);
    }

    fn expect(&mut self, span: Span, all: &[Expectation]) {
        let whole = format!("expect {}", list(all, expectation));
        if self.one_line(span) && self.fits(&whole) {
            self.line_from(span.start, whole);
            return self.ended(span.end);
        }
        for (index, one) in all.iter().enumerate() {
            let text = expectation(one) + if index + 1 < all.len() { "," } else { "" };
            if index == 0 {
                self.comments_before(one.span.end);
                self.line_from(span.start, format!("expect {text}"));
                self.ended(one.span.end);
            } else {
                self.inside(|page| {
                    page.comments_before(one.span.end);
                    page.line_from(one.span.start, text);
                    page.ended(one.span.end);
                });
            }
        }
    }
}

fn field(field: &Field) -> String {
    format!("{}: {}{}", list(&field.names, declarator), ty(&field.ty), init(field.init.as_ref()))
}

/// `[i in 0..8]`, or nothing.
fn family(each: Option<&(Name, Expr, Expr)>) -> String {
    each.map_or(String::new(), |(name, low, high)| format!("[{} in {}]", name.text, range(low, high)))
}

fn head(object: &Object) -> String {
    format!("{}{}{}", object.name.text, family(object.each.as_ref()), if object.free { " free" } else { "" })
}

fn assigned(name: &Name, value: &Expr) -> String {
    format!("{} = {}", name.text, expr(value))
}

fn object(object: &Object) -> String {
    let fields: Vec<String> = object.fields.iter().map(|(name, value)| assigned(name, value)).collect();
    head(object) + &if fields.is_empty() { String::new() } else { format!(" {{ {} }}", fields.join("; ")) }
}

fn expectation(one: &Expectation) -> String {
    let ordering = one.ordering.as_ref().map_or(String::new(), |name| format!("{} ", name.text));
    let verdict = match one.verdict {
        Expected::Holds => "holds",
        Expected::Fails => "fails",
        Expected::Deadlocks => "deadlocks",
        Expected::Livelocks => "livelocks",
    };
    let message = one.message.as_ref().map_or(String::new(), |message| format!(" \"{}\"", message.text));
    let under = one.memory_model.as_ref().map_or(String::new(), |model| format!(" under {}", model.text));
    ordering + verdict + &message + &under
}
