//! Reading and changing the text of a kernel under test.

use super::{L1, L1Error};
use crate::{
    mutate::{Patch, Text, TextError},
    qemu::Machine,
};

impl L1 {
    /// Changes the running kernel: all patches while it stands still. Each place must hold what the patch was made for, and
    /// holds what was written afterwards.
    ///
    /// # Errors
    /// When another kernel runs than the one that was read, or QEMU does not do it. The machine is not to be used then.
    pub fn patch(&mut self, patches: &[Patch]) -> Result<(), L1Error> {
        let mut debugger = self.machine_mut().debug()?;
        for patch in patches {
            let found = debugger.read(patch.address, patch.old.len())?;
            if found != patch.old {
                let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
                return Err(L1Error::Changed {
                    place: patch.symbol_offset.clone(),
                    found: hex(&found),
                    expected: hex(&patch.old),
                });
            }
        }
        for patch in patches {
            debugger.write_checked(patch.address, &patch.new)?;
        }
        Ok(debugger.detach()?)
    }
}

/// The text of a machine's kernel, read in large pieces.
pub(super) struct LiveText<'a>(pub(super) &'a mut Machine);

impl Text for LiveText<'_> {
    fn read(&mut self, address: u64, len: usize) -> Result<Vec<u8>, TextError> {
        self.0.read_memory(address, len).map_err(|error| TextError { address, len, reason: error.to_string() })
    }
}
