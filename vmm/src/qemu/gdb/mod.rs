//! QEMU's gdb stub: memory of the guest by the kernel's virtual addresses, while the guest stands still.

mod packet;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use super::{
    QemuError,
    socket::{Socket, SocketError},
};
use packet::{Link, from_hex, shorten, to_hex};
use std::{marker::PhantomData, time::Duration};

/// The stub answers at once, unless the host is very busy.
const ANSWER: Duration = Duration::from_secs(20);
/// What a packet has room for when the stub does not say.
const ROOM: usize = 1024;

/// Why the stub did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GdbError {
    /// No vCPU's page tables map that address.
    #[error(
        "{length} bytes at {address:#x} cannot be {verb} ({reply}): no vCPU maps them \
         (kernel addresses are mapped in user mode only when page table isolation is off)"
    )]
    Unmapped {
        /// Read or written.
        verb: &'static str,
        /// Where.
        address: u64,
        /// How much.
        length: usize,
        /// The stub's reply.
        reply: String,
    },
    /// What was written does not read back.
    #[error("wrote {wrote} at {address:#x} and read back {found}")]
    Different {
        /// Where.
        address: u64,
        /// What was written, in hexadecimal.
        wrote: String,
        /// What is there, in hexadecimal.
        found: String,
    },
    /// The stub refused, or does not know the command.
    #[error("`{command}` is answered with {reply:?}")]
    Refused {
        /// The beginning of the command.
        command: String,
        /// The reply.
        reply: String,
    },
    /// Packets arrive damaged, again and again.
    #[error("`{command}`: damaged packets, again and again")]
    Damaged {
        /// The beginning of the command.
        command: String,
    },
    /// No answer in time.
    #[error("no answer to `{command}` in {} s", limit.as_secs_f64())]
    Late {
        /// The beginning of the command.
        command: String,
        /// The bound.
        limit: Duration,
    },
    /// The socket failed, or QEMU is gone.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// A session with the stub. The machine stands still until it is dropped.
#[derive(Debug)]
pub struct Debugger<'a> {
    link: Link,
    /// Bytes of memory that fit into a packet.
    portion: usize,
    /// The vCPUs, as the stub calls them.
    cpus: Vec<String>,
    attached: bool,
    /// The machine: nothing else may be asked of it meanwhile.
    machine: PhantomData<&'a mut ()>,
}

