//! Which elements expressions and actions can read and write.

use crate::model::{Action, Expr, Place};

use super::fold::{element, is_static};
use super::layout::Layout;

/// A set of elements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Elements(Vec<u64>);

impl Elements {
    pub(super) fn none(layout: &Layout) -> Elements {
        Elements(vec![0; layout.fields.len().div_ceil(64)])
    }

    pub(super) fn add(&mut self, element: usize) {
        self.0[element / 64] |= 1 << (element % 64);
    }

    pub(super) fn has(&self, element: usize) -> bool {
        self.0[element / 64] >> (element % 64) & 1 != 0
    }

    pub(super) fn meets(&self, other: &Elements) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// What an expression can read: with an index that is not a constant, the whole variable.
    pub(super) fn read_by(layout: &Layout, e: &Expr) -> Elements {
        let mut set = Elements::none(layout);
        set.add_reads(layout, e);
        set
    }

    /// What actions can write.
    pub(super) fn written_by(layout: &Layout, actions: &[Action]) -> Elements {
        let mut set = Elements::none(layout);
        set.add_writes(layout, actions);
        set
    }

    pub(super) fn add_reads(&mut self, layout: &Layout, e: &Expr) {
        match e {
            Expr::Const(_) => {}
            Expr::Read(place) => {
                self.add_place(layout, place, false);
                self.add_index(layout, place);
            }
            Expr::Not(inner) => self.add_reads(layout, inner),
            Expr::Binary(_, a, b) => {
                self.add_reads(layout, a);
                self.add_reads(layout, b);
            }
            Expr::Select(parts) => parts.iter().for_each(|part| self.add_reads(layout, part)),
        }
    }

    pub(super) fn add_writes(&mut self, layout: &Layout, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Set(place, _) => self.add_place(layout, place, true),
                Action::Forget(var) => layout.elements(*var).for_each(|element| self.add(element)),
                Action::If(_, then, other) => {
                    self.add_writes(layout, then);
                    self.add_writes(layout, other);
                }
                Action::Fail { .. } => {}
            }
        }
    }

    /// Adds what actions can read, too.
    pub(super) fn add_all(&mut self, layout: &Layout, actions: &[Action]) {
        self.add_writes(layout, actions);
        for action in actions {
            match action {
                Action::Set(place, value) => {
                    self.add_index(layout, place);
                    self.add_reads(layout, value);
                }
                Action::If(when, then, other) => {
                    self.add_reads(layout, when);
                    self.add_all(layout, then);
                    self.add_all(layout, other);
                }
                Action::Forget(_) => {}
                Action::Fail { when, .. } => self.add_reads(layout, when),
            }
        }
    }

    fn add_index(&mut self, layout: &Layout, place: &Place) {
        if let Some(index) = &place.index {
            self.add_reads(layout, index);
        }
    }

    fn add_place(&mut self, layout: &Layout, place: &Place, write: bool) {
        if is_static(place) {
            if let Some(element) = element(layout, place, write) {
                self.add(element);
            }
        } else {
            layout.elements(place.var).for_each(|element| self.add(element));
        }
    }
}
