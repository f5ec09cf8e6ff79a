//! Litmus tests that were generated, and the forms of the list. As with results, the structures here *are* the JSON schema.

use super::{
    columns::{Column, Columns},
    human::paint,
    json,
    text::hanging,
    units,
};
use nostale_notifier::litmus::generate::{Generated, Suite};
use serde::Serialize;
use std::time::Duration;

/// All tests of a size.
#[derive(Clone, Debug, Serialize)]
pub struct GeneratedReport {
    /// Version of this schema.
    pub version: u32,
    /// The size: steps of guests' and third threads, at most.
    pub accesses: usize,
    /// Programs that there are.
    pub programs: usize,
    /// Programs that were explored.
    pub explored: usize,
    /// States that were seen.
    pub states: u64,
    /// How long that took.
    pub seconds: f64,
    /// The tests.
    pub tests: Vec<GeneratedTest>,
}

/// A test.
#[derive(Clone, Debug, Serialize)]
pub struct GeneratedTest {
    /// Its name: the file's, without `.nst`.
    pub name: String,
    /// What goes wrong in it: the first part of its name.
    pub shape: &'static str,
    /// What its threads do.
    pub title: String,
    /// Steps of guests' and third threads.
    pub accesses: usize,
    /// Threads, the operator among them.
    pub threads: usize,
    /// Orderings that allow a state which `start_end` forbids.
    pub catches: Vec<&'static str>,
    /// States of all orderings.
    pub states: u64,
    /// The file.
    pub text: String,
}

impl GeneratedReport {
    /// What was generated, and how long it took.
    #[must_use]
    pub fn new(accesses: usize, suite: Suite, elapsed: Duration) -> Self {
        Self {
            version: 1,
            accesses,
            programs: suite.programs,
            explored: suite.explored,
            states: suite.states,
            seconds: elapsed.as_secs_f64(),
            tests: suite.tests.into_iter().map(GeneratedTest::new).collect(),
        }
    }

    /// The list for programs.
    #[must_use]
    pub fn json(&self) -> String {
        json::document(self)
    }

    /// The list for people.
    #[must_use]
    pub fn table(&self, width: usize, color: bool) -> String {
        let kinds = [Column::Word, Column::Number, Column::Number, Column::Text(16), Column::Number];
        let mut columns = Columns::new(kinds);
        let header = ["test", "accesses", "threads", "catches", "states"];
        columns.header(header.iter().map(|title| paint::header(title, color)).collect());
        for test in &self.tests {
            let [accesses, threads] = [test.accesses, test.threads].map(|n| n.to_string());
            columns.row(vec![test.name.clone(), accesses, threads, test.catches.join(", "), units::count(test.states)]);
        }
        let mut lines = if self.tests.is_empty() { Vec::new() } else { columns.lines(width) };
        let (states, time) = (units::count(self.states), units::microseconds(self.seconds * 1e6));
        let [tests, programs] = [self.tests.len(), self.programs].map(|n| units::count(n as u64));
        let all = format!(
            "{tests} minimal tests among {programs} programs of at most {} accesses, of which {} were explored: {states} states in {time}",
            self.accesses,
            units::count(self.explored as u64)
        );
        lines.extend(if lines.is_empty() { None } else { Some(String::new()) });
        lines.extend(hanging("", &all, width));
        lines.join("\n") + "\n"
    }
}

impl GeneratedTest {
    fn new(test: Generated) -> Self {
        Self {
            shape: test.shape.name(),
            accesses: test.program.accesses(),
            threads: test.program.threads(),
            catches: test.catches.orderings().collect(),
            name: test.name,
            title: test.title,
            states: test.states,
            text: test.text,
        }
    }
}
