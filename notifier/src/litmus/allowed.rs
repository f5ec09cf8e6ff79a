//! Which outcomes a model has.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::observe::{Outcome, observed};
use crate::{
    check::{self, Bound, End, Progress, TooWide},
    model::{Model, eval},
};

/// Every outcome of a model.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// The outcomes, and what the model's properties say of each.
    pub outcomes: BTreeMap<Outcome, Known>,
    /// States seen.
    pub states: u64,
    /// The limit that was reached: then there may be outcomes that are not among these.
    pub bound: Option<Bound>,
}

/// What is known of an outcome.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// Final states with this outcome.
    pub states: u64,
    /// The property that such a state violates: its message, or as it is written.
    pub violates: Option<String>,
}

/// Goes through every interleaving of a model.
///
/// # Errors
/// When its states are too wide to be kept.
pub fn allowed(model: &Model, max_states: u64, progress: &dyn Fn(Progress) -> ControlFlow<()>) -> Result<Allowed, TooWide> {
    let columns = observed(model);
    let mut outcomes: BTreeMap<Outcome, Known> = BTreeMap::new();
    let mut see = |end| {
        let (outcome, violates) = match end {
            End::Finished(state) => {
                let values = columns.iter().map(|column| eval::value(model, &state, &column.value)).collect();
                let mut bad = model.properties.iter().filter(|property| eval::violates(model, &state, property));
                let violated = bad.next().map(|property| property.message.clone().unwrap_or_else(|| property.text.clone()));
                (Outcome::Finished(values), violated)
            }
            End::Failed { why, .. } => (Outcome::Failed(why.clone()), Some(why.to_string())),
            End::Stuck(_) => (Outcome::Stuck, model.forbid_deadlock.then(|| "deadlock".to_owned())),
        };
        let known = outcomes.entry(outcome).or_default();
        known.states += 1;
        known.violates = known.violates.take().or(violates);
    };
    let ends = check::ends(model, max_states, &mut see, progress)?;
    if ends.endless {
        let violates = model.forbid_livelock.then(|| "livelock".to_owned());
        outcomes.insert(Outcome::Endless, Known { states: 0, violates });
    }
    Ok(Allowed { outcomes, states: ends.states, bound: ends.bound })
}
