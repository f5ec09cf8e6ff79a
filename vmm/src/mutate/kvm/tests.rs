use super::*;
use crate::mutate::kvm::fields::Fields;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("as written above"), 16).expect("as written above"))
        .collect()
}

/// A KVM module made of pieces of real ones.
struct Module {
    kallsyms: String,
    image: Image,
}

impl Module {
    fn new() -> Self {
        let kallsyms = "ffffffff81000000 T _stext\nffffffff81000000 T _etext\n".to_owned();
        Self { kallsyms, image: Image::default() }
    }

    fn with(mut self, address: u64, name: &str, bytes: Vec<u8>) -> Self {
        let end = address + bytes.len() as u64;
        self.kallsyms += &format!("{address:x} t {name}\t[kvm]\n{end:x} r after_{name}\t[kvm]\n");
        self.image.add(address, bytes);
        self
    }

    fn symbols(&self) -> Symbols {
        Symbols::parse(&self.kallsyms).expect("as written above")
    }

    fn mutant(&self, id: &str) -> Mutant {
        kvm(&self.symbols(), &self.image).into_iter().find(|mutant| mutant.id == id).expect("as written above")
    }

    fn patched(&self, id: &str) -> Vec<(String, String, String)> {
        let mutant = self.mutant(id);
        let patches = mutant.patches().unwrap_or_else(|| panic!("{mutant:?}"));
        patches
            .iter()
            .map(|patch| {
                assert_eq!(patch.old.len(), patch.new.len());
                (patch.symbol_offset.clone(), patch.was.clone(), patch.is.clone())
            })
            .collect()
    }

    fn reason(&self, id: &str) -> String {
        match self.mutant(id).change {
            Change::Unpatchable { reason } => reason,
            Change::Patches(patches) => panic!("{patches:?}"),
        }
    }
}

fn line(place: &str, was: &str, is: &str) -> (String, String, String) {
    (place.to_owned(), was.to_owned(), is.to_owned())
}

/// As much of an invalidate_range_start as tells where the notifier is: `kvm_flush_remote_tlbs(mn - offset)`.
fn range_start(at: u64, flush: u64, notifier: i32) -> Vec<u8> {
    // lea -notifier(%rdi), %r15; mov %r15, %rdi; call kvm_flush_remote_tlbs; xor %eax, %eax; ret
    let mut code = vec![0x4c, 0x8d, 0xbf];
    code.extend((-notifier).to_le_bytes());
    code.extend([0x4c, 0x89, 0xff, 0xe8]);
    let next = at + code.len() as u64 + 4;
    code.extend((flush.wrapping_sub(next) as u32).to_le_bytes());
    code.extend([0x31, 0xc0, 0xc3]);
    code
}

/// Debian's 6.1.0-50: kvm_mmu_invalidate_begin.
const BEGIN_6_1: &str =
    "0f1f440000488b87889a00004883c001488987889a00004883f8017513488997989a00004889b7909a0000e9e045bdc1488b87909a0000
    4839c6480f47f0488b87989a00004839c24889b7909a0000480f42d0488997989a0000e9b145bdc190";
/// kvm_mmu_invalidate_end.
const END_6_1: &str = "0f1f440000488387809a0000014883af889a000001e99645bdc1660f1f440000";
/// is_page_fault_stale.
const STALE_6_1: &str = "0f1f4400004889f94889f7488b81a0020000488b404048c1e80c48c1e0064803058b9919c2488b70284885f67447b801000000f6462508
    7537807e200075114c8b01450fb688b412000044384e22753731c048837f20007417488b094883b9889a0000007526483991809a00000f95c0e98b74b8c1488b4138
    48c1e82783e00174cee97974b8c1e97474b8c1488b7730483bb1909a000072cdb801000000483bb1989a000073bfe95474b8c10f1f4000";
