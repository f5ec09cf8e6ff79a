//! What is a model, and what tree it is.

use nostale_notifier::lang::{
    Sources,
    ast::{BinaryOp, Domain, Expr, ExprKind, File, ItemKind, StmtKind},
    parse,
};

/// The tree of a text that has one.
pub(crate) fn tree(text: &str) -> File {
    let sources = Sources::new("test.nst", text);
    parse(&sources, 0).unwrap_or_else(|findings| panic!("{}", findings.render(&sources, false)))
}

/// The examples of LANGUAGE.md.
pub(crate) fn examples() -> Vec<String> {
    let page = include_str!("../../LANGUAGE.md");
    let blocks = page.split("```nst\n").skip(1).map(|block| block.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

/// Every construct at least once.
pub(crate) const EVERY_CONSTRUCT: &str = include_str!("every_construct.nst");

#[test]
fn every_construct_parses() {
    let file = tree(EVERY_CONSTRUCT);
    assert_eq!(file.items.len(), 33);
}

#[test]
fn the_examples_of_the_language_parse() {
    assert!(!examples().is_empty());
    for example in examples() {
        tree(&example);
    }
}

/// An expression, with every operand of an operator in parentheses.
fn grouped(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Number(number) => number.to_string(),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Field(of, field) => format!("{}.{}", grouped(of), field.text),
        ExprKind::Index(of, index) => format!("{}[{}]", grouped(of), grouped(index)),
        ExprKind::Unary(op, operand) => format!("({op:?} {})", grouped(operand)),
        ExprKind::Binary(op, a, b) => format!("({} {op:?} {})", grouped(a), grouped(b)),
        ExprKind::Quantified { all, name, domain: Domain::Of(of), body } => {
            format!("({} {} {}: {})", if *all { "all" } else { "some" }, name.text, grouped(of), grouped(body))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn operators_bind_as_in_the_table() {
    for (text, expected) in [
        ("a || b && c || d", "((a Or (b And c)) Or d)"),
        ("a == b && c in l", "((a Eq b) And (c In l))"),
        ("a + b * c - d < e % f", "(((a Add (b Mul c)) Sub d) Lt (e Mod f))"),
        ("!a.b[1].c && -x - -1 != 0", "((Not a.b[1].c) And (((Neg x) Sub (Neg 1)) Ne 0))"),
        ("!!a || !(a || b)", "((Not (Not a)) Or (Not (a Or b)))"),
        ("(a - (b - c)) / d", "((a Sub (b Sub c)) Div d)"),
        ("forall p in page: p.x == 1 || p.y == 2", "(all p page: ((p.x Eq 1) Or (p.y Eq 2)))"),
        ("(exists v in l.m: v) && a", "((some v l.m: v) And a)"),
    ] {
        let file = tree(&format!("never {text}"));
        let ItemKind::Property { condition, .. } = &file.items[0].kind else { panic!("{file:?}") };
        assert_eq!(grouped(condition), expected, "{text}");
    }
}

/// How many statements the only thread has.
fn statements(body: &str) -> usize {
    let file = tree(&format!("thread t {body}"));
    match &file.items[..] {
        [item] => match &item.kind {
            ItemKind::Thread { body, .. } => body.stmts.len(),
            other => panic!("{other:?}"),
        },
        others => panic!("{others:?}"),
    }
}

#[test]
fn a_line_ends_a_statement_unless_it_goes_on() {
    for (body, count) in [
        ("{ a; b; c }", 3),
        ("{\n\n a\n\n b; ;; \n ; c;\n}", 3),
        ("{ x = 1 +\n 2 }", 1),
        ("{ x = 1\n + 2 }", 1),
        ("{ wait a\n && b # why\n\n # and\n || c }", 1),
        ("{ f(a,\n b\n) }", 1),
        ("{ if a { b }\n else { c }\n d }", 2),
        ("{ choose { b }\n\n or { c }\n d }", 2),
        ("{ if a { b } c = 1 }", 2),
        ("{ assert a\n \"why\"\n b }", 2),
        ("{ return\n a }", 2),
        ("{ return a }", 1),
        ("{ out:\n a\n b }", 2),
        ("\n{ a\r\n b\r\n }", 2),
        ("{ n++\n m-- }", 2),
        ("{ let p: page?\n let q = none\n q = true }", 3),
    ] {
        assert_eq!(statements(body), count, "{body}");
    }
}

#[test]
fn a_minus_at_the_beginning_of_a_line_does_not_go_on() {
    // It begins nothing either; but a later `-1` must not silently change the statement before it.
    let sources = Sources::new("test.nst", "thread t { x = a\n -b }");
    assert!(parse(&sources, 0).is_err());
}

#[test]
fn words_that_are_needed_in_one_place_are_names_in_others() {
    for text in ["source source \"x\"", "kind list { model: bool }", "page free free, holds, under", "var fails, flag: 0..1"] {
        let expected_error = text.starts_with("source source");
        assert_eq!(parse(&Sources::new("test.nst", text), 0).is_err(), expected_error, "{text}");
    }
    tree("page source\nthread mutex { source.list = under; free free; deadlocks(of) }\nexpect year holds, flag fails");
}

#[test]
fn a_call_has_its_arguments_with_and_without_parentheses() {
    let file = tree("thread t { lock x.ptl; smp_mb; f(a, b + 1); zap F[1].next; put(x.refs) }");
    let ItemKind::Thread { body, .. } = &file.items[0].kind else { panic!("{file:?}") };
    let calls: Vec<_> = body
        .stmts
        .iter()
        .map(|stmt| match &stmt.kind {
            StmtKind::Call { name, args, parens } => (name.text.as_str(), args.len(), *parens),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(calls, [("lock", 1, false), ("smp_mb", 0, false), ("f", 2, true), ("zap", 1, false), ("put", 1, true)]);
}

#[test]
fn places_are_where_things_are() {
    let text = "never a . b == ( c + 1 )  \"why\"";
    let sources = Sources::new("test.nst", text);
    let file = parse(&sources, 0).expect("parses");
    let ItemKind::Property { condition, message, .. } = &file.items[0].kind else { panic!("{file:?}") };
    let ExprKind::Binary(BinaryOp::Eq, a, b) = &condition.kind else { panic!("{condition:?}") };
    let message = message.as_ref().expect("has one");
    for (span, expected) in [
        (file.items[0].span, text),
        (condition.span, "a . b == ( c + 1 )"),
        (a.span, "a . b"),
        (b.span, "c + 1"),
        (message.span, "\"why\""),
    ] {
        assert_eq!(sources.slice(span), expected);
    }
    assert_eq!(message.text, "why");
}
