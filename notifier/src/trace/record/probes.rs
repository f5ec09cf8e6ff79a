//! Probes on the notifier and on KVM (`Documentation/trace/kprobetrace.rst`), where the kernel permits them: tracepoints say that an
//! invalidation begins, only these say when it ends, and what KVM does between.

use super::{
    super::decode::PROBES,
    btf::{Btf, BtfError},
    owner::Owner,
    tracefs::{self, TracefsError},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A probe that is wanted.
struct Probe {
    /// Its event's name.
    event: &'static str,
    /// The function, under the names that it has had. What is in KVM is in a module, or is not.
    functions: &'static [&'static str],
    /// What it fetches; the first argument of a function is in `rdi`, the second in `rsi`.
    fetches: fn(&Types<'_>) -> Result<String, BtfError>,
}

/// The first argument is a `struct kvm`.
fn kvm(_: &Types<'_>) -> Result<String, BtfError> {
    Ok("kvm=%di:x64".to_owned())
}

fn request(_: &Types<'_>) -> Result<String, BtfError> {
    Ok("kvm=%di:x64 req=%si:x32".to_owned())
}

fn range(types: &Types<'_>) -> Result<String, BtfError> {
    let offset = |member| types.kernel("mmu_notifier_range", member);
    Ok(format!("mm=+{}(%di):x64 start=+{}(%di):x64 end=+{}(%di):x64", offset("mm")?, offset("start")?, offset("end")?))
}

fn range_with_reason(types: &Types<'_>) -> Result<String, BtfError> {
    Ok(format!("{} reason=+{}(%di):x32", range(types)?, types.kernel("mmu_notifier_range", "event")?))
}

fn gfn_range(types: &Types<'_>) -> Result<String, BtfError> {
    let (start, end) = (types.kvm("kvm_gfn_range", "start")?, types.kvm("kvm_gfn_range", "end")?);
    let slot = types.kvm("kvm_gfn_range", "slot")?;
    let (base, hva) = (types.kvm("kvm_memory_slot", "base_gfn")?, types.kvm("kvm_memory_slot", "userspace_addr")?);
    Ok(format!("start=+{start}(%si):x64 end=+{end}(%si):x64 base=+{base}(+{slot}(%si)):x64 hva=+{hva}(+{slot}(%si)):x64"))
}

const ALL: [Probe; 8] = [
    Probe { event: "range_start", functions: &["__mmu_notifier_invalidate_range_start"], fetches: range_with_reason },
    Probe { event: "range_end", functions: &["__mmu_notifier_invalidate_range_end"], fetches: range },
    // called so since Linux 6.0
    Probe { event: "invalidate_begin", functions: &["kvm_mmu_invalidate_begin", "kvm_inc_notifier_count"], fetches: kvm },
    Probe { event: "invalidate_end", functions: &["kvm_mmu_invalidate_end", "kvm_dec_notifier_count"], fetches: kvm },
    Probe { event: "slot_unmap", functions: &["kvm_unmap_gfn_range"], fetches: gfn_range },
    // The request to all vCPUs, and not kvm_flush_remote_tlbs, which may end without one. KVM_REQ_TLB_FLUSH is number 0; flags follow.
    // Until Linux 6.7 it goes on to another function at once, which compilers call in its place.
    Probe { event: "flush", functions: &["kvm_make_all_cpus_request_except", "kvm_make_all_cpus_request"], fetches: request },
    // since Linux 6.6, 6.4, before
    Probe {
        event: "flush_range",
        functions: &["kvm_flush_remote_tlbs_range", "kvm_flush_remote_tlbs_with_range", "kvm_flush_remote_tlbs_with_address"],
        fetches: kvm,
    },
    Probe {
        event: "flush_slot",
        functions: &["kvm_flush_remote_tlbs_memslot", "kvm_arch_flush_remote_tlbs_memslot"],
        fetches: kvm,
    },
];

/// Without which of these a recording does not say where invalidations begin and end.
const DECISIVE: [&str; 2] = ["range_start", "range_end"];

/// Types of the kernel and of its module.
struct Types<'a> {
    kernel: Result<Btf<'a>, BtfError>,
    kvm: Option<Btf<'a>>,
}

impl<'a> Types<'a> {
    fn new(kernel: Option<&'a [u8]>, kvm: Option<&'a [u8]>) -> Self {
        let kernel = kernel.ok_or(BtfError::Broken("it has none (CONFIG_DEBUG_INFO_BTF)")).and_then(Btf::parse);
        let kvm = kernel.as_ref().ok().zip(kvm).and_then(|(kernel, kvm)| Btf::parse_module(kvm, *kernel).ok());
        Self { kernel, kvm }
    }

    fn kernel(&self, structure: &'static str, member: &'static str) -> Result<u32, BtfError> {
        self.kernel.as_ref().map_err(Clone::clone)?.offset(structure, member)
    }

    /// A type of the module is in the kernel's description if both use it, or if it is no module.
    fn kvm(&self, structure: &'static str, member: &'static str) -> Result<u32, BtfError> {
        match self.kvm.map(|types| types.offset(structure, member)) {
            None | Some(Err(BtfError::Struct(_))) => self.kernel(structure, member),
            Some(found) => found,
        }
    }
}

