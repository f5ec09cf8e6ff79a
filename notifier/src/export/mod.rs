//! The same model in the languages of other checkers, so that their counts can be compared with ours: Murphi (`rumur`) and
//! Promela (`spin`).
//!
//! Every step becomes one rule (or one `d_step`) and every element one variable or array element; nothing is added to a state
//! and nothing left out, so that a peer reports the very same number of states.

mod head;
mod murphi;
mod names;
mod plain;
mod promela;
mod write;

pub use murphi::murphi;
pub use promela::promela;

/// Why a model cannot be exported.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExportError {
    /// Our arithmetic wraps, that of the others is an error or undefined: where it could happen, the models would differ.
    #[error("`{0}` calculates with numbers that may leave 32 bits, which other checkers do not wrap as this one does")]
    Overflow(String),
    /// The model names a variable that it does not have.
    #[error("`{0}` uses a variable that the model does not have")]
    NoVariable(String),
}

#[cfg(test)]
mod tests;
