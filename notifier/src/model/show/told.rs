//! What a step did, as a person wants to be told.

use super::{changes, way::way};
use crate::model::{
    Model, Role, State, StepId, ThreadId, VarId,
    eval::{self, Did},
};

/// What happened from one state to the next by a step, in words, in the order of the text: what changed, what local variables got, the
/// stores that went into a buffer, and that a barrier was put behind them. That a store left its buffer is not told: then memory
/// changes, and that is. Nor is that a local variable went out of scope: before that it is told what it was. A step that only reads, and
/// reads what its local variable was already, says what that is; one that only looks at a condition, what the answer was.
///
/// Of a step that fails it is told what its local variables had got by then.
#[must_use]
pub fn told(model: &Model, before: &State, step: StepId, after: &State) -> Vec<String> {
    let mut locals = Vec::new();
    let mut first_way = None;
    let mut barrier = false;
    // A failure ends what there is to see.
    let _ = eval::watch(model, before, step, &mut |state, did| match did {
        Did::Set(var, element, value) => match role(model, var) {
            Some(Role::Local(_)) => assign(model, &mut locals, state, (var, element), value),
            Some(Role::Buffer(thread)) => {
                let was = eval::elements(model, state, var).get(element);
                barrier |= value != 0 && was == Some(&0) && buffer(model, thread).nth(2).is_some_and(|(fence, _)| fence == var);
            }
            _ => {}
        },
        Did::Forget(var) => locals.iter_mut().filter(|local| local.element.0 == var).for_each(|local| local.gone = true),
        Did::Way(condition, yes) => first_way = first_way.or(Some((condition, yes))),
    });

    let hidden = |var| matches!(role(model, var), Some(Role::Buffer(_) | Role::Local(_)));
    let shared = changes(model, before, after).into_iter().filter(|change| !hidden(change.var));
    let mut all: Vec<_> = shared.map(|change| (change.var, change.shown(model).to_string())).collect();
    all.extend(locals.iter().filter(|local| local.from != local.to).map(|local| (local.element.0, local.shown(model))));
    all.sort_by_key(|(var, _)| *var);
    let mut told: Vec<String> = all.into_iter().map(|(_, text)| text).collect();
    told.extend((0u32..).map(ThreadId).take(model.threads.len()).flat_map(|thread| buffered(model, before, after, thread)));
    let step = model.steps.get(step.0 as usize);
    // When an entry leaves the buffer, those behind it move up, and their barriers with them.
    if barrier && step.is_some_and(|step| step.from.is_some()) {
        told.push("the stores before this come first".to_owned());
    }
    if told.is_empty() {
        told.extend(locals.iter().map(|local| local.shown(model)));
        // One that is set again to the same is told once.
        told.dedup();
    }
    if let (true, Some(step), Some((condition, yes))) = (told.is_empty(), step, first_way) {
        told.extend(way(model, step, condition, yes).map(|answer| format!("→ {answer}")));
    }
    told
}

fn role(model: &Model, var: VarId) -> Option<Role> {
    model.vars.get(var.0 as usize).map(|var| var.role)
}

/// The variables of a thread's buffer.
fn buffer(model: &Model, thread: ThreadId) -> impl Iterator<Item = (VarId, &crate::model::Var)> {
    (0u32..).map(VarId).zip(&model.vars).filter(move |(_, var)| var.role == Role::Buffer(thread))
}

/// What a local variable got, from one end of its scope to the next.
struct Local {
    element: (VarId, usize),
    from: i32,
    to: i32,
    /// It has gone out of scope: whatever follows is another life.
    gone: bool,
}

impl Local {
    fn shown(&self, model: &Model) -> String {
        let Self { element: (var, element), from, to, .. } = *self;
        match model.vars.get(var.0 as usize).and_then(|var| Some((var, var.elements.get(element)?))) {
            Some((var, element)) if from == to => format!("{} = {}", element.name, var.domain.shown(to)),
            _ => super::Change { var, element, from, to }.shown(model).to_string(),
        }
    }
}

fn assign(model: &Model, locals: &mut Vec<Local>, state: &State, element: (VarId, usize), to: i32) {
    match locals.iter_mut().find(|local| local.element == element && !local.gone) {
        Some(local) => local.to = to,
        None => {
            let from = eval::elements(model, state, element.0).get(element.1).copied().unwrap_or(to);
            locals.push(Local { element, from, to, gone: false });
        }
    }
}

/// The stores that a thread's buffer has taken in.
fn buffered(model: &Model, before: &State, after: &State, thread: ThreadId) -> Vec<String> {
    let mut parts = buffer(model, thread);
    let (Some((to, places)), Some((value, _))) = (parts.next(), parts.next()) else { return Vec::new() };
    let none = places.domain.lo;
    let waiting = |state| eval::elements(model, state, to).iter().take_while(|&&place| place != none).count();
    let new = eval::elements(model, after, to).iter().zip(eval::elements(model, after, value));
    let new = new.take(waiting(after)).skip(waiting(before));
    new.filter_map(|(&place, &value)| {
        let name = places.domain.shown(place).to_string();
        let stored = model.vars.iter().find(|var| var.elements.iter().any(|element| element.name == name))?;
        Some(format!("buffered: {name} = {}", stored.domain.shown(value)))
    })
    .collect()
}
