//! Identifiers and texts that another language takes, as near to ours as it allows.

use std::collections::HashSet;

/// Hands out identifiers, each once. Case does not tell two of them apart: some readers of Murphi ignore it.
pub(super) struct Names {
    taken: HashSet<String>,
    reserved: &'static [&'static str],
    /// Whether a name in capitals only could be a macro.
    macros: bool,
}

impl Names {
    pub(super) fn new(reserved: &'static [&'static str], macros: bool) -> Self {
        Self { taken: HashSet::new(), reserved, macros }
    }

    /// `page.data` becomes `page_data`, `vcpu[1].r` becomes `vcpu_1_r`.
    pub(super) fn identifier(&mut self, name: &str) -> String {
        let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let mut base = words.collect::<Vec<_>>().join("_");
        if !base.starts_with(|c: char| c.is_ascii_alphabetic()) {
            base.insert_str(0, "v_");
        }
        let lower = base.to_ascii_lowercase();
        let is_macro = self.macros && !base.contains(|c: char| c.is_ascii_lowercase());
        if is_macro || self.reserved.contains(&lower.as_str()) {
            base.push_str("_v");
        }
        self.unique(base, "_")
    }

    /// `name`, or the first of `name_2`, `name_3`, … that nobody has (with another separator: `lock mmu 2`).
    pub(super) fn unique(&mut self, name: String, separator: &str) -> String {
        let mut unique = name.clone();
        let mut number = 2;
        while !self.taken.insert(unique.to_ascii_lowercase()) {
            unique = format!("{name}{separator}{number}");
            number += 1;
        }
        unique
    }
}

/// A text for between double quotes, and for a comment: one line that ends neither.
pub(super) fn quotable(text: &str) -> String {
    let safe = text.chars().map(|c| match c {
        '"' => '\'',
        '\\' => '|',
        c if c.is_control() => ' ',
        c => c,
    });
    safe.collect::<String>().replace("/*", "/ *").replace("*/", "* /")
}
