//! Library texts: declarations that `use NAME` takes into a model.

use crate::lang::{
    Sources,
    ast::{File, Item, ItemKind},
    parse,
};
use std::{collections::BTreeMap, sync::LazyLock};

/// The texts, by name.
pub(super) const TEXTS: &[(&str, &str)] =
    &[("memory", include_str!("../../library/memory.nst")), ("operations", include_str!("../../library/operations.nst"))];

/// What takes their place where a test runs on a real machine.
pub(super) const REAL: &[(&str, &str)] = &[
    ("memory", include_str!("../../library/real-memory.nst")),
    ("operations", include_str!("../../library/real-operations.nst")),
];

/// The names that the texts declare, each with its text: parsed once, since a file may have any number of unknown names.
static DECLARED: LazyLock<BTreeMap<String, &'static str>> = LazyLock::new(|| {
    let file = |text: &str| parse(&Sources::new("library", text), 0).unwrap_or(File { items: Vec::new() });
    let declared = |(name, text): &(&'static str, &str)| {
        let names: Vec<String> = file(text).items.iter().flat_map(names).map(str::to_owned).collect();
        names.into_iter().map(|declared| (declared, *name)).collect::<Vec<_>>()
    };
    TEXTS.iter().flat_map(declared).collect()
});

/// The text that declares a name at its top level. Where that text is in use already, nobody has to ask.
pub(super) fn declaring(name: &str) -> Option<&'static str> {
    DECLARED.get(name).copied()
}

/// What an item declares.
fn names(item: &Item) -> Vec<&str> {
    match &item.kind {
        ItemKind::Const { name, .. } | ItemKind::Kind { name, .. } | ItemKind::Thread { name, .. } => vec![&name.text],
        ItemKind::Op(op) => vec![&op.name.text],
        ItemKind::Enum { name, values } => [name].into_iter().chain(values).map(|name| name.text.as_str()).collect(),
        ItemKind::Var { vars, .. } => vars.iter().map(|var| var.name.text.as_str()).collect(),
        ItemKind::Objects { objects, .. } => objects.iter().map(|object| object.name.text.as_str()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_text_are_those_that_it_declares() {
        for name in ["page", "virt", "ptl", "mmu_lock", "seq", "flush", "zap"] {
            assert_eq!(declaring(name), Some("memory"), "{name}");
        }
        assert_eq!((declaring("pte"), declaring("x"), declaring("memory")), (None, None, None));
    }
}
