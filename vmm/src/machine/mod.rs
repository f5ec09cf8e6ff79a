//! The virtual machine: one VM, its memslots, and a thread for each vCPU.

mod boot;
mod control;
mod dirty;
mod exit;
mod layout;
mod ring;
mod slot;
mod slots;
mod state;
mod stats;
mod suspend;
mod vcpu;
mod view;
mod vm;

pub use boot::{BootError, Privilege};
pub use control::{Paused, Vm};
pub use dirty::{Bitmap, Clearing};
pub use exit::{Exit, VcpuFailure};
pub use layout::{Layout, UnknownLayout};
pub use ring::DirtyPage;
pub use slot::{Demands, Registered, Slot, SlotFlags, SlotId, Tracking};
pub use slots::{Change, Memslots, Mmio, SlotError, SlotsTold};
pub use state::{CpuState, StateError};
pub use stats::{Sample, StatsError};
pub use suspend::{SuspendError, Vcpus};
pub(crate) use vcpu::{AWAY, install_kick, join_while};
pub use vcpu::{GuestFinding, Observer};
pub use view::{VcpuState, VcpuView};
pub use vm::{Machine, MachineConfig, MachineError, Stuck};
