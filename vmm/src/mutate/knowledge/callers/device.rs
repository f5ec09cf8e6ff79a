//! Functions that move pages to and from the memory of a device.

use crate::mutate::knowledge::{Caller, Reach};

const NO_DEVICE: &str =
    "only drivers of devices with memory of their own (nouveau, amdgpu, xe) get there, and this machine has none";

pub(super) const CALLERS: &[Caller] = &[
    Caller {
        functions: &["migrate_vma_setup", "migrate_vma_collect", "__migrate_device_pages"],
        what: "pages move to a device's memory",
        reach: Reach::Never(NO_DEVICE),
        oracles: &["conservation", "finality"],
        source: "mm/migrate_device.c",
    },
    Caller {
        functions: &["make_device_exclusive", "make_device_exclusive_range", "page_make_device_exclusive_one"],
        what: "a page becomes a device's own for atomic operations",
        reach: Reach::Never(NO_DEVICE),
        oracles: &["conservation"],
        source: "mm/rmap.c",
    },
    Caller {
        functions: &["do_swap_page", "remove_device_exclusive_entry"],
        what: "a page that was a device's own comes back on a fault; ordinary swap-in replaces nothing, and calls nobody",
        reach: Reach::Never(NO_DEVICE),
        oracles: &["conservation"],
        source: "mm/memory.c (remove_device_exclusive_entry)",
    },
];
