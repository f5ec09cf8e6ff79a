//! The serial port to the host.

use nix::sys::termios::{ControlFlags, SetArg, SpecialCharacterIndices, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
};

/// Not the console's: the kernel talks there whenever it likes.
pub(super) const PATH: &str = "/dev/ttyS1";

/// An open port, whose bytes nobody changes on their way.
#[derive(Debug)]
pub(super) struct Port(File);

impl Port {
    /// Opens it, raw.
    pub(super) fn open() -> io::Result<Self> {
        // Not as PID 1's controlling terminal.
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(PATH)?;
        let mut settings = tcgetattr(&file)?;
        cfmakeraw(&mut settings);
        settings.control_flags |= ControlFlags::CLOCAL | ControlFlags::CREAD;
        settings.control_flags &= !ControlFlags::CRTSCTS;
        settings.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        settings.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        // No speed: an emulated port is as fast as it is, and libc binds `cfsetspeed` to a shared glibc, which is not here.
        tcsetattr(&file, SetArg::TCSANOW, &settings)?;
        Ok(Self(file))
    }

    /// Waits until everything written is out.
    pub(super) fn drain(&self) {
        // The port is about to go either way.
        let _ = tcdrain(&self.0);
    }
}

impl Read for &Port {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }
}

impl Write for &Port {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.0).flush()
    }
}
