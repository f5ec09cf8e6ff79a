//! How far a run is, on a terminal. Nothing of it is a result: without a terminal, or with `--quiet`, there is no bar.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::{
    io::{self, IsTerminal, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The bar measures planned time, in which every scenario has its share.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
    now: Mutex<Now>,
}

/// Where in the plan the run is.
#[derive(Debug)]
struct Now {
    /// Planned time of the scenarios before this one.
    before: Duration,
    /// Planned time of this one.
    planned: Duration,
    started: Instant,
}

impl Now {
    /// Planned time that has passed. A scenario that takes longer than planned does not eat into the next one's.
    fn passed(&self) -> Duration {
        self.before.saturating_add(self.started.elapsed().min(self.planned))
    }
}

impl Progress {
    /// A bar on standard error for a run that should take `total`.
    #[must_use]
    pub fn new(total: Duration, quiet: bool) -> Self {
        let show = !quiet && io::stderr().is_terminal();
        Self::to(total, quiet, if show { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() })
    }

    fn to(total: Duration, quiet: bool, target: ProgressDrawTarget) -> Self {
        Self::of(ProgressBar::with_draw_target(Some(milliseconds(total).max(1)), target), quiet, "")
    }

    fn of(bar: ProgressBar, quiet: bool, prefix: &str) -> Self {
        // Names first and the bar last: on a narrow terminal the end of the line is what goes.
        if let Ok(style) = ProgressStyle::with_template("{prefix}{msg}  {elapsed_precise}  {left}  {wide_bar}") {
            bar.set_style(style.with_key("left", left));
        }
        bar.set_prefix(prefix.to_owned());
        let now = Now { before: Duration::ZERO, planned: Duration::ZERO, started: Instant::now() };
        Self { bar, quiet, now: Mutex::new(now) }
    }

    /// Something goes on that is no scenario, and takes nothing of the planned time.
    pub fn stage(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.tick();
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A scenario begins that should take `planned`; the one before it, if any, is over.
    pub fn scenario(&self, name: &str, backing: &str, planned: Duration) {
        let mut now = self.now();
        let before = now.before.saturating_add(now.planned);
        *now = Now { before, planned, started: Instant::now() };
        drop(now);
        self.bar.set_message(format!("{name} on {backing}"));
        self.tick();
    }

    /// Moves the bar. To be called a few times a second, from any thread.
    pub fn tick(&self) {
        let passed = self.now().passed();
        self.bar.set_position(milliseconds(passed));
        self.bar.tick();
    }

    /// Shows a line at once, above the bar: a violation should not wait for the end. Without a bar it goes to standard error as
    /// it is, and with `--quiet` nowhere: all of it is in the result.
    pub fn println(&self, line: &str) {
        if self.bar.is_hidden() {
            print_plain(line, self.quiet);
        } else {
            self.bar.println(line);
        }
    }

    /// Takes the bar away; so does a drop.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Several bars below each other, one for each of what runs at once.
#[derive(Debug)]
pub struct Group {
    bars: MultiProgress,
    quiet: bool,
}

impl Group {
    /// Room for bars on standard error.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let show = !quiet && io::stderr().is_terminal();
        Self::to(quiet, if show { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() })
    }

    fn to(quiet: bool, target: ProgressDrawTarget) -> Self {
        Self { bars: MultiProgress::with_draw_target(target), quiet }
    }

    /// A bar for `name`, whose run should take `total`.
    #[must_use]
    pub fn line(&self, name: &str, total: Duration) -> Progress {
        let bar = self.bars.add(ProgressBar::new(milliseconds(total).max(1)));
        Progress::of(bar, self.quiet, &format!("{name}  "))
    }

    /// Shows a line at once, as [`Progress::println`] does.
    pub fn println(&self, line: &str) {
        // Without a terminal nothing would be printed, and not even that is said.
        if self.bars.is_hidden() || self.bars.println(line).is_err() {
            print_plain(line, self.quiet);
        }
    }
}

fn print_plain(line: &str, quiet: bool) {
    if !quiet {
        // Nobody may be listening any more, which is no reason to stop.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the plan has left. The bar's own estimate would be fooled by the pause between two scenarios.
fn left(state: &ProgressState, to: &mut dyn std::fmt::Write) {
    let ms = state.len().unwrap_or_default().saturating_sub(state.pos());
    let _ = write!(to, "{} s left", ms.div_ceil(1000));
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::sync::Arc;

    /// A terminal of 80 columns that keeps what is written to it.
    #[derive(Clone, Debug, Default)]
    struct Terminal(Arc<Mutex<String>>);

    impl Terminal {
        fn text(&self) -> String {
            self.0.lock().expect("not poisoned").clone()
        }

        fn put(&self, text: &str) -> io::Result<()> {
            self.0.lock().expect("not poisoned").push_str(text);
            Ok(())
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.put(line).and_then(|()| self.put("\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.put(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn it_shows_the_scenario_what_is_left_and_lines_above() {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let progress = Progress::to(Duration::from_secs(30), false, target);
        progress.scenario("mremap", "anon", Duration::from_secs(10));
        progress.scenario("migrate", "memfd", Duration::from_secs(20));
        assert!(terminal.text().contains("mremap on anon  00:00:00  30 s left"), "{}", terminal.text());
        assert!(terminal.text().contains("migrate on memfd  00:00:00  20 s left"), "{}", terminal.text());
        progress.println("violation: mremap on anon");
        assert!(terminal.text().contains("violation: mremap on anon"));
    }

    #[test]
    fn what_runs_at_once_has_a_line_each() {
        let terminal = Terminal::default();
        let group = Group::to(false, ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255));
        let (one, two) = (group.line("6.1", Duration::from_secs(30)), group.line("6.12", Duration::from_secs(10)));
        one.stage("booting");
        two.scenario("fork", "anon", Duration::from_secs(10));
        // Drawn at most so often a second.
        std::thread::sleep(Duration::from_millis(50));
        one.tick();
        two.tick();
        group.println("6.1: violation");
        let text = terminal.text();
        for part in ["6.1  booting  00:00:00  30 s left", "6.12  fork on anon  00:00:00  10 s left", "6.1: violation"] {
            assert!(text.contains(part), "{part} is not in {text:?}");
        }
    }

    #[test]
    fn no_plan_and_endless_plans_are_fine() {
        for total in [Duration::ZERO, Duration::MAX] {
            let progress = Progress::to(total, true, ProgressDrawTarget::hidden());
            progress.scenario("mremap", "anon", total);
            progress.scenario("mremap", "anon", total);
            progress.tick();
            progress.println("not seen");
        }
    }
}
