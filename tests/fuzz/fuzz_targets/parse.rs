//! Any bytes are parsed or refused with diagnostics; what is parsed is formatted, means the same, and stays as it is when formatted again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nostale_notifier::lang::{Sources, format, parse};

fuzz_target!(|bytes: &[u8]| {
    let sources = Sources::from_bytes("fuzz.nst", bytes);
    let file = match parse(&sources, 0) {
        Ok(file) => file,
        Err(findings) => {
            assert!(!findings.0.is_empty(), "refused for no reason");
            let _ = findings.render(&sources, bytes.len() % 2 == 0);
            return;
        }
    };
    let formatted = Sources::new("formatted.nst", format(&sources, 0).expect("what is parsed is formatted"));
    match parse(&formatted, 0) {
        Ok(same) => assert_eq!(without_places(&file), without_places(&same), "{}", formatted.get(0).expect("one text").text),
        Err(findings) => panic!("{}", findings.render(&formatted, false)),
    }
    assert_eq!(format(&formatted, 0).expect("formatted"), formatted.get(0).expect("one text").text);
});

/// A tree without its places, which formatting moves.
fn without_places(tree: &impl std::fmt::Debug) -> String {
    let debug = format!("{tree:?}");
    let mut parts = debug.split("Span {");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('}').map_or("", |(_, behind)| behind))
}
