//! Any bytes are parsed or refused with diagnostics; what is parsed can be taken apart by its places and parsed again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nostale_notifier::lang::{Sources, ast::File, parse};

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
    let apart: Vec<&str> = file.items.iter().map(|item| sources.slice(item.span)).collect();
    let again = Sources::new("again.nst", apart.join("\n"));
    match parse(&again, 0) {
        Ok(same) => assert_eq!(kinds(&file), kinds(&same)),
        Err(findings) => panic!("{}", findings.render(&again, false)),
    }
});

fn kinds(file: &File) -> Vec<std::mem::Discriminant<nostale_notifier::lang::ast::ItemKind>> {
    file.items.iter().map(|item| std::mem::discriminant(&item.kind)).collect()
}
