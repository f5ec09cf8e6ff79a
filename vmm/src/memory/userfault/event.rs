//! What a userfaultfd tells: faults that wait, and changes of registered mappings.

use super::{Userfault, UserfaultError, abi::uffd_msg};
use linux_raw_sys::general as uapi;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use nostale_notifier::{Hva, addr::PAGE_SIZE};
use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    time::Duration,
};

/// A thread that waits because of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// The page.
    pub page: Hva,
    /// It wants to write.
    pub write: bool,
    /// The page is write-protected.
    pub protected: bool,
    /// The file has the page, but it is not mapped.
    pub minor: bool,
    /// The thread, with [`super::Features::THREAD_ID`].
    pub thread: u32,
}

/// One message.
#[derive(Debug)]
pub enum Event {
    /// A thread waits.
    Fault(PageFault),
    /// A registered mapping was moved.
    Remap {
        /// From where.
        from: Hva,
        /// To where.
        to: Hva,
        /// How much, in bytes.
        bytes: u64,
    },
    /// Pages were thrown away (`MADV_DONTNEED` and the like).
    Remove {
        /// First byte.
        start: Hva,
        /// First byte behind them.
        end: Hva,
    },
    /// A registered mapping was unmapped.
    Unmap {
        /// First byte.
        start: Hva,
        /// First byte behind it.
        end: Hva,
    },
    /// A child was forked; this serves its faults.
    Fork(OwnedFd),
}

/// What came first.
#[derive(Debug)]
pub enum Next {
    /// Something happened.
    Event(Event),
    /// The server is to end.
    Stop,
    /// Nothing, for as long as one was willing to wait.
    Nothing,
}

/// Tells a server of faults to end, from any thread, and for good.
#[derive(Debug)]
pub struct Stop(EventFd);

impl Stop {
    /// One that has not been told.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> Result<Self, UserfaultError> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Self).map_err(UserfaultError::Stop)
    }

    /// Tells it.
    pub fn tell(&self) {
        // The only failure is a counter that is full, and then it has been told often enough.
        let _ = self.0.write(1);
    }
}

impl Userfault {
    /// Waits for the next event until `stop` is told or `patience` is over.
    ///
    /// # Errors
    /// When the descriptor cannot be read, or says what nobody knows.
    pub fn read_fault(&self, stop: &Stop, patience: Duration) -> Result<Next, UserfaultError> {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN), PollFd::new(stop.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Next::Nothing),
            Ok(_) => {}
            Err(errno) => return Err(UserfaultError::Read(errno)),
        }
        let [faults, told] = ready.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        if !told.is_empty() {
            return Ok(Next::Stop);
        }
        if faults.contains(PollFlags::POLLERR) {
            // So says a descriptor that has no handshake behind it.
            return Err(UserfaultError::Read(Errno::EBADFD));
        }
        self.read_one()
    }

    fn read_one(&self) -> Result<Next, UserfaultError> {
        let mut message = MaybeUninit::<uffd_msg>::zeroed();
        // SAFETY: the kernel writes at most one message to `message`, which has room for one.
        let read = unsafe { libc::read(self.raw(), message.as_mut_ptr().cast(), size_of::<uffd_msg>()) };
        match Errno::result(read) {
            // Somebody else resolved it between the two calls.
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Next::Nothing),
            Err(errno) => Err(UserfaultError::Read(errno)),
            // SAFETY: all-zero bytes are a valid message, and whatever the kernel writes is one.
            Ok(_) => event(&unsafe { message.assume_init() }).map(Next::Event),
        }
    }
}

fn event(message: &uffd_msg) -> Result<Event, UserfaultError> {
    let kind = message.event;
    // SAFETY: `event` says which member the kernel has filled in; all of them are plain numbers.
    unsafe {
        let arg = message.arg;
        Ok(match u32::from(kind) {
            uapi::UFFD_EVENT_PAGEFAULT => {
                let fault = arg.pagefault;
                let flag = |flag: u32| fault.flags & u64::from(flag) != 0;
                Event::Fault(PageFault {
                    page: Hva::new(fault.address / PAGE_SIZE * PAGE_SIZE),
                    write: flag(uapi::UFFD_PAGEFAULT_FLAG_WRITE),
                    protected: flag(uapi::UFFD_PAGEFAULT_FLAG_WP),
                    minor: flag(uapi::UFFD_PAGEFAULT_FLAG_MINOR),
                    thread: fault.feat.ptid,
                })
            }
            uapi::UFFD_EVENT_REMAP => {
                Event::Remap { from: Hva::new(arg.remap.from), to: Hva::new(arg.remap.to), bytes: arg.remap.len }
            }
            uapi::UFFD_EVENT_REMOVE => Event::Remove { start: Hva::new(arg.remove.start), end: Hva::new(arg.remove.end) },
            uapi::UFFD_EVENT_UNMAP => Event::Unmap { start: Hva::new(arg.remove.start), end: Hva::new(arg.remove.end) },
            // The descriptor was made for whoever reads this message.
            uapi::UFFD_EVENT_FORK => Event::Fork(OwnedFd::from_raw_fd(arg.fork.ufd as i32)),
            _ => return Err(UserfaultError::UnknownEvent(kind)),
        })
    }
}
