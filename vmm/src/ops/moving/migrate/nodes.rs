//! Migration between NUMA nodes by `move_pages(2)`: exactly the pages one names, as often as one likes.

use crate::ops::{Bed, Done, HostOperation, OperationError, Rng, syscall};
use nix::errno::Errno;
use nostale_notifier::event::Stage;
use rand::RngExt;

pub(super) struct BetweenNodes {
    nodes: Vec<i32>,
    /// Pages that others map too (a forked child, the witness) can be moved as well.
    shared: bool,
}

impl BetweenNodes {
    pub(in crate::ops) fn new(nodes: Vec<i32>) -> Self {
        Self { nodes, shared: true }
    }
}

impl HostOperation for BetweenNodes {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        // No claim: migration does not mind what else happens to the mapping, which is what makes S0 and S4 interesting.
        let mut pages = [0; 32];
        bed.hot_pages(rng, &mut pages);
        let count = rng.random_range(1..=pages.len());
        let places: Vec<_> = pages[..count].iter().map(|&page| bed.arena.hva(page)).collect();
        let mut status = vec![0; count];
        let failed = |errno| OperationError::Call { call: "move_pages".into(), range: bed.arena.home(), errno };
        syscall::move_pages(&places, None, false, &mut status).map_err(failed)?;
        // Every page goes to the node after the one it is on; pages that are not there for the moment are asked for in vain.
        let targets: Vec<i32> = status
            .iter()
            .map(|node| self.nodes.iter().position(|known| known == node).map_or(0, |at| (at + 1) % self.nodes.len()))
            .map(|at| self.nodes[at])
            .collect();
        bed.note(Stage::OperationStart, bed.arena.home(), 0);
        match syscall::move_pages(&places, Some(&targets), self.shared, &mut status) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EPERM) if self.shared => {
                self.shared = false;
                return Ok(Done::Busy);
            }
            Err(errno) => return Err(failed(errno)),
        }
        bed.note(Stage::Returned, bed.arena.home(), 0);
        let moved = status.iter().zip(&targets).filter(|(status, target)| status == target).count() as u64;
        Ok(if moved == 0 { Done::Busy } else { Done::Pages(moved) })
    }

    fn method(&self) -> Option<&'static str> {
        Some("move_pages between NUMA nodes")
    }
}
