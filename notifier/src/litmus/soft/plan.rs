//! How each step is made atomic.
//!
//! The unit of locking is a cell; where a step that touches several cells finds one of them by an index, it is all elements of that
//! variable. The lock of a unit is the highest bit of its (first) cell. A step takes all its units or, where one is taken, lets go
//! and begins anew, so that no two steps wait for each other.

use std::collections::BTreeSet;

use super::cells::{Cell, Cells};
use crate::model::{Action, Expr, Model, Place, Step, VarId};

/// How a step is made atomic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// It touches nothing that others see.
    Own,
    /// It reads one element, once: a load.
    Load(usize),
    /// It reads one element of a variable by an index: a load.
    LoadAt,
    /// It writes, and reads nothing that others see: an exchange.
    Store,
    /// It reads and writes one element: a compare-and-swap.
    Swap(usize),
    /// It takes these units, by the offsets of their cells; what it writes last needs no lock of its own, if there is no unit for it.
    Locked(Vec<usize>),
}

/// How all steps of a model are made atomic.
#[derive(Debug)]
pub(super) struct Plan {
    /// By step.
    pub(super) how: Vec<How>,
    /// Variables that are one unit.
    grouped: BTreeSet<VarId>,
    /// Variables that some step locks.
    locked: BTreeSet<VarId>,
}

impl Plan {
    pub(super) fn of(model: &Model, cells: &Cells) -> Self {
        let steps: Vec<Accesses> = model.steps.iter().map(|step| Accesses::of(model, cells, step)).collect();
        let simple: Vec<Option<How>> = steps.iter().zip(&model.steps).map(|(step, of)| step.simple(of, cells)).collect();
        let complex = || steps.iter().zip(&simple).filter(|(_, simple)| simple.is_none()).map(|(step, _)| step);
        // A write that comes last takes effect by itself, while what was read is still locked; unless others lock what it writes.
        let mut locked: BTreeSet<VarId> = complex().flat_map(Accesses::needed).collect();
        loop {
            let before = locked.len();
            let more: Vec<VarId> = complex().filter_map(|step| step.last_write).filter(|var| locked.contains(var)).collect();
            locked.extend(more);
            if locked.len() == before {
                break;
            }
        }
        let by_index: BTreeSet<VarId> =
            steps.iter().flat_map(|step| &step.all).filter(|access| access.element.is_none()).map(|access| access.var).collect();
        let grouped: BTreeSet<VarId> = by_index.intersection(&locked).copied().collect();
        let mut this = Self { how: Vec::new(), grouped, locked };
        this.how = steps.iter().zip(simple).map(|(step, simple)| this.how(step, simple, cells)).collect();
        this
    }

    fn how(&self, step: &Accesses, simple: Option<How>, cells: &Cells) -> How {
        // The lock of a group is not in the cell that is read or written: nothing but taking it tells whether it is free just then.
        let grouped = step.all.iter().any(|access| self.grouped.contains(&access.var));
        simple.filter(|_| !grouped).unwrap_or_else(|| How::Locked(self.units(step, cells)))
    }

    fn units(&self, step: &Accesses, cells: &Cells) -> Vec<usize> {
        let locked = step.all.iter().filter(|access| self.locked.contains(&access.var));
        let mut units = BTreeSet::new();
        for access in locked {
            let elements = cells.elements(access.var);
            let element =
                if self.grouped.contains(&access.var) { elements.start } else { access.element.unwrap_or(elements.start) };
            if let Cell::Shared(at) = cells.cell(element) {
                units.insert(at);
            }
        }
        units.into_iter().collect()
    }

    /// The cell whose highest bit says whether an element is taken, if any step takes it.
    pub(super) fn unit(&self, cells: &Cells, var: VarId, element: usize) -> Option<usize> {
        let of = if self.grouped.contains(&var) { cells.elements(var).start } else { element };
        match cells.cell(of) {
            Cell::Shared(at) if self.locked.contains(&var) => Some(at),
            _ => None,
        }
    }
}

/// An access to what others see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Access {
    var: VarId,
    /// Which element; none: found by an index.
    element: Option<usize>,
    write: bool,
}

/// All accesses of a step to what others see, in the order of the text.
#[derive(Debug, Default)]
struct Accesses {
    all: Vec<Access>,
    /// The variable of the only write, if nothing is read after it.
    last_write: Option<VarId>,
}