impl Debugger<'_> {
    /// Opens a session over `socket`.
    pub(super) fn attach(socket: Socket) -> Result<Self, GdbError> {
        let mut link = Link::new(socket, ANSWER);
        let features = link.exchange("qSupported")?;
        let features = String::from_utf8_lossy(&features).into_owned();
        let room = features.split(';').find_map(|feature| usize::from_str_radix(feature.strip_prefix("PacketSize=")?, 16).ok());
        if features.split(';').any(|feature| feature == "QStartNoAckMode+") {
            expect_ok(&mut link, "QStartNoAckMode")?;
            link.acknowledged = false;
        }
        let mut debugger = Self {
            link,
            // Two digits a byte, and room for `M`, two numbers and the frame.
            portion: (room.unwrap_or(ROOM).clamp(64, 1 << 16) - 48) / 2,
            cpus: Vec::new(),
            attached: true,
            machine: PhantomData,
        };
        debugger.cpus = debugger.list_cpus()?;
        Ok(debugger)
    }

    /// Reads `length` bytes at the virtual address `address`.
    ///
    /// # Errors
    /// When some of it is not mapped.
    pub fn read(&mut self, address: u64, length: usize) -> Result<Vec<u8>, QemuError> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let portion = self.portion.min(length - bytes.len());
            let part = self.read_portion(address.wrapping_add(bytes.len() as u64), portion).map_err(doing("reading memory"))?;
            bytes.extend(part);
        }
        Ok(bytes)
    }

    /// Writes `bytes` at the virtual address `address`, whether the page is writable or not. Code that QEMU has translated is
    /// translated anew.
    ///
    /// # Errors
    /// When some of it is not mapped.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), QemuError> {
        for (index, part) in bytes.chunks(self.portion).enumerate() {
            let at = address.wrapping_add((index * self.portion) as u64);
            let command = format!("M{at:x},{:x}:{}", part.len(), to_hex(part));
            let reply = self.on_any_cpu(&command).map_err(doing("writing memory"))?;
            if reply != b"OK" {
                return Err(doing("writing memory")(refused(&command, "written", at, part.len(), &reply)));
            }
        }
        Ok(())
    }

    /// Writes, reads back and compares.
    ///
    /// # Errors
    /// As [`write`](Self::write), and when something else is there afterwards.
    pub fn write_checked(&mut self, address: u64, bytes: &[u8]) -> Result<(), QemuError> {
        self.write(address, bytes)?;
        let found = self.read(address, bytes.len())?;
        if found == bytes {
            return Ok(());
        }
        Err(doing("writing memory")(GdbError::Different { address, wrote: to_hex(bytes), found: to_hex(&found) }))
    }

    /// Ends the session: the machine goes on.
    ///
    /// # Errors
    /// When the stub does not say that it does.
    pub fn detach(mut self) -> Result<(), QemuError> {
        self.release().map_err(doing("detaching"))
    }

    fn release(&mut self) -> Result<(), GdbError> {
        if !std::mem::take(&mut self.attached) {
            return Ok(());
        }
        expect_ok(&mut self.link, "D")
    }

    fn read_portion(&mut self, address: u64, length: usize) -> Result<Vec<u8>, GdbError> {
        let command = format!("m{address:x},{length:x}");
        let reply = self.on_any_cpu(&command)?;
        match from_hex(&reply) {
            Some(bytes) if bytes.len() == length => Ok(bytes),
            _ => Err(refused(&command, "read", address, length, &reply)),
        }
    }

    /// A command about memory, through the page tables of the first vCPU that has the address: those of one that is in user
    /// mode may lack the kernel.
    fn on_any_cpu(&mut self, command: &str) -> Result<Vec<u8>, GdbError> {
        let first = self.link.exchange(command)?;
        if !is_error(&first) {
            return Ok(first);
        }
        for index in 0..self.cpus.len() {
            let select = format!("Hg{}", self.cpus[index]);
            expect_ok(&mut self.link, &select)?;
            let reply = self.link.exchange(command)?;
            if !is_error(&reply) {
                return Ok(reply);
            }
        }
        Ok(first)
    }

    fn list_cpus(&mut self) -> Result<Vec<String>, GdbError> {
        let mut cpus = Vec::new();
        let mut command = "qfThreadInfo";
        loop {
            let reply = self.link.exchange(command)?;
            match reply.split_first() {
                Some((b'm', names)) => cpus.extend(String::from_utf8_lossy(names).split(',').map(str::to_owned)),
                Some((b'l', [])) => return Ok(cpus),
                _ => return Err(unexpected(command, &reply)),
            }
            command = "qsThreadInfo";
        }
    }
}

impl Drop for Debugger<'_> {
    fn drop(&mut self) {
        // The machine may be gone; then there is nothing that could go on.
        _ = self.release();
    }
}

/// For `map_err`.
fn doing(doing: &'static str) -> impl FnOnce(GdbError) -> QemuError {
    move |source| QemuError::Debug { doing, source }
}

/// A reply that says no: `E` and two digits.
fn is_error(reply: &[u8]) -> bool {
    matches!(reply, [b'E', digits @ ..] if digits.len() == 2)
}

fn expect_ok(link: &mut Link, command: &str) -> Result<(), GdbError> {
    let reply = link.exchange(command)?;
    if reply == b"OK" { Ok(()) } else { Err(unexpected(command, &reply)) }
}

fn unexpected(command: &str, reply: &[u8]) -> GdbError {
    GdbError::Refused { command: shorten(command), reply: shorten(&String::from_utf8_lossy(reply)) }
}

/// The reply to a command about memory that was not the one hoped for.
fn refused(command: &str, verb: &'static str, address: u64, length: usize, reply: &[u8]) -> GdbError {
    if is_error(reply) {
        return GdbError::Unmapped { verb, address, length, reply: String::from_utf8_lossy(reply).into_owned() };
    }
    unexpected(command, reply)
}
