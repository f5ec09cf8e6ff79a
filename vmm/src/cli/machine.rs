//! What the commands that boot kernels have in common: QEMU, the cache, and kernels by name.

use super::{
    Refused,
    args::{AccelChoice, MachineOptions},
};
use crate::{
    kernels::{Cache, KernelError},
    matrix::Candidate,
    qemu::{Accel, Installed, QemuError},
    report::matrix::MachineShape,
};

impl MachineOptions {
    /// QEMU, run as it was asked for.
    pub(super) fn installed(&self) -> Result<Installed, QemuError> {
        let mut installed = Installed::find()?;
        let asked = match self.accel {
            AccelChoice::Auto => return Ok(installed),
            AccelChoice::Kvm => Accel::Kvm,
            AccelChoice::Tcg => Accel::Tcg,
        };
        installed.accel = asked;
        installed.reason = "asked for".to_owned();
        Ok(installed)
    }

    pub(super) fn cache(&self) -> Result<Cache, KernelError> {
        self.cache.as_ref().map_or_else(Cache::open, |dir| {
            let absolute = std::path::absolute(dir);
            absolute.map(Cache::at).map_err(|_| KernelError::NoCache)
        })
    }

    pub(super) fn shape(&self) -> MachineShape {
        MachineShape { cpus: self.cpus, memory_bytes: self.machine_memory.0, nodes: self.nodes, append: self.append.clone() }
    }

    /// Machines at once: a machine without cores of its own is slow, and its kernel may take that for a lock-up.
    pub(super) fn jobs(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        self.jobs.map_or((cores / self.cpus as usize).max(1), usize::from)
    }
}

/// Finds all kernels, each once, before anything long starts. A name that means nothing is refused; what else is wrong with one
/// is a result of it, as long as there is another.
pub(super) fn find(names: &[String], cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<Vec<Candidate>, Refused> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for name in names {
        if candidates.iter().any(|candidate| candidate.asked == *name) {
            continue;
        }
        let found = crate::kernels::find(name, cache, say);
        match found {
            Err(error @ (KernelError::Unknown { .. } | KernelError::NoSuchVersion { .. } | KernelError::NoCache)) => {
                return Err(error.into());
            }
            found => candidates.push(Candidate { asked: name.clone(), found }),
        }
    }
    match candidates.iter().position(|candidate| candidate.found.is_ok()) {
        Some(_) => Ok(candidates),
        None => match candidates.into_iter().find_map(|candidate| candidate.found.err()) {
            Some(error) => Err(error.into()),
            None => Err("no kernel was named".into()),
        },
    }
}
