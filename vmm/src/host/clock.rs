//! The one clock: the time stamp counter, read by guest, host threads and (as `x86-tsc`) the kernel's events.

use nostale_notifier::event::Tsc;
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// The time stamp counter now.
#[must_use]
pub fn now() -> Tsc {
    // SAFETY: every x86-64 CPU has it.
    Tsc(unsafe { core::arch::x86_64::_rdtsc() })
}

/// Ticks a second, measured once against CLOCK_MONOTONIC over 10 ms: good to a few parts in ten thousand, enough for what
/// people read.
#[must_use]
pub fn hertz() -> f64 {
    static HERTZ: OnceLock<f64> = OnceLock::new();
    *HERTZ.get_or_init(|| {
        let (start, tick) = (Instant::now(), now());
        while start.elapsed() < Duration::from_millis(10) {
            std::hint::spin_loop();
        }
        let (elapsed, ticks) = (start.elapsed(), now().0.wrapping_sub(tick.0));
        ticks as f64 / elapsed.as_secs_f64()
    })
}

/// Ticks in microseconds.
#[must_use]
pub fn microseconds(ticks: u64) -> f64 {
    ticks as f64 * 1e6 / hertz()
}
