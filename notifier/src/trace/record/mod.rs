//! Makes recordings: tracefs's own buffers, apart from everybody else's, read page by page into a file.
//!
//! Raw pages of tracefs, and not perf's buffers: perf has no `x86-tsc` among its clocks, so that its events could not be put in order
//! with those of guests and host threads; it copies each event once more; and it costs the VM more (see [`drain`]).

mod btf;
mod drain;
mod host;
mod names;
mod owner;
mod probes;
mod recorder;
mod sample;
mod tracefs;
mod wanted;

pub use recorder::{RecordError, Recorder};
pub use tracefs::{TracefsError, find as find_tracefs};
pub use wanted::Wanted;
