//! The texts that a model is made of.

use super::ast::Span;

/// A model file and the library texts that it uses. [`Span::text`] counts in them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: Vec<Source>,
}

/// One text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Its file, as a person is told.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl Sources {
    /// A model file: text 0.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { texts: vec![Source { name: name.into(), text: text.into() }] }
    }

    /// A model file as it was read. Bytes that are no UTF-8 become U+FFFD, which the parser refuses at its place.
    #[must_use]
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(name, String::from_utf8_lossy(bytes))
    }

    /// Adds a library text and returns its number.
    ///
    /// # Panics
    /// With more than 65536 texts; there are as many as `use` has names for, which is a handful.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> u16 {
        let number = u16::try_from(self.texts.len()).expect("a handful of texts");
        self.texts.push(Source { name: name.into(), text: text.into() });
        number
    }

    /// The text of a number; none that was not given out.
    #[must_use]
    pub fn get(&self, text: u16) -> Option<&Source> {
        self.texts.get(usize::from(text))
    }

    /// What stands at a place; nothing for one that is not in the text.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.text).and_then(|source| source.text.get(span.start as usize..span.end as usize)).unwrap_or_default()
    }

    /// The line of a place, from 1.
    #[must_use]
    pub fn line(&self, span: Span) -> u32 {
        let before = self.get(span.text).and_then(|source| source.text.as_bytes().get(..span.start as usize));
        let newlines = before.unwrap_or_default().iter().filter(|&&byte| byte == b'\n').count();
        u32::try_from(newlines).unwrap_or(u32::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_again_and_foreign_ones_do_no_harm() {
        let mut sources = Sources::new("a.nst", "one\ntwo\n");
        let library = sources.add("memory", "three");
        let two = Span { text: 0, start: 4, end: 7 };
        assert_eq!((sources.slice(two), sources.line(two)), ("two", 2));
        assert_eq!(sources.slice(Span { text: library, start: 0, end: 5 }), "three");
        assert_eq!(sources.slice(Span { text: 7, start: 0, end: 9 }), "");
        assert_eq!(sources.slice(Span { text: library, start: 3, end: 90 }), "");
    }
}
