//! Signals: the first ends the run in good order, a second one ends it at once.

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};
use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

/// A flag that the first SIGINT, SIGTERM or SIGHUP sets; the next one acts as if nobody listened.
pub(super) fn flag() -> io::Result<Arc<AtomicBool>> {
    // A parent may have left SIGCHLD ignored, and then nobody could wait for the children of `fork`.
    // SAFETY: the default action of a signal that nobody here handles.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the default action is taken only if the flag was set before this signal.
        flag::register_conditional_default(signal, Arc::clone(&interrupted))?;
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}
