//! Guest memory made of host VMAs, and the ways in which the host itself looks at it.

mod access;
mod arena;
mod backing;
mod claim;
mod devices;
mod forced;
mod mapping;
mod pagemap;
mod pool;
mod snapshot;
mod system;
pub mod userfault;
mod zone;

pub use access::{Fault, Primary};
pub use arena::{Arena, ArenaError};
pub use backing::{Backing, BackingKind, Pages, UnknownBacking};
pub use claim::{Claim, Span};
pub use devices::Devices;
pub use pagemap::{Entry, HugePages, Pagemap, PagemapScan};
pub use pool::{Frame, FramePool, Retired};
pub use snapshot::Snapshot;
pub use system::{Role, System};
pub use zone::Zone;
