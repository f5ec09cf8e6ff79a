//! What a step changed, as a person wants to be told.

use super::changes;
use crate::model::{Action, Model, Role, State, StepId, ThreadId, VarId, eval};

/// What happened from one state to the next by a step, in words, in the order of the text: what changed, and the stores that went into
/// a buffer. That a store left its buffer is not told: then memory changes, and that is. A step that only reads, and reads what its local
/// variable was already, says what that is.
#[must_use]
pub fn told(model: &Model, before: &State, step: StepId, after: &State) -> Vec<String> {
    let role = |var: VarId| model.vars.get(var.0 as usize).map(|var| var.role);
    let changed = changes(model, before, after);
    let plain = changed.iter().filter(|change| !matches!(role(change.var), Some(Role::Buffer(_))));
    let mut told: Vec<String> = plain.map(|change| change.shown(model).to_string()).collect();
    told.extend((0u32..).map(ThreadId).take(model.threads.len()).flat_map(|thread| buffered(model, before, after, thread)));
    if changed.is_empty() {
        told.extend(reread(model, step, after));
    }
    told
}

/// The stores that a thread's buffer has taken in.
fn buffered(model: &Model, before: &State, after: &State, thread: ThreadId) -> Vec<String> {
    let mut parts = (0u32..).map(VarId).zip(&model.vars).filter(|(_, var)| var.role == Role::Buffer(thread));
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

/// The local variables that a step has set to what they were.
fn reread(model: &Model, step: StepId, after: &State) -> Vec<String> {
    let actions = model.steps.get(step.0 as usize).map(|step| &step.actions[..]).unwrap_or_default();
    let set = actions.iter().filter_map(|action| if let Action::Set(place, _) = action { Some(place.var) } else { None });
    let local = set.filter_map(|var| Some((var, model.vars.get(var.0 as usize)?)));
    let local = local.filter(|(_, var)| matches!(var.role, Role::Local(_)) && var.elements.len() == 1);
    let mut told: Vec<String> = local
        .filter_map(|(id, var)| {
            let value = *eval::elements(model, after, id).first()?;
            Some(format!("{} = {}", var.elements[0].name, var.domain.shown(value)))
        })
        .collect();
    // One that is set twice in a step is told once.
    told.dedup();
    told
}
