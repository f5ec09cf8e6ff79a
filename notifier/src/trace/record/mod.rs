//! Makes recordings: tracefs's own buffers, apart from everybody else's, read page by page into a file.
//!
//! Raw pages of tracefs, and not perf's buffers. perf has no `x86-tsc` among its clocks, so that its events could not be put in order
//! with what guests and host threads saw; and it costs the VM more. Measured on two CPUs, with a VM whose memory is moved by mremap
//! without a rest (200,000 events a second, medians of nine alternating runs): 9 % fewer writes of guests and host threads a second than
//! untraced, and 13 % fewer per second of CPU time spent, where `perf record -a` of the same events has 24 % and 31 %; a file of 4 MB
//! a second, and not of 21; 3 % of a CPU for the recorder's thread. Neither lost an event.

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
