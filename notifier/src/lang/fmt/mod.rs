//! The canonical layout of a model file.
//!
//! The text is printed anew from its tree; comments are taken from the text and put where they stood in relation to what is
//! around them. A block that was written on one line stays on one line if it fits, and so do simple statements that share a line.
//! What was lined up stays so: the braces of orderings, and the comments behind lines.

mod chain;
mod columns;
mod expr;
mod item;
mod op;
mod page;
mod stmt;

use super::{Diagnostics, Sources, parse::parse_with_comments};
use page::Page;

/// Columns of a line, unless something in it cannot be broken.
const WIDTH: usize = 120;

/// Text number `text` in canonical layout.
///
/// # Errors
/// What is wrong with it, as [`parse`](super::parse()) says.
pub fn format(sources: &Sources, text: u16) -> Result<String, Diagnostics> {
    let (file, comments) = parse_with_comments(sources, text)?;
    let source = sources.get(text).map(|source| source.text.as_str()).unwrap_or_default();
    let mut page = Page::new(source, &comments);
    for item in &file.items {
        page.item(item);
    }
    page.comments_before(u32::MAX);
    Ok(page.finish())
}
