//! No text makes the front end panic or overflow its stack.

use nostale_notifier::lang::{ITEM_WORDS, STATEMENT_WORDS, Sources, parse};
use proptest::prelude::*;

/// Parses, and shows what is wrong. True for a model.
fn run(text: &str) -> bool {
    let sources = Sources::new("test.nst", text);
    match parse(&sources, 0) {
        Ok(file) => {
            // Whoever walks a tree by recursion must be able to.
            assert_eq!(file.clone(), file);
            let _ = format!("{file:?}");
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
        for times in 50..450 {
            run(&text(times));
        }
    }
    assert!(run(&format!("thread t {{ {} }}", "a = b + c; ".repeat(20_000))));
    assert!(run(&format!("enum e {{ {} }}", "a, ".repeat(20_000))));
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
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

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
