use super::*;
use crate::mutate::{Change, Kind, mutants};

/// Where the notifier functions of the kernel below are.
const START: u64 = 0xffff_ffff_8100_1000;
const END: u64 = 0xffff_ffff_8100_1040;
const YOUNG: u64 = 0xffff_ffff_8100_1080;
const NEW: u64 = 0xffff_ffff_8100_10c0;
const CALLER: u64 = 0xffff_ffff_8100_2000;
const COLD: u64 = 0xffff_ffff_8100_2100;
const LAST: u64 = 0xffff_ffff_8100_2200;

fn symbols() -> Symbols {
    Symbols::parse(&format!(
        "ffffffff81000000 T _stext
{START:x} T __mmu_notifier_invalidate_range_start
{END:x} T __mmu_notifier_invalidate_range_end
{YOUNG:x} T __mmu_notifier_clear_young
{NEW:x} T __mmu_notifier_forget_all
ffffffff81001100 T __mmu_notifier_register
{CALLER:x} t caller
{COLD:x} t caller.cold
{LAST:x} t last
ffffffff81003000 T _etext
ffffffff82000000 R __start_rodata
ffffffff82000010 R __end_rodata
"
    ))
    .expect("a good list")
}

/// Text in which every byte is `int3`, but for these.
fn image(pieces: &[(u64, Vec<u8>)]) -> Image {
    let start = 0xffff_ffff_8100_0000;
    let mut bytes = vec![0xcc; 0x3000];
    for (address, piece) in pieces {
        let at = (address - start) as usize;
        bytes[at..at + piece.len()].copy_from_slice(piece);
    }
    let mut image = Image::default();
    image.add(start, bytes);
    image
}

/// A branch at an address to another.
fn branch(opcode: &[u8], at: u64, target: u64) -> (u64, Vec<u8>) {
    let next = at + opcode.len() as u64 + 4;
    let mut bytes = opcode.to_vec();
    bytes.extend((target.wrapping_sub(next) as u32).to_le_bytes());
    (at, bytes)
}

const CALL: &[u8] = &[0xe8];
const JMP: &[u8] = &[0xe9];
const JE: &[u8] = &[0x0f, 0x84];

#[test]
fn every_form_of_a_call_is_found() {
    let image =
        image(&[branch(CALL, CALLER, START), branch(JMP, COLD + 1, END), branch(JE, LAST, YOUNG), branch(CALL, LAST + 6, NEW)]);
    let sweep = sweep(&symbols(), &image);
    assert_eq!(sweep.oddities, []);
    let found: Vec<_> = sweep.sites.iter().map(|site| (&site.callee, site.symbol.as_str(), site.offset, site.form)).collect();
    assert_eq!(
        found,
        [
            (&Callee::Start, "caller", 0, Form::Call),
            (&Callee::End, "caller.cold", 1, Form::TailJump),
            (&Callee::ClearYoung, "last", 0, Form::Conditional),
            (&Callee::Unknown("forget_all".into()), "last", 6, Form::Call),
        ]
    );
    assert!(sweep.sites[..2].iter().all(|site| site.function == "caller"));
}

#[test]
fn a_call_may_skip_the_landing_pad_and_registration_is_no_call() {
    let endbr = (START, vec![0xf3, 0x0f, 0x1e, 0xfa]);
    let image = image(&[endbr, branch(CALL, CALLER, START + 4), branch(CALL, LAST, 0xffff_ffff_8100_1100)]);
    let sweep = sweep(&symbols(), &image);
    assert_eq!(sweep.sites.len(), 1);
    assert_eq!(sweep.oddities, []);
}

#[test]
fn what_might_be_a_call_is_reported() {
    // movabs with a call in its immediate, so that no instruction begins there.
    let hidden = branch(CALL, CALLER + 2, START).1;
    let mut movabs = vec![0x48, 0xb8];
    movabs.extend(hidden);
    movabs.extend([0; 3]);
    // mov $START, %rdi
    let mut taken = vec![0x48, 0xc7, 0xc7];
    taken.extend((START as u32).to_le_bytes());
    let image = image(&[(CALLER, movabs), (COLD, taken), branch(CALL, COLD + 7, END + 8), (LAST, vec![0x06])]);
    let sweep = sweep(&symbols(), &image);
    assert_eq!(sweep.sites, []);
    let at = |symbol: &str, offset| (symbol.to_owned(), offset);
    let (symbol, offset) = at("caller.cold", 0);
    assert!(sweep.oddities.contains(&Oddity::AddressTaken { symbol, offset, callee: Callee::Start }));
    let (symbol, offset) = at("caller.cold", 7);
    assert!(sweep.oddities.contains(&Oddity::Inside { symbol, offset, callee: Callee::End, at: 8 }));
    let (symbol, offset) = at("last", 0);
    assert!(sweep.oddities.contains(&Oddity::Undecodable { symbol, offset }));
    assert!(sweep.oddities.contains(&Oddity::Unexplained { address: CALLER + 3, callee: Callee::Start }));
    assert_eq!(sweep.oddities.len(), 4);
}

