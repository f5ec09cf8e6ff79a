//! Real threads run a litmus test in real memory, many instances of it at a time, and every final state is counted.
//!
//! Each thread of the test becomes machine code (`thread`), which takes the same atomic steps as the model does: a step that
//! touches one place of shared memory is one instruction, or a compare-and-swap; one that touches several locks them for as long as
//! it takes, as a TLB flush waits for the accesses in flight (`plan`). Nothing in it knows which outcomes the model allows, and it
//! is compiled on other ways than the explorer's program: where the two disagree, one of them is wrong.
//!
//! The processors carry the threads of the test (`worker`). They come to an instance together or one after the other, and
//! leave it after a random number of steps, so that a state that is only there for nanoseconds on a real machine is there for as long
//! as it takes to visit all other instances; see `shape`.

mod cells;
mod chunk;
mod emit;
mod plan;
mod run;
mod shape;
mod step;
mod tally;
mod thread;
mod worker;

pub use run::{Options, Rounds, Run, Soft};
pub use shape::{SHAPES, Shape};
pub use tally::{Seen, Tally};

use crate::model::ThreadId;

/// Why a model cannot be run by real threads.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsuited {
    /// A variable has too many values.
    #[error("`{name}` has {values} values, of which {most} fit into a cell of the software MMU; give it a smaller range")]
    Wide {
        /// The variable.
        name: String,
        /// How many.
        values: u64,
        /// How many there may be.
        most: u64,
    },
    /// Too many cells.
    #[error("the model has {cells} shared cells, of which the software MMU keeps {most} for each instance")]
    Large {
        /// How many.
        cells: usize,
        /// How many there may be.
        most: usize,
    },
    /// Too much to look at in the end.
    #[error("{cells} cells are observed, of which the software MMU tells {most} apart; say less after `observe`")]
    Observed {
        /// How many.
        cells: usize,
        /// How many there may be.
        most: usize,
    },
    /// An expression that needs more registers than there are.
    #[error("an expression is nested too deeply for the software MMU; split it")]
    Deep,
    /// A store buffer or a stale copy: these are the processor's own business here.
    #[error("the software MMU runs under sequential consistency only; say --memory-model sc")]
    Buffered,
    /// The code of a thread could not be put together, or there is no memory for it.
    #[error("no machine code for thread {0:?}: {1}", .thread.0, .why)]
    Code {
        /// The thread.
        thread: ThreadId,
        /// Why.
        why: String,
    },
}
