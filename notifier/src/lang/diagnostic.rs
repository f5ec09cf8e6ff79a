//! What is wrong with a text, shown in the text.

use super::{Sources, ast::Span};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::{fmt, ops::Range};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Worth a look.
    Warning,
    /// The model cannot be used.
    Error,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where, and what is to be seen there.
    pub primary: Option<(Span, String)>,
    /// Other places that belong to it.
    pub secondary: Vec<(Span, String)>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// What can be done.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// A warning without a place yet.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    fn new(severity: Severity, message: String) -> Self {
        Self { severity, message, primary: None, secondary: Vec::new(), notes: Vec::new(), help: Vec::new() }
    }

    /// Where it is.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some((span, label.into()));
        self
    }

    /// Another place that belongs to it.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push((span, label.into()));
        self
    }

    /// What else is to be known.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// What can be done.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The finding with the lines that it is about, as rustc shows it.
    #[must_use]
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let places = self.primary.iter().map(|place| (AnnotationKind::Primary, place));
        let places: Vec<_> = places.chain(self.secondary.iter().map(|place| (AnnotationKind::Context, place))).collect();
        let mut texts: Vec<u16> = Vec::new();
        for (_, (span, _)) in &places {
            if !texts.contains(&span.text) {
                texts.push(span.text);
            }
        }
        let mut group = Group::with_title(level.primary_title(&*self.message));
        for text in texts {
            let Some(source) = sources.get(text) else { continue };
            let here = || places.iter().filter(|(_, (span, _))| span.text == text);
            let window = lines_of(here().map(|(_, (span, _))| within(*span, &source.text)), &source.text);
            let annotations = here().map(|(kind, (span, label))| {
                let range = within(*span, &source.text);
                let label = (!label.is_empty()).then_some(label.as_str());
                kind.span(range.start - window.start..range.end - window.start).label(label)
            });
            let line = source.text[..window.start].matches('\n').count() + 1;
            let snippet = Snippet::source(&source.text[window.clone()]).line_start(line).path(&*source.name);
            group = group.element(snippet.annotations(annotations));
        }
        group = group.elements(self.notes.iter().map(|note| Level::NOTE.message(&**note)));
        group = group.elements(self.help.iter().map(|help| Level::HELP.message(&**help)));
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// The whole lines that hold some places: the renderer looks at every line that it is given, for each finding.
fn lines_of(places: impl Iterator<Item = Range<usize>>, text: &str) -> Range<usize> {
    let (start, end) = places.fold((text.len(), 0), |(start, end), place| (start.min(place.start), end.max(place.end)));
    let start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    start..text[end..].find('\n').map_or(text.len(), |newline| end + newline)
}

/// The bytes of a place, cut to whole characters of the text, so that no place can make the renderer panic.
fn within(span: Span, text: &str) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start as usize);
    // Up and not down, or a place inside a character would be empty.
    let mut end = (span.end as usize).clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// One finding or more, in the order of the text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// All findings, with an empty line after each.
    #[must_use]
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        self.0.iter().map(|diagnostic| diagnostic.render(sources, colour) + "\n\n").collect()
    }

    /// One of them is an error.
    #[must_use]
    pub fn any_error(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    /// The messages alone: for a log, where the texts are not at hand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { "; " }, diagnostic.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_two_texts_are_shown_in_both_and_no_place_panics() {
        let mut sources = Sources::new("a.nst", "zap Ä");
        let library = sources.add("memory.nst", "op zap(x) {}\n");
        let finding = Diagnostic::error("too much")
            .at(Span { text: 0, start: 4, end: 5 }, "here")
            .also(Span { text: library, start: 3, end: 6 }, "declared here")
            .help("less");
        let shown = finding.render(&sources, false);
        for part in ["error: too much", "a.nst:1:5", "memory.nst", "declared here", "help: less"] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(finding.render(&sources, true).contains("\u{1b}["));
        for span in [(5, 5), (5, 6), (6, 6), (6, 900), (900, 7)] {
            let span = Span { text: 0, start: span.0, end: span.1 };
            let _ = Diagnostic::warning("odd").at(span, "").render(&sources, false);
        }
    }
}
