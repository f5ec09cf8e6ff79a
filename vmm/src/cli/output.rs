//! Standard output, and what it can show.

use super::args::{Colour, Common};
use std::io::{self, IsTerminal, Write};

/// Prints results. A reader that went away is not our error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Whether results may have colours.
pub(super) fn colour(common: &Common) -> bool {
    allowed(common, &io::stdout())
}

/// Whether what is said beside them, on standard error, may have colours.
pub(super) fn colour_of_errors(common: &Common) -> bool {
    allowed(common, &io::stderr())
}

fn allowed(common: &Common, stream: &impl IsTerminal) -> bool {
    match common.color {
        Colour::Always => true,
        Colour::Never => false,
        // https://no-color.org: set and not empty.
        Colour::Auto => stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Columns that results may take: the terminal's, or enough for a file.
pub(super) fn width() -> usize {
    const FILE: usize = 132;
    if !io::stdout().is_terminal() {
        return FILE;
    }
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills the structure that it is given.
    let asked = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    if asked == 0 && size.ws_col >= 40 { usize::from(size.ws_col) } else { 80 }
}