/// Probes in place. Dropped, they are taken away again.
#[derive(Debug)]
pub(super) struct Probes {
    tracefs: PathBuf,
    group: String,
    /// Their events' names.
    placed: Vec<&'static str>,
}

impl Probes {
    /// Places all that this kernel permits; gives also why others are not there.
    pub(super) fn place(tracefs: &Path, owner: Owner) -> (Self, BTreeMap<String, String>) {
        let (mut probes, mut missing) =
            (Self { tracefs: tracefs.to_owned(), group: owner.group(), placed: Vec::new() }, BTreeMap::new());
        let btf = |name: &str| fs::read(Path::new("/sys/kernel/btf").join(name)).ok();
        let (kernel, kvm) = (btf("vmlinux"), btf("kvm"));
        let types = Types::new(kernel.as_deref(), kvm.as_deref());
        let there = tracefs.join("kprobe_events").exists();
        for probe in ALL {
            let placed = match there {
                true => probes.add(&probe, &types),
                false => Err("this kernel has no probes (tracefs has no 'kprobe_events')".to_owned()),
            };
            match placed {
                Ok(()) => probes.placed.push(probe.event),
                Err(why) => {
                    missing.insert(format!("{PROBES}/{}", probe.event), why);
                }
            }
        }
        (probes, missing)
    }

    fn add(&self, probe: &Probe, types: &Types<'_>) -> Result<(), String> {
        let fetches = (probe.fetches)(types).map_err(|error| error.to_string())?;
        let mut why = String::new();
        for function in probe.functions {
            // in a module first: without its name, the kernel looks only among what is loaded, and takes the first that it finds
            for place in [format!("kvm:{function}"), (*function).to_owned()] {
                let line = format!("p:{}/{} {place} {fetches}\n", self.group, probe.event);
                match tracefs::append(&self.tracefs.join("kprobe_events"), &line) {
                    Ok(()) => return Ok(()),
                    // of several names the first is the newest, and what is said of it says most
                    Err(error) if why.is_empty() || place == probe.functions[0] => why = format!("{place}: {}", reason(&error)),
                    Err(_) => {}
                }
            }
        }
        Err(why)
    }

    /// The events: the path in tracefs, the name in a recording, and which of them the kernel passes over.
    pub(super) fn events(&self) -> impl Iterator<Item = (String, String, Option<&'static str>)> {
        let filter = |event: &str| (event == "flush").then_some("!(req & 255)");
        self.placed.iter().map(move |event| (format!("{}/{event}", self.group), format!("{PROBES}/{event}"), filter(event)))
    }

    /// Whether they say where invalidations begin and end.
    pub(super) fn are_decisive(&self) -> bool {
        DECISIVE.iter().all(|event| self.placed.contains(event))
    }
}

fn reason(error: &TracefsError) -> String {
    match error {
        TracefsError::File { error, .. } if error.raw_os_error() == Some(libc::ENOENT) => "there is no such function".to_owned(),
        TracefsError::File { error, .. } => error.to_string(),
        TracefsError::Mount { .. } => error.to_string(),
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        // What stays is found by the next recorder.
        for event in &self.placed {
            let _ = tracefs::append(&self.tracefs.join("kprobe_events"), &format!("-:{}/{event}\n", self.group));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::decode::KNOWN;

    #[test]
    fn each_probe_is_an_event_that_can_be_read() {
        let known: Vec<_> = KNOWN.iter().filter(|(name, ..)| name.starts_with(PROBES)).map(|(name, ..)| *name).collect();
        let placed: Vec<_> = ALL.iter().map(|probe| format!("{PROBES}/{}", probe.event)).collect();
        assert_eq!(known, placed);
        assert!(DECISIVE.iter().all(|event| ALL.iter().any(|probe| probe.event == *event)));
    }

    #[test]
    fn a_kernel_that_does_not_describe_its_types_lacks_only_what_needs_them() {
        let types = Types::new(None, None);
        assert!(range(&types).expect_err("none").to_string().contains("CONFIG_DEBUG_INFO_BTF"));
        assert_eq!(kvm(&types), Ok("kvm=%di:x64".to_owned()));
    }

    #[test]
    fn this_kernels_ranges_can_be_fetched() {
        let Ok(kernel) = fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: this kernel does not describe its types");
            return;
        };
        let fetches = range_with_reason(&Types::new(Some(&kernel), None)).expect("since Linux 5.0");
        assert!(fetches.starts_with("mm=+") && fetches.ends_with("(%di):x32"), "{fetches}");
    }

    #[test]
    fn without_tracefs_all_are_missing_with_a_reason() {
        let (probes, missing) = Probes::place(Path::new("/nowhere"), Owner::new());
        assert_eq!((probes.events().count(), missing.len(), probes.are_decisive()), (0, ALL.len(), false));
        assert!(missing.values().all(|why| why.contains("kprobe_events")));
    }
}
