//! How far an exploration is, on a terminal: nobody knows how many states there are, so it counts and does not measure.

use super::units;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

/// A line on standard error that says how many states were seen.
#[derive(Debug)]
pub struct Counter {
    bar: ProgressBar,
    began: Instant,
    title: String,
}

impl Counter {
    /// A line, if standard error is a terminal and nobody wants it quiet.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let show = !quiet && io::stderr().is_terminal();
        let bar =
            ProgressBar::with_draw_target(None, if show { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() });
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, began: Instant::now(), title: String::new() }
    }

    /// Something begins to be explored: number `number` of `all`.
    pub fn begin(&mut self, number: usize, all: usize, title: &str) {
        self.title = if all == 1 { title.to_owned() } else { format!("{number}/{all}  {title}") };
        self.began = Instant::now();
    }

    /// So many states were seen, and so many steps lead to the last of them. To be called a few times a second.
    pub fn count(&self, states: u64, depth: u32) {
        self.say(message(&self.title, states, depth, self.began.elapsed()));
    }

    /// Says how far it is in other words than these.
    pub fn say(&self, message: String) {
        self.bar.set_message(message);
        self.bar.tick();
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn message(title: &str, states: u64, depth: u32, time: Duration) -> String {
    let rate = units::rate(states as f64 / time.as_secs_f64());
    format!("{title}  {} states, {depth} steps deep, {rate} states/s", units::count(states))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_many_how_deep_and_how_fast() {
        let said = message("2/7  a.nst", 1_200_000, 14, Duration::from_millis(500));
        assert_eq!(said, "2/7  a.nst  1.2 M states, 14 steps deep, 2.4 M states/s");
        assert_eq!(message("a", 1, 0, Duration::ZERO), "a  1 states, 0 steps deep, - states/s");
    }
}
