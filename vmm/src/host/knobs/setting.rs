//! A setting that something wants for a while.

use super::Knob;

/// A knob, the value that is wanted, and how much.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The knob.
    pub knob: Knob,
    /// The value.
    pub value: String,
    /// What it is without. `None` when there is no point in going on.
    pub otherwise: Option<&'static str>,
}

impl Setting {
    /// Without this setting there is no point in going on.
    pub fn essential(knob: Knob, value: impl Into<String>) -> Self {
        Self { knob, value: value.into(), otherwise: None }
    }

    /// Without this setting `otherwise` is the case.
    pub fn helpful(knob: Knob, value: impl Into<String>, otherwise: &'static str) -> Self {
        Self { knob, value: value.into(), otherwise: Some(otherwise) }
    }
}
