//! Lines as kernels from 4.9 to 7.x print them.

use super::*;

fn of(facility: u32, text: &str) -> Option<Alarm> {
    alarm(&Record { sequence: 1, time_us: 1, level: 4, facility, text: text.to_owned() })
}

#[test]
fn reports_of_the_kernel_are_alarms() {
    use Alarm::*;
    for (expected, text) in [
        (Warning, "WARNING: CPU: 1 PID: 1234 at arch/x86/kvm/mmu/mmu.c:6812 kvm_mmu_zap_all+0x1a/0x20 [kvm]"),
        (Warning, "WARNING: CPU: 1 PID: 1234 at kvm_mmu_zap_all+0x1a/0x20"),
        (Warning, "WARNING: mm/mremap.c:312 at move_page_tables+0x1a/0x20, CPU#1: storm/1234"),
        (Warning, "WARNING: at move_page_tables+0x1a/0x20, CPU#1: storm/1234"),
        (Bug, "kernel BUG at arch/x86/kvm/mmu/tdp_mmu.c:426!"),
        (Bug, "BUG: sleeping function called from invalid context at mm/rmap.c:1"),
        (Bug, "BUG: scheduling while atomic: storm/1234/0x00000002"),
        (Bug, "BUG: using smp_processor_id() in preemptible [00000000] code: storm/1"),
        (Oops, "BUG: kernel NULL pointer dereference, address: 0000000000000008"),
        (Oops, "BUG: unable to handle page fault for address: ffffc90000a3bff8"),
        (Oops, "Oops: 0002 [#1] PREEMPT SMP NOPTI"),
        (Oops, "Oops: general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP PTI"),
        (Oops, "general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP"),
        (Oops, "invalid opcode: 0000 [#1] SMP"),
        (Oops, "int3: 0000 [#2] PREEMPT SMP"),
        (Oops, "Internal error: Oops: 0000000096000004 [#1] SMP"),
        (Oops, "Unable to handle kernel paging request at virtual address ffff800012345678"),
        (Panic, "Kernel panic - not syncing: Fatal exception"),
        (BadPage, "BUG: Bad page state in process storm  pfn:12345"),
        (BadPage, "BUG: Bad page map in process storm  pte:800000012345 pmd:12345067"),
        (BadPage, "BUG: Bad rss-counter state mm:00000000deadbeef type:MM_ANONPAGES val:-1"),
        (BadPage, "mm/pgtable-generic.c:50: bad pmd 00000000deadbeef(80000001234000e7)"),
        (BadPage, "swap_info_get: Bad swap file entry 3ffffffffffff"),
        (BadPage, "get_swap_device: Unused swap offset entry 000001f4"),
        (ListCorruption, "list_del corruption. prev->next should be ffff888100000000, but was dead000000000100"),
        (ListCorruption, "list_add corruption. next->prev should be prev (ffff8881), but was ffff8882. (next=ffff8883)."),
        (Refcount, "refcount_t: underflow; use-after-free."),
        (Slab, "BUG kmalloc-64 (Not tainted): Poison overwritten"),
        (Slab, "BUG mmu_page_header (Tainted: G    B   W         ): Object already free"),
        (KvmMmu, "Invalid SPTE change: cannot replace a present leaf"),
        (KvmMmu, "kvm: Invalid SPTE change: cannot replace a present leaf"),
        (KvmMmu, "get_mmio_spte: reserved bits set on MMU-present spte, addr 0xfffff000, hierarchy:"),
        (KvmMmu, "kvm: get_mmio_spte: reserved bits set on MMU-present spte, addr 0xfffff000, hierarchy:"),
        (Sanitizer, "BUG: KASAN: slab-use-after-free in kvm_zap_gfn_range+0x1/0x2 [kvm]"),
        (Sanitizer, "BUG: KCSAN: data-race in try_to_migrate_one / kvm_mmu_notifier_invalidate_range_start"),
        (Sanitizer, "UBSAN: shift-out-of-bounds in arch/x86/kvm/mmu/spte.c:12:3"),
        (Lockdep, "WARNING: possible circular locking dependency detected"),
        (Lockdep, "WARNING: possible recursive locking detected"),
        (Lockdep, "WARNING: inconsistent lock state"),
        (Lockdep, "WARNING: suspicious RCU usage"),
        (Lockdep, "WARNING: bad unlock balance detected!"),
        (Lockdep, "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected"),
        (Lockdep, "[ BUG: Invalid wait context ]"),
        (Lockdep, "[ INFO: possible circular locking dependency detected ]"),
        (Lockdep, "INFO: trying to register non-static key."),
        (HungTask, "INFO: task kcompactd0:38 blocked for more than 122 seconds."),
        (HungTask, "INFO: task storm:1234 blocked in I/O wait for more than 122 seconds."),
        (Lockup, "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [storm:1234]"),
        (Lockup, "NMI watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [storm:1234]"),
        (Lockup, "NMI watchdog: Watchdog detected hard LOCKUP on cpu 1"),
        (Lockup, "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 43s!"),
        (RcuStall, "rcu: INFO: rcu_preempt self-detected stall on CPU"),
        (RcuStall, "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... } 21 jiffies s: 1 root: 0x2/."),
        (RcuStall, "INFO: rcu_tasks detected stalls on tasks:"),
    ] {
        assert_eq!(of(0, text), Some(expected), "{text}");
    }
}

