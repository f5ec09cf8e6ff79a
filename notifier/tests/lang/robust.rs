//! No text makes the front end panic or overflow its stack.

use crate::format::formatted;
use nostale_notifier::lang::{ITEM_WORDS, STATEMENT_WORDS, Sources, format, parse};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// Parses, and shows what is wrong. True for a model.
fn run(text: &str) -> bool {
    let sources = Sources::new("test.nst", text);
    match parse(&sources, 0) {
        Ok(file) => {
            // Whoever walks a tree by recursion must be able to.
            assert_eq!(file.clone(), file);
            let _ = format!("{file:?}");
            formatted(text);
            true
        }
        Err(findings) => {
            assert!(!findings.0.is_empty() && findings.0.len() <= 20);
            let _ = (findings.render(&sources, false), findings.render(&sources, true));
            false
        }
    }
}

#[test]
fn nesting_is_limited_however_it_is_made() {
    for [what, head, open, middle, close, tail] in [
        ["parentheses", "never ", "(", "a", ")", ""],
        ["lists", "never a in ", "[", "a", "]", ""],
        ["blocks", "thread t {", "loop {", "a", "}", "}"],
        ["not", "never ", "!", "a", "", ""],
        ["minus", "never ", "- ", "a", "", ""],
        ["operators", "never ", "a + ", "a", "", ""],
        ["and", "never a", " && a", "", "", ""],
        ["fields", "never a", ".a", "", "", ""],
        ["indices", "never a", "[1]", "", "", ""],
        ["else if", "thread t { ", "if a { b } else ", "{ c }", "", " }"],
        ["labels", "thread t { ", "a: ", "b", "", " }"],
        ["quantifiers", "never ", "forall p in q: ", "p", "", ""],
    ] {
        let text = |times: usize| [head, &open.repeat(times), middle, &close.repeat(times), tail].concat();
        assert!(run(&text(50)), "{what}");
        assert!(!run(&text(20_000)), "{what}");
        // On both sides of the limit, wherever it is.
        for times in (50..450).step_by(7).chain(95..105).chain(395..405) {
            run(&text(times));
        }
    }
    assert!(run(&format!("thread t {{ {} }}", "a = b + c; ".repeat(20_000))));
    assert!(run(&format!("enum e {{ {} }}", "a, ".repeat(20_000))));
}

#[test]
fn a_long_text_is_refused_or_read_without_delay() {
    let begun = Instant::now();
    for (head, line, tail, expected) in [
        ("", "never\n", "", false),
        ("", "& x\n", "", false),
        ("", "}\n", "", false),
        ("", "\"\n", "", false),
        ("", "page A\n", "", true),
        ("", "# c\n", "", true),
        ("thread t {\n", "x = = y\n", "}", false),
        ("thread t {\n", "x = y\n", "", false),
        ("thread t {\n", "x = y # c\n", "}", true),
        ("never f(", "\n", "", false),
    ] {
        let text = [head, &line.repeat((1 << 19) / line.len()), tail].concat();
        let sources = Sources::new("test.nst", text);
        let formatted = format(&sources, 0).map_err(|findings| findings.render(&sources, false));
        assert_eq!(formatted.is_ok(), expected, "{line}");
    }
    // Some 3 s; where the time grows with the square of the length, it is minutes.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

fn soup() -> impl Strategy<Value = String> {
    const MORE: &[&str] = &[
        "else",
        "or",
        "ordering",
        "any",
        "forall",
        "exists",
        "in",
        "none",
        "true",
        "free",
        "list",
        "of",
        "typesafe",
        "holds",
        "fails",
        "under",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
        ".",
        "..",
        "?",
        "=",
        "+=",
        "++",
        "||",
        "&&",
        "==",
        "<",
        "+",
        "-",
        "*",
        "!",
        ";",
        "\n",
        "\n",
        "a",
        "page",
        "x",
        "3",
        "\"text\"",
        "# comment\n",
        "\"",
        "ä",
        "&",
        "'",
    ];
    let words: Vec<&str> = ITEM_WORDS.iter().chain(STATEMENT_WORDS).chain(MORE).chain(MORE).copied().collect();
    prop::collection::vec(prop::sample::select(words), 0..120).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let sources = Sources::from_bytes("test.nst", &bytes);
        if let Err(findings) = parse(&sources, 0) {
            let _ = findings.render(&sources, false);
        }
    }

    #[test]
    fn random_characters_do_not_panic(text in "\\PC{0,200}") {
        run(&text);
    }

    #[test]
    fn random_words_do_not_panic(text in soup()) {
        run(&text);
        run(&format!("thread t {{ {text} }}"));
    }

    #[test]
    fn a_model_with_something_missing_does_not_panic(from in 0usize..3000, length in 1usize..40) {
        let text = crate::parses::EVERY_CONSTRUCT;
        let from = from.min(text.len());
        let to = (from + length).min(text.len());
        run(&[&text[..from], &text[to..]].concat());
    }
}
