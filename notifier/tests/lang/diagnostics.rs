//! What a person is told about a text that is no model.

use nostale_notifier::lang::{Diagnostics, Sources, parse};

use crate::snapshots;

#[test]
fn what_is_said_about_bad_texts_reads_well() {
    snapshots::compare("lang/bad", 12, |sources| parse(&sources, 0).expect_err("no model").render(&sources, false));
}

fn findings(text: &str) -> Diagnostics {
    parse(&Sources::new("test.nst", text), 0).expect_err("no model")
}

#[test]
fn one_run_reports_what_is_wrong_in_every_item_but_not_without_end() {
    assert_eq!(findings("thread a { x = ; y ? ; z = 1 }\nnever\nthread b { if = { c } ; d = }").0.len(), 5);
    let many = findings(&"never\n".repeat(50));
    assert_eq!(many.0.len(), 20);
    assert_eq!(many.0[19].notes, ["30 more places are wrong"]);
}

#[test]
fn the_block_of_a_broken_statement_does_not_end_the_thread() {
    let all = findings("thread a {\n if == { b }\n else { c }\n while < { d }\n x ++ 1\n}\nnever a");
    let lines: Vec<u32> =
        all.0.iter().map(|finding| Sources::new("", LINES).line(finding.primary.as_ref().expect("placed").0)).collect();
    assert_eq!(lines, [2, 4, 5]);
}

/// The text of the test above, for its line numbers.
const LINES: &str = "thread a {\n if == { b }\n else { c }\n while < { d }\n x ++ 1\n}\nnever a";

#[test]
fn an_unclosed_block_ends_where_an_item_begins() {
    let all = findings("thread a {\n  if b {\n    c\n}\nop d { e }\nthread f {");
    assert_eq!(all.0.len(), 2, "{all}");
    assert!(all.0.iter().all(|finding| finding.message == "a `{` that is never closed"), "{all}");
}

#[test]
fn what_is_no_text_is_said_to_be_none() {
    let binary = Sources::from_bytes("a.out", b"\x7fELF\x02\x01\xff\xfe");
    let said = parse(&binary, 0).expect_err("no model").render(&binary, false);
    assert!(said.contains("not a UTF-8 text") && said.contains("a.out:1:"), "{said}");
    assert!(findings("model \"a\0b\"").to_string().contains("not a UTF-8 text"));
    assert!(findings(&"\n".repeat((1 << 20) + 1)).to_string().contains("the limit is 1 MiB"));
    assert!(parse(&Sources::new("x", ""), 7).is_err());
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_beginning_only() {
    assert!(parse(&Sources::new("bom.nst", "\u{feff}thread a { }"), 0).is_ok());
    assert!(findings("thread a { } \u{feff}").to_string().contains("is no word"));
}