/// kvm_mmu_notifier_invalidate_range_end, into which the compiler put a copy of kvm_mmu_invalidate_end.
const RANGE_END_6_1: &str = "0f1f440000415741564155415455534889fb31ff4883ec304c8b6e10488b6e184889f80f1f0048c744240800000000
    48c74424100000000048c74424180000000048c74424200000000048c74424280000000049
    39ed0f8311010000488d83800000004883ed014531e44531ff4889c748890424e8776bf0c04189c64983fc024819c04c21e04889ea4c89ee4805220200
    00488bbcc3c065ffff4883c710e8cd7231c14885c0741e4584ff74264889ea4c89ee4889c7e8f56e31c14885c075ed41bf010000004d85e4752041bc010000
    00eba9488dbbb865ffffe8f14a82c1488343380148836b4001ebd54584ff756f4183fe01777b488b3c244489f6e81e6bf0c04c8da3f076ffff4c89e7e8af4b82c1
    488b83f876ffff4c89e7488d68ff4889abf876ffffe8254c82c14885ed741a48837b400078264883c4305b5d415c415d415e415fe9866ebdc1488dbb0077ffffe8
    faa7e7c048837b400079da0f0b488dbbb865ffffe8d54782c1eb830f0beb910f0beb8166662e0f1f840000000000";

const FLUSH_6_1: u64 = 0xffff_ffff_c022_c730;

fn kernel_6_1() -> Module {
    let start = 0xffff_ffff_c022_cd50;
    Module::new()
        .with(0xffff_ffff_c022_a8d0, "kvm_mmu_notifier_invalidate_range_end", bytes(RANGE_END_6_1))
        // nopl; push %rbx; pop %rbx; ret
        .with(FLUSH_6_1, "kvm_flush_remote_tlbs", bytes("0f1f440000535bc3"))
        .with(start, "kvm_mmu_notifier_invalidate_range_start", range_start(start, FLUSH_6_1, 0x9a48))
        .with(0xffff_ffff_c022_d290, "kvm_mmu_invalidate_begin", bytes(BEGIN_6_1))
        .with(0xffff_ffff_c022_d2f0, "kvm_mmu_invalidate_end", bytes(END_6_1))
        .with(0xffff_ffff_c027_a3a0, "is_page_fault_stale", bytes(STALE_6_1))
}

/// Debian's 7.2.13+deb14: kvm_mmu_invalidate_start.
const BEGIN_7_2: &str =
    "0f1f40d60f1f440000488b87901a00004883c001488987901a00004883f801751648c787981a0000ffffffff48c787a01a0000ffffffff
    e9a4d9e9c10f1f4000";
/// kvm_mmu_invalidate_end.
const END_7_2: &str =
    "0f1f40d60f1f4400004883ec08488387881a0000014883af901a00000178134883bf981a0000ff743c4883c408e95ed8e9c180bf211b000000
    75e40f0bb801010000be0103000048893c24668987211b0000e8e9c2ffff488b3c244883bf981a0000ff75c40f0b4883c408e920d8e9c1";
/// is_page_fault_stale.
const STALE_7_2: &str = "0f1f440000488b87a0020000488b40384889c248c1ea0c483b1512466cc2746f482305993d6cc248c1e80c48c1e006480305d22c6ac2488b40
    284885c07450f6402510754080782000750f488b170fb68ad4120000384822752b31c048837e2800741b488b174883ba901a000000753a488b82881a0000483946
    300f95c0e96de2e3c10f0bb801000000e961e2e3c1488b473848c1e82783e00175e231c048837e280075bee946e2e3c1488b82981a00004883f8ff74cc488b8aa0
    1a00004883f9ff74bf488b7e204839c70f93c04839cf0f92c120c87498e913e2e3c10f1f00";

