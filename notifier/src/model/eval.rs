//! The reference semantics: one step on an unpacked state.
