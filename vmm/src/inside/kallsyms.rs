//! Where functions are in this kernel: what a host needs to find calls in its text.

use super::{
    child::Out,
    protocol::{Event, Packer},
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

const PATH: &str = "/proc/kallsyms";

/// Modules whose functions are of interest.
const MODULES: [&str; 3] = ["[kvm]", "[kvm_amd]", "[kvm_intel]"];

/// What kernels with call padding call the bytes in front of each function: half of all their symbols.
const PADDING: &str = "__pfx_";

/// Whether a line of `/proc/kallsyms` is a function of the kernel itself or of KVM.
fn wanted(line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let (_address, kind, name, module) = (fields.next(), fields.next(), fields.next(), fields.next());
    let padding = name.is_some_and(|name| name.starts_with(PADDING));
    !padding && matches!(kind, Some("t" | "T" | "w" | "W")) && module.is_none_or(|module| MODULES.contains(&module))
}

/// Sends all that is wanted.
pub(super) fn send(out: &mut Out) -> Result<Event, String> {
    let file = File::open(PATH).map_err(|error| format!("{PATH}: {error}"))?;
    pack(BufReader::with_capacity(256 << 10, file), &mut |part| out.send(&Event::Symbols(part)))
        .map(|(symbols, bytes)| Event::SymbolsEnd { symbols, bytes })
        .map_err(|error| format!("{PATH}: {error}"))
}

fn pack(mut from: impl BufRead, send: &mut impl FnMut(String) -> io::Result<()>) -> io::Result<(u64, u64)> {
    let mut packer = Packer::default();
    let mut line = String::new();
    while from.read_line(&mut line)? > 0 {
        let text = line.trim_end();
        if wanted(text) {
            packer.line(text, send)?;
        }
        line.clear();
    }
    packer.finish(send)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inside::protocol::SymbolsCollector;

    #[test]
    fn functions_of_the_kernel_and_of_kvm_are_sent() {
        let text = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000100 t __pfx_early_cpu_to_node.constprop.0
ffffffff81000110 t early_cpu_to_node.constprop.0
ffffffff82000000 D loops_per_jiffy
ffffffffc0400000 t kvm_unmap_gfn_range\t[kvm]
ffffffffc0500000 t svm_init\t[kvm_amd]
ffffffffc0600000 t ext4_init\t[ext4]
ffffffffc0700000 t bpf_prog_6deef7357e7b4530\t[bpf]
ffffffff81000200 W weak_one
";
        let mut collector = SymbolsCollector::default();
        let mut send = |part: String| collector.part(&part).map_err(io::Error::other);
        let (symbols, bytes) = pack(text.as_bytes(), &mut send).expect("packed");
        let sent = collector.finish(symbols, bytes).expect("whole");
        let names: Vec<_> = sent.lines().filter_map(|line| line.split_ascii_whitespace().nth(2)).collect();
        assert_eq!(names, ["_stext", "early_cpu_to_node.constprop.0", "kvm_unmap_gfn_range", "svm_init", "weak_one"]);
        assert!(sent.contains("T _stext\n") && sent.contains("kvm_unmap_gfn_range\t[kvm]\n"));
    }
}
