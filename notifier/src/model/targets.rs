//! Where a thread can go on after a step.

use super::{Action, Expr, VarId};

/// Where actions may set the program counter (none: anywhere), and whether they certainly set it (or fail).
pub fn targets(actions: &[Action], pc: VarId, to: &mut Vec<Option<i32>>) -> bool {
    let mut certain = false;
    for action in actions {
        match action {
            Action::Set(place, value) if place.var == pc => {
                to.push(if let Expr::Const(value) = value { Some(*value) } else { None });
                certain = true;
            }
            Action::If(_, then, other) => {
                let both = [targets(then, pc, to), targets(other, pc, to)];
                certain |= both == [true, true];
            }
            Action::Set(..) | Action::Forget(_) | Action::Fail { .. } => {}
        }
    }
    certain
}

/// The program counter that actions leave, where there is only one.
#[must_use]
pub fn only_target(actions: &[Action], pc: VarId) -> Option<i32> {
    let mut to = Vec::new();
    let certain = targets(actions, pc, &mut to);
    to.dedup();
    if let ([only], true) = (&to[..], certain) { *only } else { None }
}