fn kernel_7_2() -> Module {
    let (start, flush) = (0xffff_ffff_c042_48c0, 0xffff_ffff_c042_18c0);
    Module::new()
        // endbr64; nopl; push %rbx; pop %rbx; ret
        .with(flush, "kvm_flush_remote_tlbs", bytes("f30f1efa0f1f440000535bc3"))
        .with(start, "kvm_mmu_notifier_invalidate_range_start", range_start(start, flush, 0x1a50))
        .with(0xffff_ffff_c042_52a0, "kvm_mmu_invalidate_start", bytes(BEGIN_7_2))
        .with(0xffff_ffff_c042_53f0, "kvm_mmu_invalidate_end", bytes(END_7_2))
        .with(0xffff_ffff_c048_4990, "is_page_fault_stale", bytes(STALE_7_2))
}

#[test]
fn the_fields_of_struct_kvm_are_found_where_they_are() {
    let found = |module: Module| fields::find(&module.symbols(), &module.image);
    assert_eq!(found(kernel_6_1()), Ok(Fields { sequence: 0x9a80, in_progress: 0x9a88, notifier: 0x9a48 }));
    assert_eq!(found(kernel_7_2()), Ok(Fields { sequence: 0x1a88, in_progress: 0x1a90, notifier: 0x1a50 }));
}

#[test]
fn every_copy_of_the_end_stops_advancing_the_sequence_and_nothing_else() {
    let expected = [
        line("kvm_mmu_notifier_invalidate_range_end+0xdf", "addq $1, 0x38(%rbx)", "nopl (%rax,%rax)"),
        line("kvm_mmu_invalidate_end+0x5", "addq $1, 0x9a80(%rdi)", "nopl (%rax,%rax)"),
    ];
    assert_eq!(kernel_6_1().patched("kvm/sequence"), expected);
    let expected = [line("kvm_mmu_invalidate_end+0xd", "addq $1, 0x1a88(%rdi)", "nopl (%rax,%rax)")];
    assert_eq!(kernel_7_2().patched("kvm/sequence"), expected);
}

#[test]
fn the_retry_check_never_fires() {
    let expected = [
        line("is_page_fault_stale+0x5c", "cmpq $0, 0x9a88(%rcx)", "cmp %eax, %eax; nopw (%rax,%rax)"),
        line("is_page_fault_stale+0x66", "cmp %rdx, 0x9a80(%rcx)", "cmp %eax, %eax; nopl (%rax,%rax)"),
    ];
    assert_eq!(kernel_6_1().patched("kvm/retry"), expected);
    assert_eq!(kernel_6_1().patched("kvm/in-progress"), expected[..1]);
    // Here the sequence is in a register when it is compared.
    let expected = [
        line("is_page_fault_stale+0x66", "cmpq $0, 0x1a90(%rdx)", "cmp %eax, %eax; nopw (%rax,%rax)"),
        line("is_page_fault_stale+0x77", "cmp %rax, 0x30(%rsi)", "cmp %eax, %eax; xchg %ax, %ax"),
    ];
    assert_eq!(kernel_7_2().patched("kvm/retry"), expected);
}

/// Debian's 6.12.95+deb12: kvm_flush_remote_tlbs.
const FLUSH_6_12: &str =
    "f30f1efa0f1f440000534889fb488387281200000148833d4bfe08000074170f1f44000085c0750e48838320120000015be96a83aac1
    be000300004889dfe86dfeffff84c075e15be95383aac10f1f00";

#[test]
fn a_flush_is_counted_and_not_asked_for() {
    let (request, flush) = (0xffff_ffff_c023_9530, 0xffff_ffff_c023_9680);
    let module = Module::new().with(request, "kvm_make_all_cpus_request", bytes("c3")).with(
        flush,
        "kvm_flush_remote_tlbs",
        bytes(FLUSH_6_12),
    );
    let expected = [line("kvm_flush_remote_tlbs+0x3e", "call kvm_make_all_cpus_request", "xor %eax, %eax; nopl (%rax)")];
    assert_eq!(module.patched("kvm/flush"), expected);
    let module = Module::new().with(flush, "kvm_flush_remote_tlbs", bytes(FLUSH_6_12));
    assert!(module.reason("kvm/flush").contains("0 requests"));
    let module =
        Module::new().with(request, "hv_flush_remote_tlbs", bytes("c3")).with(flush, "kvm_flush_remote_tlbs", bytes(FLUSH_6_12));
    assert!(module.reason("kvm/flush").contains("Hyper-V"));
}

