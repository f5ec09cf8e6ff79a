//! What a matrix consists of.

use crate::{
    inside::{Pair, RunRequest},
    kernels::{Kernel, KernelError, Program},
    live::Scenario,
    qemu::{Installed, MachineSpec, QemuError},
    report::{
        Setup,
        matrix::{MachineShape, MatrixSetup},
        units::bytes,
    },
};
use std::path::PathBuf;
use thiserror::Error;

/// A kernel that was asked for, found or not.
#[derive(Debug)]
pub struct Candidate {
    /// What the user wrote.
    pub asked: String,
    /// What that is, or why it is nothing.
    pub found: Result<Kernel, KernelError>,
}

/// The machines that kernels are booted on.
#[derive(Clone, Debug)]
pub struct Machines {
    /// QEMU, and how it runs them.
    pub installed: Installed,
    /// What they look like.
    pub shape: MachineShape,
    /// Where they keep what they need while they run.
    pub dir: PathBuf,
}

/// A whole matrix.
#[derive(Debug)]
pub struct MatrixPlan<'a> {
    /// The kernels.
    pub kernels: Vec<Candidate>,
    /// The scenarios.
    pub scenarios: &'a [Scenario],
    /// How they are run. Its plan and its seed are replaced by those here.
    pub request: RunRequest,
    /// Everything random comes from this.
    pub seed: u64,
    /// What the kernels run on.
    pub machines: Machines,
    /// The program that runs in there.
    pub program: Program,
    /// Kernels at once.
    pub jobs: usize,
}

/// A machine or a run on it that is impossible, under the names of the command line.
#[derive(Debug, Error)]
pub enum Impossible {
    /// QEMU could not make it.
    #[error(transparent)]
    Machine(#[from] QemuError),
    /// More guest memory than the kernel under test has.
    #[error("--memory {}: the machine has {} (--machine-memory)", bytes(*asked), bytes(*machine))]
    Memory {
        /// Guest memory.
        asked: u64,
        /// Memory of the machine.
        machine: u64,
    },
}

impl Machines {
    /// Makes sure that such a machine can be, and has room for `request`.
    ///
    /// # Errors
    /// What is impossible.
    pub fn check(&self, request: &RunRequest) -> Result<(), Impossible> {
        let MachineShape { cpus, memory_bytes, nodes, append } = self.shape.clone();
        let spec = MachineSpec { cpus, memory_bytes, nodes, append, ..MachineSpec::new("", "", self.installed.accel, "") };
        spec.check()?;
        if request.memory_bytes >= memory_bytes {
            return Err(Impossible::Memory { asked: request.memory_bytes, machine: memory_bytes });
        }
        Ok(())
    }
}

impl MatrixPlan<'_> {
    pub(super) fn pairs(&self) -> Vec<Pair> {
        self.scenarios.iter().map(Pair::from).collect()
    }

    pub(super) fn setup(&self) -> MatrixSetup {
        MatrixSetup {
            run: Setup {
                vcpus: self.request.vcpus.unwrap_or_default() as u64,
                host_writers: self.request.host_writers as u64,
                memory_bytes: self.request.memory_bytes,
            },
            seconds: self.request.seconds,
            plant: self.request.plant.clone(),
            machine: self.machines.shape.clone(),
        }
    }
}
