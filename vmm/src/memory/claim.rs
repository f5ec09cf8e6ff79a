//! Who may change how which pages are mapped: operations on the same arena must not undo each other.

use nostale_notifier::HvaRange;
use std::{
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Some neighbouring arena pages, at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    first: u64,
    range: HvaRange,
}

impl Span {
    /// First arena page.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The pages at home.
    #[must_use]
    pub const fn range(&self) -> HvaRange {
        self.range
    }

    /// Indices of the pages.
    #[must_use]
    pub fn pages(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.range.pages()
    }

    /// `pages` pages from page `first` of this span, or `None` if they do not lie inside.
    #[must_use]
    pub fn part(&self, first: u64, pages: u64) -> Option<Self> {
        Some(Self { first: self.first + first, range: self.range.part(first, pages)? })
    }
}

/// Exclusive use of a span by an operation that changes how its pages are mapped.
#[derive(Debug)]
pub struct Claim<'a> {
    claims: &'a Claims,
    span: Span,
}

impl Deref for Claim<'_> {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.span
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims.lock().retain(|claimed| *claimed != self.span.range);
    }
}

/// All claims on one arena.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<Vec<HvaRange>>);

impl Claims {
    fn lock(&self) -> MutexGuard<'_, Vec<HvaRange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims `range`, whose first page is arena page `first`, or `None` while anybody else has any of it.
    pub(super) fn claim(&self, first: u64, range: HvaRange) -> Option<Claim<'_>> {
        let mut claims = self.lock();
        if claims.iter().any(|claimed| claimed.overlaps(range)) {
            return None;
        }
        claims.push(range);
        Some(Claim { claims: self, span: Span { first, range } })
    }
}
