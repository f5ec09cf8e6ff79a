use super::*;

fn format(id: u32, fields: &[(&str, usize, usize, u8)]) -> String {
    let mut text = format!("name: x\nID: {id}\nformat:\n");
    let common = [("unsigned short common_type", 0, 2, 0), ("unsigned char common_flags", 2, 1, 0), ("int common_pid", 4, 4, 1)];
    for (declaration, offset, size, signed) in common.iter().chain(fields) {
        text += &format!("\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:{signed};\n");
    }
    text
}

fn plan(name: &str, fields: &[(&str, usize, usize, u8)]) -> Result<Plan, FormatError> {
    let layout = Layout::parse(&format(7, fields)).expect("a format");
    Plan::bind(name, &layout).map(|plan| plan.expect("a known event"))
}

fn event(len: usize, numbers: &[(usize, &[u8])]) -> Vec<u8> {
    let mut event = vec![0; len];
    for (at, bytes) in [(0, &[7, 0][..]), (4, &[0x39, 0x30, 0, 0])].iter().chain(numbers) {
        event[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    event
}

#[test]
fn a_page_fault_of_linux_6_1_has_no_vcpu_and_a_short_error_code() {
    let old = plan("kvm/kvm_page_fault", &[("unsigned long fault_address", 8, 8, 0), ("u32 error_code", 16, 4, 0)]);
    let bytes = event(20, &[(8, &0x1234_5000u64.to_le_bytes()), (16, &[6, 0, 0, 0x80])]);
    let (tid, what) = old.expect("it binds").decode(&bytes).expect("it is long enough");
    assert_eq!(tid, Tid(12345));
    assert_eq!(what, What::Fault { vcpu: 0, address: 0x1234_5000, error: 0x8000_0006 });

    let new = plan(
        "kvm/kvm_page_fault",
        &[("unsigned int vcpu_id", 8, 4, 0), ("u64 fault_address", 24, 8, 0), ("u64 error_code", 32, 8, 0)],
    );
    let bytes = event(40, &[(8, &[3]), (24, &[1]), (32, &[0, 0, 0, 0, 1])]);
    let what = new.expect("it binds").decode(&bytes).expect("it is long enough").1;
    assert_eq!(what, What::Fault { vcpu: 3, address: 1, error: 1 << 32 });
}

#[test]
fn arguments_go_by_their_order_and_stop_before_what_user_memory_holds() {
    let fields = [
        ("int __syscall_nr", 8, 4, 1),
        ("const char * filename", 16, 8, 0),
        ("long length", 24, 8, 1),
        ("__data_loc char[] __filename_val", 32, 4, 0),
    ];
    let enter = plan("syscalls/sys_enter_truncate", &fields).expect("it binds");
    let bytes = event(36, &[(16, &[9]), (24, &[0xff; 8]), (32, &[0xee; 4])]);
    let call = Call::named("truncate").expect("known");
    assert_eq!(enter.decode(&bytes).map(|found| found.1), Some(What::Enter { call, args: [9, u64::MAX, 0, 0, 0, 0] }));

    let exit = plan("syscalls/sys_exit_truncate", &[("int __syscall_nr", 8, 4, 1), ("long ret", 16, 8, 1)]);
    let bytes = event(24, &[(16, &(-22i64).to_le_bytes())]);
    assert_eq!(exit.expect("it binds").decode(&bytes).map(|found| found.1), Some(What::Exit { call, ret: -22 }));
}

#[test]
fn a_field_that_is_gone_is_named_and_a_short_event_is_refused() {
    let gone = plan("kvm/kvm_unmap_hva_range", &[("unsigned long start", 8, 8, 0)]);
    assert_eq!(gone.expect_err("no end").to_string(), "this kernel's event has no field 'end'");
    let whole = plan("kvm/kvm_set_spte_hva", &[("unsigned long hva", 8, 8, 0)]).expect("it binds");
    assert_eq!(whole.decode(&event(15, &[])), None);
}

#[test]
fn huge_migration_entries_are_of_their_order() {
    let pmd = plan("thp/set_migration_pmd", &[("unsigned long addr", 8, 8, 0), ("unsigned long pmd", 16, 8, 0)]);
    let what = pmd.expect("it binds").decode(&event(24, &[(10, &[0x40]), (16, &[5])])).map(|found| found.1);
    assert_eq!(what, Some(What::SetMigration { hva: Hva::new(0x40_0000), entry: 5, order: 9 }));
}

#[test]
fn what_is_unknown_or_broken_is_left_out_and_explained() {
    let kept = |name: &str, text: String| Format { name: name.to_owned(), text };
    let formats = [
        kept("sched/sched_switch", format(1, &[])),
        kept("kvm/kvm_unmap_hva_range", format(2, &[("unsigned long start", 8, 8, 0)])),
        kept("kvmmmu/kvm_mmu_zap_all_fast", format(700, &[])),
    ];
    let (decoder, missing) = Decoder::new(&formats);
    assert_eq!(missing.into_keys().collect::<Vec<_>>(), ["kvm/kvm_unmap_hva_range"]);
    assert!(decoder.plan(&[1, 0]).is_none() && decoder.plan(&[2, 0]).is_none() && decoder.plan(&[0xff, 0xff]).is_none());
    let (plan, format) = decoder.plan(&700u16.to_le_bytes()).and_then(|at| decoder.get(at)).expect("it is known");
    assert_eq!((plan.kind, *format), (Kind::ZapAll, 2));
    assert_eq!(decoder.plan(&[1]), None, "too short for its number");
}
