//! How far a work of many steps is, on a terminal: what is being done, how many steps are left. Nothing of it is a result.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

/// A bar that counts steps.
#[derive(Debug)]
pub struct Steps {
    bar: ProgressBar,
    quiet: bool,
}

impl Steps {
    /// A bar on standard error, if that is a terminal and nobody wants it quiet.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let show = !quiet && io::stderr().is_terminal();
        let target = if show { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{prefix}  {msg}  {elapsed_precise}  {pos}/{len}  {wide_bar}") {
            bar.set_style(style);
        }
        if show {
            bar.enable_steady_tick(Duration::from_millis(150));
        }
        Self { bar, quiet }
    }

    /// So many steps lie ahead.
    pub fn planned(&self, steps: usize) {
        self.bar.set_length(steps as u64);
        self.bar.set_position(0);
    }

    /// What is being done.
    pub fn phase(&self, what: &str) {
        self.bar.set_prefix(what.to_owned());
        self.bar.set_message("");
    }

    /// What of it.
    pub fn detail(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A step is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// Shows a line at once, above the bar; without a bar on standard error, and with `--quiet` nowhere.
    pub fn println(&self, line: &str) {
        if !self.bar.is_hidden() {
            self.bar.println(line);
        } else if !self.quiet {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