#[test]
fn a_pointer_in_a_table_is_reported() {
    let mut image = image(&[]);
    let mut table = vec![0; 8];
    table.extend(END.to_le_bytes());
    image.add(0xffff_ffff_8200_0000, table);
    let found = sites(&symbols(), &mut image).expect("it is there").oddities;
    assert_eq!(found, [Oddity::Pointer { address: 0xffff_ffff_8200_0008, callee: Callee::End }]);
}

#[test]
fn text_that_cannot_be_read_is_an_error() {
    let error = sites(&symbols(), &mut Image::default()).expect_err("nothing is there");
    assert_eq!(error.address, 0xffff_ffff_8100_0000);
}

#[test]
fn deleted_calls_keep_their_length_and_return_success() {
    let symbols = symbols();
    let image = image(&[
        branch(CALL, CALLER, START),
        branch(CALL, CALLER + 5, END),
        branch(JMP, COLD, END),
        branch(JMP, COLD + 5, START),
        branch(JE, LAST, YOUNG),
    ]);
    let sites = sweep(&symbols, &image).sites;
    let mutants = mutants(&symbols, &image, &sites);
    let find = |id: &str| mutants.iter().find(|mutant| mutant.id == id).expect("it is there");
    let both = find("caller/both").patches().expect("it can be made");
    let new: Vec<_> = both.iter().map(|patch| (patch.symbol_offset.as_str(), patch.new.as_slice(), patch.is.as_str())).collect();
    assert_eq!(
        new,
        [
            ("caller+0x0", &[0x31, 0xc0, 0x0f, 0x1f, 0x00][..], "xor %eax, %eax; nopl (%rax)"),
            ("caller+0x5", &[0x0f, 0x1f, 0x44, 0x00, 0x00][..], "nopl (%rax,%rax)"),
            ("caller.cold+0x0", &[0xc3, 0xcc, 0xcc, 0xcc, 0xcc][..], "ret; int3; int3; int3; int3"),
            ("caller.cold+0x5", &[0x31, 0xc0, 0xc3, 0xcc, 0xcc][..], "xor %eax, %eax; ret; int3; int3"),
        ]
    );
    assert_eq!(both[0].was, "call __mmu_notifier_invalidate_range_start");
    for patch in both {
        assert_eq!(image.bytes(patch.address, patch.old.len()).expect("it is there"), patch.old);
        assert_eq!(patch.old.len(), patch.new.len());
    }
    assert_eq!(find("caller/start").patches().expect("it can be made").len(), 2);
    assert_eq!(find("caller/end").patches().expect("it can be made").len(), 2);
    let conditional = find("last/clear_young");
    assert_eq!(conditional.kind, Kind::Call("clear_young".into()));
    assert!(matches!(&conditional.change, Change::Unpatchable { reason } if reason.contains("condition")));
    // Every site is in at least one.
    for site in &sites {
        let patched = |patch: &crate::mutate::Patch| patch.address == site.address;
        let listed = mutants.iter().any(|mutant| mutant.patches().is_some_and(|patches| patches.iter().any(patched)));
        assert!(listed || site.form == Form::Conditional, "{site:?}");
    }
}

#[test]
fn names_of_mutants_are_unique() {
    let symbols = symbols();
    let image = image(&[branch(CALL, CALLER, START), branch(CALL, CALLER + 5, END), branch(CALL, LAST, START)]);
    let sites = sweep(&symbols, &image).sites;
    let mut ids: Vec<_> = mutants(&symbols, &image, &sites).into_iter().map(|mutant| mutant.id).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all);
    assert!(!ids.contains(&"last/both".to_owned()));
}
