//! Which way a condition went.

use crate::{
    lang::{
        Sources,
        ast::{ExprKind, ItemKind, StmtKind, UnaryOp},
        parse,
    },
    model::{Expr, Model, Role, Step},
};

/// The answer to the condition that a step is there to look at: that of `if …` or `while …`, as written. `condition` is what the step
/// asked first, and `yes` whether it held. None where the step is there for something else.
pub(super) fn way(model: &Model, step: &Step, condition: &Expr, yes: bool) -> Option<bool> {
    // What is asked of local variables only is asked on behalf of what follows the step.
    if !looks_at_others(model, condition) {
        return None;
    }
    is_negated(&step.text).map(|negated| yes != negated)
}

/// Whether the condition of `if …` or `while …` asks for the contrary of what the compiled step asks for. None where the text is neither,
/// or is cut off.
fn is_negated(text: &str) -> Option<bool> {
    let is_condition = text.starts_with("if ") || text.starts_with("while ");
    let file = is_condition.then(|| parse(&Sources::new("", format!("thread t {{ {text} {{ }} }}")), 0).ok())??;
    let ItemKind::Thread { body, .. } = &file.items.first()?.kind else { return None };
    let (StmtKind::If { condition, .. } | StmtKind::While { condition, .. }) = &body.stmts.first()?.kind else { return None };
    let (mut negated, mut expr) = (false, condition);
    while let ExprKind::Unary(UnaryOp::Not, operand) = &expr.kind {
        (negated, expr) = (!negated, operand);
    }
    Some(negated)
}

fn looks_at_others(model: &Model, expr: &Expr) -> bool {
    match expr {
        Expr::Const(_) => false,
        Expr::Read(place) => {
            let role = model.vars.get(place.var.0 as usize).map(|var| var.role);
            matches!(role, Some(Role::Shared | Role::Hidden))
                || place.index.as_ref().is_some_and(|index| looks_at_others(model, index))
        }
        Expr::Not(operand) => looks_at_others(model, operand),
        Expr::Binary(_, left, right) => looks_at_others(model, left) || looks_at_others(model, right),
        Expr::Select(parts) => parts.iter().any(|part| looks_at_others(model, part)),
    }
}

#[cfg(test)]
mod tests {
    use super::is_negated;

    #[test]
    fn a_negation_of_the_whole_is_told_from_one_of_a_part() {
        for (text, negated) in [
            ("if a == b", Some(false)),
            ("if !a", Some(true)),
            ("while !(a && b)", Some(true)),
            ("if !(!trylock(l))", Some(false)),
            ("if !a && b", Some(false)),
            ("if a && a_long_name_that_goes_on_for_ever_and_ …", None),
            ("ifs = a", None),
        ] {
            assert_eq!(is_negated(text), negated, "{text}");
        }
    }
}