impl Accesses {
    fn of(model: &Model, cells: &Cells, step: &Step) -> Self {
        let mut this = Self::default();
        this.expr(cells, &step.guard);
        this.actions(model, cells, &step.actions);
        let writes: Vec<_> = this.all.iter().filter(|access| access.write).collect();
        this.last_write = match (&writes[..], this.all.last()) {
            ([only], Some(last)) if last.write => Some(only.var),
            _ => None,
        };
        this
    }

    /// Variables that have to be locked, if the last write need not be.
    fn needed(&self) -> impl Iterator<Item = VarId> {
        let last = self.last_write;
        self.all.iter().filter(move |access| !(access.write && last == Some(access.var))).map(|access| access.var)
    }

    /// How the step is made atomic if that takes no lock.
    fn simple(&self, step: &Step, cells: &Cells) -> Option<How> {
        let first = self.all.first();
        let one = first.filter(|first| self.all.iter().all(|access| access.var == first.var && access.element == first.element));
        match (one, first) {
            (_, None) => Some(How::Own),
            (Some(one), _) if self.all.iter().all(|access| !access.write) => match one.element {
                Some(element) => Some(How::Load(element)),
                None => (self.all.len() == 1).then_some(How::LoadAt),
            },
            (Some(one), _) if self.all.len() == 1 && one.write => Some(How::Store),
            (Some(one), _) => one.element.filter(|_| can_swap(&step.actions, cells)).map(How::Swap),
            _ => None,
        }
    }

    fn actions(&mut self, model: &Model, cells: &Cells, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Set(place, value) => {
                    self.expr(cells, value);
                    self.place(cells, place, true);
                }
                Action::Forget(var) => Action::forgetting(model, *var).for_each(|set| {
                    if let Action::Set(place, _) = set {
                        self.place(cells, &place, true);
                    }
                }),
                Action::If(when, then, other) => {
                    self.expr(cells, when);
                    self.actions(model, cells, then);
                    self.actions(model, cells, other);
                }
                Action::Fail { when, .. } => self.expr(cells, when),
            }
        }
    }

    fn expr(&mut self, cells: &Cells, expr: &Expr) {
        match expr {
            Expr::Const(_) => {}
            Expr::Read(place) => self.place(cells, place, false),
            Expr::Not(operand) => self.expr(cells, operand),
            Expr::Binary(_, left, right) => [left, right].into_iter().for_each(|operand| self.expr(cells, operand)),
            Expr::Select(parts) => parts.iter().for_each(|part| self.expr(cells, part)),
        }
    }

    fn place(&mut self, cells: &Cells, place: &Place, write: bool) {
        place.index.iter().for_each(|index| self.expr(cells, index));
        if cells.is_shared(place.var) {
            self.all.push(Access { var: place.var, element: fixed(cells, place), write });
        }
    }
}

/// The element of a place whose index is a number (an index outside the variable reads the first).
pub(super) fn fixed(cells: &Cells, place: &Place) -> Option<usize> {
    let elements = cells.elements(place.var);
    match place.index.as_deref() {
        None => Some(elements.start),
        Some(Expr::Const(at)) => {
            let at = usize::try_from(*at).ok().map(|at| elements.start + at).filter(|at| elements.contains(at));
            Some(at.unwrap_or(elements.start))
        }
        Some(_) => None,
    }
}

/// Whether the one write of actions comes at their top level, with nothing but checks before it: all of that can be done anew until
/// the compare-and-swap succeeds.
fn can_swap(actions: &[Action], cells: &Cells) -> bool {
    let is_write = |action: &Action| matches!(action, Action::Set(place, _) if cells.is_shared(place.var));
    let Some(at) = actions.iter().position(is_write) else { return false };
    let before = actions[..at].iter().all(|action| matches!(action, Action::Fail { .. }));
    let mut after = Accesses::default();
    for action in &actions[at + 1..] {
        match action {
            // A variable that others see is no local one.
            Action::Forget(var) if !cells.is_shared(*var) => {}
            Action::Forget(_) => return false,
            Action::Set(place, value) => {
                after.expr(cells, value);
                after.place(cells, place, true);
            }
            Action::If(when, then, other) => {
                after.expr(cells, when);
                for action in then.iter().chain(other) {
                    match action {
                        Action::Set(place, value) => {
                            after.expr(cells, value);
                            after.place(cells, place, true);
                        }
                        Action::Forget(var) if !cells.is_shared(*var) => {}
                        _ => return false,
                    }
                }
            }
            Action::Fail { .. } => return false,
        }
    }
    before && after.all.is_empty()
}
