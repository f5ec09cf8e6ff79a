//! The canonical layout.

use crate::parses::{EVERY_CONSTRUCT, examples, tree};
use nostale_notifier::lang::{Sources, ast::File, format, parse};
use proptest::prelude::*;

/// A text in canonical layout, after a check that it means the same, holds as many comments, and stays as it is from then on.
pub(crate) fn formatted(text: &str) -> String {
    let once = layout(text);
    assert_eq!(without_places(&tree(&once)), without_places(&tree(text)), "\n--- from\n{text}\n--- to\n{once}");
    // No text in these tests has a `#` inside quotes.
    assert_eq!(once.matches('#').count(), text.matches('#').count(), "\n--- from\n{text}\n--- to\n{once}");
    let twice = layout(&once);
    assert_eq!(twice, once, "\n--- from\n{text}");
    once
}

fn layout(text: &str) -> String {
    let sources = Sources::new("test.nst", text);
    format(&sources, 0).unwrap_or_else(|findings| panic!("{}\n{text}", findings.render(&sources, false)))
}

/// A tree as text, without the places in it.
fn without_places(file: &File) -> String {
    let shown = format!("{file:?}");
    let mut parts = shown.split("Span {");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('}').map_or(part, |(_, rest)| rest))
}

#[test]
fn the_examples_and_every_construct_mean_the_same_afterwards() {
    for text in examples().iter().map(String::as_str).chain([EVERY_CONSTRUCT]) {
        formatted(text);
    }
}

#[test]
fn the_layout_is_as_in_the_books() {
    let text = include_str!("layout/before.nst");
    let after = formatted(text);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lang/layout/after.nst");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &after).expect("writable");
    }
    assert_eq!(after, std::fs::read_to_string(path).expect("readable"));
}

#[test]
fn parentheses_are_there_where_they_are_needed() {
    for (text, expected) in [
        ("((a) && (b || c))", "a && (b || c)"),
        ("a - (b - c) - (d * e)", "a - (b - c) - d * e"),
        ("(a == b) && !(c == d)", "a == b && !(c == d)"),
        ("(a == b) == c", "(a == b) == c"),
        ("-(-a) + (-b)", "- -a + -b"),
        ("!(!a)", "!!a"),
        ("(forall p in (q): (p.x)) && (any 0..(1 + 1)) == 3", "(forall p in q: p.x) && (any 0..1 + 1) == 3"),
        ("exists p in q: (a || b)", "exists p in q: a || b"),
        ("((a.b)[(c)]).d", "a.b[c].d"),
        ("(a + b).c", "(a + b).c"),
        ("a % (b / c) * d", "a % (b / c) * d"),
        ("f((a), (b + c))", "f(a, b + c)"),
    ] {
        assert_eq!(formatted(&format!("never {text}")), format!("never {expected}\n"));
    }
}

#[test]
fn comments_and_line_ends_may_stand_anywhere() {
    let blanks = EVERY_CONSTRUCT.match_indices([' ', '\n']);
    let mut parsed = 0;
    for (at, blank) in blanks {
        for instead in [" # trailing\n", "\n\n\n# own\n\n", "\n"] {
            let text = [&EVERY_CONSTRUCT[..at], instead, &EVERY_CONSTRUCT[at + blank.len()..]].concat();
            if parse(&Sources::new("test.nst", text.as_str()), 0).is_ok() {
                formatted(&text);
                parsed += 1;
            }
        }
    }
    assert!(parsed > 500, "only {parsed}");
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["a", "x.pte", "F[1]", "3", "none", "true", "f()", "free", "[]"]).prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operators = vec!["||", "&&", "==", "<", "in", "+", "-", "*", "/", "%", "\n&&", "&& # why\n", "\n+"];
        prop_oneof![
            4 => (inner.clone(), prop::sample::select(operators), inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            1 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => inner.clone().prop_map(|a| format!("-({a})")),
            1 => inner.clone().prop_map(|a| format!("(({a}))")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("f(({a}), ({b})).next[{a}]")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(forall p in ({a}): ({b}))")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(any ({a}) .. ({b}))")),
            1 => inner.prop_map(|a| format!("[({a}), b]")),
        ]
    })
}

fn end() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\n",
        "\n",
        "; ",
        "; ",
        " ;\n",
        "\n\n\n",
        " # trailing\n",
        "; # trailing\n",
        "\n# own\n",
        "\n\n  # own\n\n",
    ])
}

fn statements() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => prop::sample::select(vec!["zap x", "smp_mb", "n++", "break", "return", "let p: page?", "f(a, b)", "out: n--"]).prop_map(str::to_owned),
        1 => expression().prop_map(|e| format!("x.pte = {e}")),
        1 => expression().prop_map(|e| format!("wait {e}")),
        1 => expression().prop_map(|e| format!("assert {e} \"a text\"")),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        let body = (
            prop::sample::select(vec!["", " ", "\n", " # opening\n", "\n\n # own\n"]),
            prop::collection::vec((inner, end()), 0..4),
            prop::sample::select(vec!["", "# last\n"]),
        )
            .prop_map(|(open, stmts, last)| {
                let stmts: String = stmts.into_iter().map(|(stmt, end)| stmt + end).collect();
                format!("{{{open}{stmts}{last}}}")
            })
            .boxed();
        let between = prop::sample::select(vec![" ", "\n", "# between\n", "\n\n# own\n\n"]);
        prop_oneof![
            2 => (expression(), body.clone()).prop_map(|(e, b)| format!("if {e} {b}")),
            2 => (expression(), body.clone(), between.clone(), body.clone()).prop_map(|(e, a, s, b)| format!("if {e} {a}{s}else {b}")),
            1 => (body.clone(), between.clone(), body.clone(), between.clone(), body.clone())
                .prop_map(|(a, s, b, t, c)| format!("l: if a {a}{s}else if b # why\n && c {b}{t}else {c}")),
            2 => (body.clone(), between, body.clone()).prop_map(|(a, s, b)| format!("choose {a}{s}or {b}")),
            1 => (expression(), body.clone()).prop_map(|(e, b)| format!("while {e} {b}")),
            1 => body.clone().prop_map(|b| format!("out: atomic {b}")),
            1 => body.clone().prop_map(|b| format!("for p in page {b}")),
            1 => body.prop_map(|b| format!("repeat 3 {b}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions_mean_the_same_afterwards(text in expression()) {
        formatted(&format!("never {text} \"a text\" # why\n"));
        formatted(&format!("const N = {text}"));
    }

    #[test]
    fn statements_mean_the_same_afterwards(stmts in prop::collection::vec((statements(), end()), 0..5)) {
        let text: String = stmts.into_iter().map(|(stmt, end)| stmt + end).collect();
        formatted(&format!("thread t {{ {text} }} # end\nop f(a): bool # why\n ordering a {{ {text} }}\n\n # own\n ordering b, c {{}}"));
    }
}
