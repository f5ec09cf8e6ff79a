//! The virtual machine: one VM, its memslots, and a thread for each vCPU.

mod boot;
mod exit;
mod state;
mod stats;
mod suspend;
mod vcpu;
mod vm;

pub use boot::{BootError, Privilege};
pub use exit::{Exit, VcpuFailure};
pub use state::{CpuState, StateError};
pub use stats::{Sample, StatsError};
pub use suspend::{SuspendError, Vcpus};
pub(crate) use vcpu::AWAY;
pub use vcpu::{GuestFinding, Observer, VcpuState, VcpuView};
pub use vm::{Machine, MachineConfig, MachineError, Slot, Stuck};
