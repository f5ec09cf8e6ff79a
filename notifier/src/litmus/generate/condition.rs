//! The condition by which a test tells what is wrong from what is right, and what of the final states it has to look at.

use super::{
    judge::{Finals, RIGHT, SUSPECTS, Signature, States},
    text::Column,
};
use std::fmt::Write;

/// What is bad about final states: any of some conjunctions of values.
pub(super) struct Condition {
    /// What is looked at.
    columns: Vec<Column>,
    /// A value for some of the columns, each.
    bad: Vec<Vec<Option<i32>>>,
}

/// Looks at as few columns as show all that is caught, and excludes what is seen there under no right ordering.
pub(super) fn condition(columns: &[Column], finals: &Finals) -> Condition {
    let all: Vec<usize> = (0..columns.len()).collect();
    let mut choices = subsets(columns.len());
    choices.sort_by_key(|choice| (choice.len(), choice.clone()));
    let chosen = choices.into_iter().find(|choice| shows(finals, choice)).unwrap_or(all);
    let right = seen(&finals.right, &chosen);
    let mut bad: Vec<Vec<Option<i32>>> = Vec::new();
    for state in finals.suspects.iter().flat_map(|states| seen(states, &chosen)) {
        if right.contains(&state) || bad.iter().any(|bad| matches(bad, &state)) {
            continue;
        }
        let mut values: Vec<Option<i32>> = state.iter().copied().map(Some).collect();
        // A value that is not needed to leave out all that is right says nothing.
        for at in 0..values.len() {
            let value = values[at].take();
            if right.iter().any(|right| matches(&values, right)) {
                values[at] = value;
            }
        }
        bad.push(values);
    }
    bad.sort();
    Condition { columns: chosen.into_iter().map(|at| columns[at].clone()).collect(), bad }
}

impl Condition {
    /// What follows the threads in the file.
    pub(super) fn items(&self, message: &str, catches: Signature) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
        let mut items = format!("observe {}\n", columns.join(", "));
        for bad in &self.bad {
            let excluded = self.columns.iter().zip(bad).filter_map(|(column, value)| value.map(|value| excluded(column, value)));
            _ = writeln!(items, "finally {} \"{message}\"", excluded.collect::<Vec<_>>().join(" || "));
        }
        for ordering in catches.orderings() {
            _ = writeln!(items, "expect {ordering} fails \"{message}\"");
        }
        let held = SUSPECTS.into_iter().filter(|ordering| !catches.catches(ordering)).chain([RIGHT]);
        _ = writeln!(items, "expect {}", held.map(|ordering| format!("{ordering} holds")).collect::<Vec<_>>().join(", "));
        items
    }
}

fn excluded(column: &Column, value: i32) -> String {
    match (column.is_flag, value) {
        (true, 0) => column.name.clone(),
        (true, _) => format!("!{}", column.name),
        (false, value) => format!("{} != {value}", column.name),
    }
}

/// Whether these columns are enough to see everything that is caught.
fn shows(finals: &Finals, columns: &[usize]) -> bool {
    let right = seen(&finals.right, columns);
    let caught = finals.suspects.iter().filter(|states| !states.is_subset(&finals.right));
    caught.into_iter().all(|states| !seen(states, columns).is_subset(&right))
}

/// What is seen in these columns.
fn seen(states: &States, columns: &[usize]) -> States {
    states.iter().map(|state| columns.iter().map(|at| state[*at]).collect()).collect()
}

fn matches(values: &[Option<i32>], state: &[i32]) -> bool {
    values.iter().zip(state).all(|(value, is)| value.is_none_or(|value| value == *is))
}

fn subsets(count: usize) -> Vec<Vec<usize>> {
    (0..1usize << count).map(|chosen| (0..count).filter(|at| chosen >> at & 1 != 0).collect()).collect()
}
