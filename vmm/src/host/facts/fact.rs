//! How a fact about the host is held: known, or unknown with the reason.

use serde::Serialize;

use super::tree::ReadError;

/// Something about the host. What could not be read is never guessed: it stays unknown, and says why.
///
/// In JSON a known fact is its value, an unknown one is `{"unknown": "reason"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Fact<T> {
    /// The host said so.
    Known(T),
    /// The host did not say.
    Unknown {
        /// Why not, as a clause that names the file or the call.
        #[serde(rename = "unknown")]
        reason: String,
    },
}

impl<T> Fact<T> {
    /// A fact that is missing because of `reason`.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Fact::Unknown { reason: reason.into() }
    }

    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Fact::Known(value) => Some(value),
            Fact::Unknown { .. } => None,
        }
    }

    /// Why the value is not known, if it is not.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Fact::Known(_) => None,
            Fact::Unknown { reason } => Some(reason),
        }
    }

    /// Whether the value is known to be `value`; an unknown fact equals nothing.
    pub fn is<U: ?Sized>(&self, value: &U) -> bool
    where
        T: PartialEq<U>,
    {
        self.known().is_some_and(|known| known == value)
    }

    /// The value as text for people, or `?`.
    pub fn text(&self) -> String
    where
        T: ToString,
    {
        self.known().map_or_else(|| "?".to_owned(), T::to_string)
    }
}

impl<T> From<Result<T, ReadError>> for Fact<T> {
    fn from(read: Result<T, ReadError>) -> Self {
        match read {
            Ok(value) => Fact::Known(value),
            Err(error) => Fact::unknown(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_value_or_the_reason() {
        assert_eq!(serde_json::json!(Fact::Known(4096)), serde_json::json!(4096));
        assert_eq!(serde_json::json!(Fact::<u64>::unknown("no /sys")), serde_json::json!({"unknown": "no /sys"}));
    }

    #[test]
    fn the_unknown_equals_nothing() {
        assert!(Fact::Known(true).is(&true));
        assert!(!Fact::<bool>::unknown("x").is(&true));
        assert!(!Fact::<bool>::unknown("x").is(&false));
    }
}
