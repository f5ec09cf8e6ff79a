//! The requests of userfaultfd (`include/uapi/linux/userfaultfd.h`): structures from the kernel's headers, numbers derived from them.

use linux_raw_sys::general::{
    _UFFDIO_API, _UFFDIO_CONTINUE, _UFFDIO_COPY, _UFFDIO_MOVE, _UFFDIO_REGISTER, _UFFDIO_UNREGISTER, _UFFDIO_WAKE,
    _UFFDIO_WRITEPROTECT, _UFFDIO_ZEROPAGE, UFFD_API, UFFDIO, USERFAULTFD_IOC,
};
pub(super) use linux_raw_sys::general::{
    uffd_msg, uffdio_api, uffdio_continue, uffdio_copy, uffdio_move, uffdio_range, uffdio_register, uffdio_writeprotect,
    uffdio_zeropage,
};

/// The version of the interface, of which there is one.
pub(super) const API: u64 = UFFD_API as u64;
/// `_IO(USERFAULTFD_IOC, 0)`, on the device.
pub(super) const USERFAULTFD_IOC_NEW: libc::c_ulong = nix::request_code_none!(USERFAULTFD_IOC, 0);

/// The macros of nix make public functions without documentation of their own.
mod requests {
    #![allow(missing_docs, unreachable_pub)]
    use super::*;

    nix::ioctl_readwrite!(api, UFFDIO, _UFFDIO_API, uffdio_api);
    nix::ioctl_readwrite!(register, UFFDIO, _UFFDIO_REGISTER, uffdio_register);
    // Declared with _IOR, though it is the kernel that reads (the header's own mistake).
    nix::ioctl_read!(unregister, UFFDIO, _UFFDIO_UNREGISTER, uffdio_range);
    nix::ioctl_read!(wake, UFFDIO, _UFFDIO_WAKE, uffdio_range);
    nix::ioctl_readwrite!(copy, UFFDIO, _UFFDIO_COPY, uffdio_copy);
    nix::ioctl_readwrite!(zeropage, UFFDIO, _UFFDIO_ZEROPAGE, uffdio_zeropage);
    nix::ioctl_readwrite!(move_pages, UFFDIO, _UFFDIO_MOVE, uffdio_move);
    nix::ioctl_readwrite!(write_protect, UFFDIO, _UFFDIO_WRITEPROTECT, uffdio_writeprotect);
    nix::ioctl_readwrite!(continue_, UFFDIO, _UFFDIO_CONTINUE, uffdio_continue);
}
pub(super) use requests::*;

#[cfg(test)]
mod tests {
    use super::*;
    use linux_raw_sys::ioctl;

    /// Where the headers' own numbers are at hand, ours are the same; a structure of the wrong size shows here.
    #[test]
    fn numbers_are_the_headers_own() {
        let number = |kind, size| nix::request_code_readwrite!(UFFDIO, kind, size) as u32;
        assert_eq!(number(_UFFDIO_API, size_of::<uffdio_api>()), ioctl::UFFDIO_API);
        assert_eq!(number(_UFFDIO_REGISTER, size_of::<uffdio_register>()), ioctl::UFFDIO_REGISTER);
        assert_eq!(number(_UFFDIO_COPY, size_of::<uffdio_copy>()), ioctl::UFFDIO_COPY);
        assert_eq!(number(_UFFDIO_ZEROPAGE, size_of::<uffdio_zeropage>()), ioctl::UFFDIO_ZEROPAGE);
        assert_eq!(number(_UFFDIO_WRITEPROTECT, size_of::<uffdio_writeprotect>()), ioctl::UFFDIO_WRITEPROTECT);
        assert_eq!(number(_UFFDIO_CONTINUE, size_of::<uffdio_continue>()), ioctl::UFFDIO_CONTINUE);
        assert_eq!(nix::request_code_read!(UFFDIO, _UFFDIO_WAKE, size_of::<uffdio_range>()) as u32, ioctl::UFFDIO_WAKE);
        // linux-raw-sys has no number of this one: _IOWR(0xAA, 5, 40 bytes).
        assert_eq!(number(_UFFDIO_MOVE, size_of::<uffdio_move>()), 0xc028_aa05);
        assert_eq!(size_of::<uffd_msg>(), 32);
    }
}
