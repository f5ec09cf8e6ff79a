//! The functions that call `invalidate_range_start` and `invalidate_range_end` in Linux 6.1, 6.12 and 7.2, by what they are about.

mod away;
mod device;
mod huge;
mod moving;
mod protecting;

use super::Caller;

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Caller> {
    [away::CALLERS, moving::CALLERS, protecting::CALLERS, huge::CALLERS, device::CALLERS].into_iter().flatten()
}
