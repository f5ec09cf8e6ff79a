//! What is built in: the kernel's locks, RCU, object lifetimes, references, lists and barriers. One file for each idea.

mod barrier;
mod count;
pub(super) mod list;
mod lock;
pub(super) mod object;
mod rcu;

use super::{
    assign::Special,
    flow::Fault,
    fold,
    operand::{Operand, Value},
    ty::Ty,
    unit::{Result, Unit},
    unknown::{is_no, unknown},
};
use crate::{
    lang::{
        Diagnostic, STATEMENT_WORDS, Span,
        ast::{Expr, Name},
    },
    model::{self, Action},
};

/// Every name that is built in, for near misses and against declaring it again.
pub(super) const NAMES: &[&str] = &[
    "alloc",
    "cas",
    "downgrade",
    "finished",
    "free",
    "free_rcu",
    "get",
    "held",
    "holds",
    "list_add",
    "list_add_after",
    "list_add_before",
    "list_add_tail",
    "list_del",
    "list_empty",
    "list_first",
    "list_move_tail",
    "list_next",
    "live",
    "load_acquire",
    "lock",
    "might_sleep",
    "put",
    "rcu_read_lock",
    "rcu_read_unlock",
    "read_lock",
    "read_trylock",
    "read_unlock",
    "smp_mb",
    "smp_rmb",
    "smp_wmb",
    "store_release",
    "synchronize_rcu",
    "tryget",
    "trylock",
    "unlock",
    "write_lock",
    "write_trylock",
    "write_unlock",
];

/// A step that does one of two things, and tells which.
pub(super) struct Act {
    pub(super) faults: Vec<Fault>,
    pub(super) condition: model::Expr,
    pub(super) yes: Vec<Action>,
    pub(super) no: Vec<Action>,
}

/// A call that stands alone as a statement.
pub(super) fn statement(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<()> {
    match name.text.as_str() {
        "lock" | "unlock" | "read_lock" | "read_unlock" | "write_lock" | "write_unlock" | "downgrade" => {
            lock::statement(unit, name, args, at)
        }
        "rcu_read_lock" | "rcu_read_unlock" | "synchronize_rcu" | "might_sleep" => rcu::statement(unit, name, args, at),
        "free" | "free_rcu" => object::free(unit, name, args, at),
        "get" => count::get(unit, args, at),
        "list_add" | "list_add_tail" | "list_add_before" | "list_add_after" | "list_del" | "list_move_tail" => {
            list::statement(unit, name, args, at)
        }
        "smp_mb" | "smp_wmb" | "smp_rmb" | "store_release" => barrier::statement(unit, name, args, at),
        "put" | "trylock" | "read_trylock" | "write_trylock" | "tryget" | "cas" => {
            if let Some(act) = act(unit, name, args, at)? {
                let body = vec![Action::If(act.condition, act.yes, act.no)];
                unit.ordered_step(fold::truth(true), Vec::new(), act.faults, body, at);
            }
            Ok(())
        }
        _ if NAMES.contains(&name.text.as_str()) => Err(Diagnostic::error(format!("`{}` gives a value", name.text))
            .at(at, "not used")
            .help("put it into a variable: `let r = …`")),
        _ => Err(no_operation(unit, name)),
    }
}

/// A call that is a whole value or condition.
pub(super) fn special(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<Special> {
    match name.text.as_str() {
        "alloc" => object::kind_of(unit, args, at).map(Special::Alloc),
        "load_acquire" => barrier::acquire(unit, args, at),
        _ => Ok(match act(unit, name, args, at)? {
            Some(act) => Special::Act(act),
            None => Special::Pure,
        }),
    }
}

fn act(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<Option<Act>> {
    match name.text.as_str() {
        "trylock" | "read_trylock" | "write_trylock" => lock::try_lock(unit, name, args, at).map(Some),
        "put" => count::put(unit, args, at).map(Some),
        "tryget" => count::tryget(unit, args, at).map(Some),
        "cas" => count::cas(unit, args, at).map(Some),
        _ => Ok(None),
    }
}

/// A call inside an expression.
pub(super) fn pure(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<Value> {
    match name.text.as_str() {
        "held" | "holds" => lock::is_held(unit, name, args, at),
        "finished" => finished(unit, args, at),
        "live" => object::is_live(unit, args, at),
        "list_first" | "list_next" | "list_empty" => list::look(unit, name, args, at),
        text if unit.op(text).is_some() || NAMES.contains(&text) => {
            Err(Diagnostic::error(format!("`{text}` does something: it must stand alone"))
                .at(at, "part of a larger expression")
                .help(format!("put its result into a variable: `let r = {text}(…)`, or make it the whole condition")))
        }
        _ => Err(no_operation(unit, name)),
    }
}

/// `finished(t)`: the thread has come to its end; for properties.
fn finished(unit: &mut Unit<'_>, args: &[Expr], at: Span) -> Result<Value> {
    let [arg] = arguments("finished", args, at)?;
    if !unit.in_property {
        return Err(Diagnostic::error("only properties can ask that").at(at, "a thread cannot see where others stand"));
    }
    match unit.operand(arg)? {
        Operand::Thread(thread) => {
            let at_end =
                unit.ends.get(thread).map(|(pc, end)| fold::eq(fold::read(*pc, fold::constant(0)), fold::constant(*end)));
            Ok(Value { expr: at_end.unwrap_or(fold::truth(true)), ty: Ty::Bool, faults: Vec::new(), shared: true })
        }
        _ => Err(Diagnostic::error("a thread is needed here").at(arg.span, "as in `finished(guest)`")),
    }
}

/// What happens together with the last step of a thread.
pub(super) fn at_end(unit: &Unit<'_>) -> Vec<Action> {
    lock::at_end(unit).into_iter().chain(rcu::at_end(unit)).map(Fault::action).collect()
}

fn no_operation(unit: &Unit<'_>, name: &Name) -> Diagnostic {
    let ops = unit.decls.ops.iter().map(|op| op.name.text.as_str());
    if unit.scopes.get(&name.text).is_some() {
        return is_no("operation", name, "a local variable or parameter");
    }
    let found = unit.decls.get(&name.text).filter(|_| unit.op(&name.text).is_none());
    unknown("operation", name, found, ops.chain(NAMES.iter().copied()).chain(STATEMENT_WORDS.iter().copied()))
}

/// The arguments of a built-in operation, as many as it takes.
fn arguments<'e, const N: usize>(name: &str, args: &'e [Expr], at: Span) -> Result<[&'e Expr; N]> {
    let given = args.len();
    args.iter().collect::<Vec<_>>().try_into().map_err(|_| {
        let takes = match N {
            0 => "no arguments".to_owned(),
            1 => "one argument".to_owned(),
            n => format!("{n} arguments"),
        };
        Diagnostic::error(format!("`{name}` takes {takes}")).at(at, format!("{given} given"))
    })
}
