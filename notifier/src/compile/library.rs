//! Library texts: declarations that `use NAME` takes into a model.

/// The texts, by name.
pub(super) const TEXTS: &[(&str, &str)] = &[("memory", include_str!("../../library/memory.nst"))];