#[test]
fn functions_return_behind_what_ftrace_and_cet_need() {
    // 6.12's kvm_unmap_gfn_range, up to its fifth instruction: a sealed endbr64, a no-op, cmpb, push, mov.
    let entry = bytes("660f1f000f1f440000803dfc1e03000041544989fc5553");
    let module = Module::new().with(0xffff_ffff_c029_7ba0, "kvm_unmap_gfn_range", entry);
    let was = "cmpb $0, 0xffffffffc02c9aac";
    let expected = [line("kvm_unmap_gfn_range+0x9", was, "xor %eax, %eax; ret; int3; int3; int3; int3")];
    assert_eq!(module.patched("kvm/range-empty"), expected);
}

#[test]
fn a_return_is_not_put_into_a_loop() {
    // push %rbx; 1: push %rbx; test %edi, %edi; jne 1b; ret: the loop begins where the return would end.
    let module = Module::new().with(0xffff_ffff_c029_7000, "kvm_unmap_gfn_range", bytes("535385ff75fbc3"));
    assert!(module.reason("kvm/range-empty").contains("loop"));
    let module = Module::new().with(0xffff_ffff_c029_7000, "kvm_unmap_gfn_range", bytes("0f1f440000c3"));
    assert!(module.reason("kvm/range-empty").contains("shorter"));
}

#[test]
fn what_is_not_beyond_doubt_is_not_patched() {
    // The end counts something else up, too.
    let module = Module::new().with(0xffff_ffff_c022_d290, "kvm_mmu_invalidate_begin", bytes(BEGIN_6_1)).with(
        0xffff_ffff_c022_d2f0,
        "kvm_mmu_invalidate_end",
        bytes("48834710014883470801488347a8ffc3"),
    );
    assert!(module.reason("kvm/sequence").contains("does not advance one counter and lower another"));
    // The begin and the end do not agree.
    let module = Module::new().with(0xffff_ffff_c022_d290, "kvm_mmu_invalidate_begin", bytes(BEGIN_7_2)).with(
        0xffff_ffff_c022_d2f0,
        "kvm_mmu_invalidate_end",
        bytes(END_6_1),
    );
    assert!(module.reason("kvm/retry").contains("does not raise the counter"));
    assert!(Module::new().reason("kvm/flush").contains("is the kvm module loaded"));
}

#[test]
fn a_comparison_from_which_more_than_equality_is_read_stays() {
    // setne (0f 95) becomes setb (0f 92).
    let module = kernel_6_1();
    let changed = STALE_6_1.replace("0f95c0", "0f92c0");
    assert_ne!(changed, STALE_6_1);
    let mut other = Module::new();
    for (address, name, code) in [
        (0xffff_ffff_c022_d290, "kvm_mmu_invalidate_begin", bytes(BEGIN_6_1)),
        (0xffff_ffff_c022_d2f0, "kvm_mmu_invalidate_end", bytes(END_6_1)),
        (FLUSH_6_1, "kvm_flush_remote_tlbs", bytes("0f1f440000535bc3")),
        (0xffff_ffff_c022_cd50, "kvm_mmu_notifier_invalidate_range_start", range_start(0xffff_ffff_c022_cd50, FLUSH_6_1, 0x9a48)),
        (0xffff_ffff_c027_a3a0, "is_page_fault_stale", bytes(&changed)),
    ] {
        other = other.with(address, name, code);
    }
    assert!(other.reason("kvm/retry").contains("more than equality"));
    assert!(module.mutant("kvm/retry").patches().is_some());
}