#[test]
fn noise_is_no_alarm() {
    for text in [
        "",
        "BUG:",
        "------------[ cut here ]------------",
        // Firmware and hardware.
        "[Firmware Bug]: TSC_DEADLINE disabled due to Errata; please update microcode to version: 0x22 (or later)",
        "[Firmware Warn]: GHES: Poll interval is 0 for generic hardware error source: 1, disabled.",
        "ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PCI0], AE_NOT_FOUND (20250404/psargs-332)",
        "ACPI BIOS Warning (bug): Optional FADT field Pm2ControlBlock has valid Length but zero Address",
        "mce: [Hardware Error]: Machine check events logged",
        // Warnings that are advice.
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible via Spectre v2 BHB attacks!",
        "WARNING: kernel not compiled with CPU_SRSO",
        "Warning: unable to open an initial console.",
        "WARNING: can't access registers at asm_sysvec_apic_timer_interrupt+0x1a/0x20",
        "ext4 filesystem being remounted at /mnt supports timestamps until 2038-01-19 (0x7fffffff)",
        // Lockdep out of space, or off because of an earlier report.
        "BUG: MAX_LOCKDEP_CHAINS too low!",
        "INFO: lockdep is turned off.",
        "turning off the locking correctness validator.",
        // Programs that die are no fault of the kernel.
        "traps: storm[1234] general protection fault ip:401136 sp:7ffd error:0 in storm[401000+1000]",
        "storm[1234]: segfault at 8 ip 0000000000401136 sp 00007ffd error 4 in storm[401000+1000]",
        "Out of memory: Killed process 1234 (storm) total-vm:8388608kB, anon-rss:4194304kB",
        // Out of memory, and host operations that give up: expected under pressure.
        "storm: page allocation failure: order:9, mode:0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), nodemask=(null)",
        "page dumped because: migration failure",
        "page dumped because: unmovable page",
        "migrating pfn 12345 failed ret:1",
        "memory offlining [mem 0x100000000-0x107ffffff] failed due to signal backoff",
        "kvm_mmu_notifier_invalidate_range_start+0x0/0x1 callback failed with -11 in non-blockable context.",
        // KVM talks about its guests.
        "kvm [1234]: vcpu0, guest rIP: 0xffffffff81000000 Unhandled WRMSR(0xc0010015) = 0x0",
        "kvm: KVM_SET_TSS_ADDR need to be called before running vCPU",
        "kvm_amd: SEV unsupported",
        // Slow, and still getting on.
        "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.234 msecs",
        "INFO: task storm:1234 is blocked on a mutex likely owned by task kcompactd0:38.",
        "workqueue: drain_vmap_area_work hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
        "rcu_tasks_wait_gp: rcu_tasks grace period number 9 (since boot) is 2345 jiffies old.",
        "perf: interrupt took too long (2510 > 2500), lowering kernel.perf_event_max_sample_rate to 79500",
        "hrtimer: interrupt took 1234567 ns",
        // The words elsewhere in a line.
        "kasan: KernelAddressSanitizer initialized (generic)",
        "Command line: root=/dev/vda panic_on_warn=1 note=BUG:",
        "CPU: 1 UID: 0 PID: 1234 Comm: BUG: storm Not tainted 6.18.0 #1 PREEMPT",
        "virtio_blk virtio1: [vda] 2097152 512-byte logical blocks: 1000 [#x]",
        "input: Oops keyboard as /devices/virtual/input/input3",
    ] {
        assert_eq!(of(0, text), None, "{text}");
    }
}

#[test]
fn a_service_that_says_bug_is_not_the_kernel_but_a_planted_line_counts() {
    assert_eq!(of(3, "systemd[1]: BUG: something in a unit"), None);
    assert_eq!(of(1, "cloud-init: BUG: no datasource"), None);
    assert_eq!(of(1, "cloud-init: WARNING: CPU: 1 PID: 1 at my.c:1 f"), None);
    assert_eq!(of(1, "BUG: nostale planted this"), Some(Alarm::Bug));
    assert_eq!(of(1, "WARNING: CPU: 1 PID: 1 at mm/rmap.c:1 f+0x1/0x2"), Some(Alarm::Warning));
}

#[test]
fn every_line_of_a_record_is_looked_at() {
    let text = "\n=====\n  WARNING: possible circular locking dependency detected\n";
    assert_eq!(of(0, text), Some(Alarm::Lockdep));
}

#[test]
fn hostile_text_is_only_text() {
    for text in
        ["BUG: ", "WARNING: ", ": ", " [#", ": [#]", "é: é", "a: 0000 [#1", "WARNING: :1 at ", ".c: bad p", "\u{0}", "[ BUG"]
    {
        let _ = of(0, text);
    }
    assert_eq!(of(0, &"x: ".repeat(5000)), None);
}
