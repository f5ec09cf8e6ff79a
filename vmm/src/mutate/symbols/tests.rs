use super::*;

/// As 6.12 prints it, shortened.
const KALLSYMS: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t __pfx_wp_page_copy
ffffffff81000110 t wp_page_copy
ffffffff81000200 t __pfx_kernel_move_pages.part.0
ffffffff81000210 t kernel_move_pages.part.0
ffffffff81000300 W weak_name
ffffffff81000300 T strong_name
ffffffff81000400 t wp_page_copy.cold
ffffffff81000500 T _etext
ffffffff82000000 R __start_rodata
ffffffff82001000 R __end_rodata
ffffffff83000000 t start_kernel
ffffffffc0233000 t kvm_unmap_gfn_range\t[kvm]
ffffffffc0233100 t kvm_last\t[kvm]
ffffffffc0300000 r kvm_table\t[kvm]
ffffffffc0400000 t bpf_prog_1\t[bpf]
ffffffffc0400100 t ftrace_trampoline\t[__builtin__ftrace]
";

fn symbols() -> Symbols {
    Symbols::parse(KALLSYMS).expect("a good list")
}

#[test]
fn a_function_ends_where_the_next_symbol_is() {
    let symbols = symbols();
    let (function, offset) = symbols.at(0xffff_ffff_8100_0115).expect("it is in the list");
    assert_eq!((function.name.as_str(), offset, function.end), ("wp_page_copy", 5, 0xffff_ffff_8100_0200));
    assert_eq!(symbols.padding(function), 0xffff_ffff_8100_0100);
    assert_eq!(symbols.describe(0xffff_ffff_8100_0115), "wp_page_copy+0x5");
    // Its padding is nobody's.
    assert!(symbols.at(0xffff_ffff_8100_0205).is_none());
}

#[test]
fn a_module_s_last_function_ends_with_its_page() {
    let symbols = symbols();
    assert_eq!(symbols.named("kvm_last").next().expect("it is in the list").end, 0xffff_ffff_c030_0000);
    let alone = Symbols::parse(&KALLSYMS.replace("ffffffffc0300000 r kvm_table\t[kvm]\n", "")).expect("a good list");
    assert_eq!(alone.named("kvm_last").next().expect("it is in the list").end, 0xffff_ffff_c023_4000);
}

#[test]
fn what_is_not_the_kernel_s_text_is_left_out() {
    let symbols = symbols();
    for name in ["start_kernel", "bpf_prog_1", "ftrace_trampoline", "__pfx_wp_page_copy", "kvm_table", "fixed_percpu_data"] {
        assert_eq!(symbols.named(name).count(), 0, "{name}");
    }
    assert_eq!(symbols.named("kvm_unmap_gfn_range").next().expect("it is in the list").module.as_deref(), Some("kvm"));
    assert_eq!(symbols.data(), vec![0xffff_ffff_8200_0000..0xffff_ffff_8200_1000; 1]);
}

#[test]
fn names_at_one_address_are_one_function() {
    let symbols = symbols();
    let function = symbols.at(0xffff_ffff_8100_0300).expect("it is in the list").0;
    assert!(function.is("weak_name") && function.is("strong_name"));
    assert_eq!(symbols.named("strong_name").count(), 1);
}

#[test]
fn what_the_compiler_adds_to_a_name_goes_away() {
    for name in ["foo", "foo.cold", "foo.part.0", "foo.isra.0.cold", "foo.constprop.0"] {
        assert_eq!(base(name), "foo");
    }
    assert_eq!(base(".Lhidden"), ".Lhidden");
    let symbols = symbols();
    assert!(symbols.named("wp_page_copy.cold").next().expect("it is in the list").is_cold());
    assert!(!symbols.named("kernel_move_pages.part.0").next().expect("it is in the list").is_cold());
}

#[test]
fn a_list_that_cannot_be_used_says_why() {
    let cut = &KALLSYMS[..KALLSYMS.find("t wp_page_copy\n").expect("it is in the list")];
    assert!(matches!(Symbols::parse(cut), Err(SymbolsError::Garbled { line: 5, .. })));
    assert_eq!(Symbols::parse("").expect_err("a bad list"), SymbolsError::NoText("_stext"));
    assert_eq!(
        Symbols::parse("0000000000000000 T _stext\n0000000000000000 T _etext\n").expect_err("a bad list"),
        SymbolsError::Hidden
    );
}
