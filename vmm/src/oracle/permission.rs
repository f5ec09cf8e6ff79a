//! *Permission*: once write access was taken away and the call has returned, the page does not change, whoever still has a
//! writable translation of it.

use super::{Access, Oracle, PageDump, Violation};
use crate::memory::Snapshot;
use nostale_notifier::HvaRange;

/// Judges two looks at a page between the return of the call that took write access away and the call that gives it back.
#[must_use]
pub fn inspect(operation: &str, page: u64, range: HvaRange, before: &Snapshot, after: &Snapshot) -> Option<Violation> {
    let (line, word, was, is) = before.difference(after)?;
    Some(Violation {
        page: Some(page),
        range: Some(range),
        access: Some(Access::Write),
        expected: was,
        found: is,
        pages: vec![
            PageDump { what: "the page when write access had been taken away".to_owned(), snapshot: before.clone() },
            PageDump { what: "the page before write access was given back".to_owned(), snapshot: after.clone() },
        ],
        ..Violation::new(
            Oracle::Permission,
            operation,
            format!("page {page} is not writable, but line {line} word {word} went from {was:#x} to {is:#x}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nostale_guest::page::LINES;
    use nostale_notifier::Hva;

    #[test]
    fn a_page_that_changes_while_read_only_is_a_violation() {
        let range = HvaRange::new(Hva::new(0x1000), 1).expect("aligned");
        let before = Snapshot { lines: [[5; 8]; LINES] };
        let mut after = before.clone();
        assert!(inspect("protect", 0, range, &before, &after).is_none());
        after.lines[7][0] = 6;
        let violation = inspect("protect", 0, range, &before, &after).expect("changed");
        assert_eq!((violation.oracle, violation.expected, violation.found), (Oracle::Permission, 5, 6));
    }
}
