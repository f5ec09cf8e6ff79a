//! What runs inside the VM, and the memory that it shares with the host.
//!
//! This one crate root is compiled twice. Cargo builds it as a `no_std` library for the host: the ABI, the writer's logic
//! (unit-tested there) and the bytes of the image. `build.rs` builds it as the freestanding image itself (`--cfg guest_image`),
//! where `entry` is the only addition.
//!
//! The guest starts in ring 3 with paging on and never leaves it: on hosts whose KVM runs only unprivileged guest code
//! natively, a ring 0 guest is interpreted, installs no SPTE and would pass every coherency test for nothing.

#![no_std]
#![cfg_attr(guest_image, no_main)]
// The image uses only its half of the ABI.
#![cfg_attr(guest_image, allow(dead_code, unreachable_pub))]

pub mod abi;
pub mod page;
pub mod visit;
pub mod walk;

#[cfg(guest_image)]
mod entry;

/// The guest image: a static ELF executable linked at [`abi::layout::IMAGE`].
#[cfg(not(guest_image))]
pub static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.elf"));
