//! Text that fits: free of control characters, and wrapped at words.
//!
//! Reasons and details carry what system calls, paths and the kernel log said. None of that may move the cursor of a terminal or
//! break a line-based format. Every character counts as one column.

/// One line without control characters: runs of them and of white space become one space.
pub(crate) fn clean(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Columns that a text takes.
fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Lines of at most `width` columns; a word that is longer than that is cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in clean(text).split(' ') {
        let mut word = word.to_owned();
        let used = columns(&line);
        if used > 0 && used + 1 + columns(&word) <= width {
            line.push(' ');
        } else if used > 0 {
            lines.push(std::mem::take(&mut line));
        }
        while columns(&word) > width {
            let rest = word.chars().skip(width).collect();
            lines.push(word.chars().take(width).collect());
            word = rest;
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

/// Wrapped text behind `first`, with the following lines below the text.
pub(super) fn hanging(first: &str, text: &str, width: usize) -> Vec<String> {
    let indent = columns(first);
    let lines = wrap(text, width.saturating_sub(indent)).into_iter().enumerate();
    lines.map(|(n, line)| if n == 0 { format!("{first}{line}") } else { format!("{:indent$}{line}", "") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_is_left() {
        assert_eq!(clean("a\x1b[31m\n\tb\u{9b}2J\0"), "a [31m b 2J");
        assert_eq!(clean(" \n "), "");
    }

    #[test]
    fn lines_break_at_words_and_long_words_are_cut() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a abcdefgh b", 3), ["a", "abc", "def", "gh", "b"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("ab", 0), ["a", "b"]);
        assert_eq!(hanging("note: ", "one two", 9), ["note: one", "      two"]);
    }
}
