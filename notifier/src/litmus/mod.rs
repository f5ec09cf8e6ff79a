//! Litmus tests: models whose final states are tabulated. [`allowed`] says which of them the model has, by going through every
//! interleaving; [`soft`] lets real threads run it in real memory and counts which of them come up.

mod allowed;
pub mod batches;
#[cfg(target_arch = "x86_64")]
pub mod code;
pub mod exec;
pub mod generate;
mod observe;
#[cfg(target_arch = "x86_64")]
pub mod soft;
mod until;

pub use allowed::{Allowed, Known, allowed};
pub use observe::{Outcome, observed};
pub use until::Until;
