//! Every format is read back by something that did not write it.

use super::{Kind, threads_beside};
use crate::{
    Hva, Pfn,
    event::Tsc,
    trace::{
        describe::{self, Field},
        event::{At, Call, Gfn, Item, KernelEvent, PrimarySample, SlotMap, Spte, Tid, What},
        head::{Head, Mmu, Tail},
    },
};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use proptest::prelude::*;
use std::{fs, path::Path};

mod wire;

fn head() -> Head {
    Head {
        kernel: "6.18.0".into(),
        cpu: "a CPU".into(),
        cpus: 2,
        mmu: Mmu::Tdp,
        hertz: 2e9,
        began: 1_700_000_000,
        pid: Some(100),
        command: "nostale".into(),
        title: "run mremap".into(),
        header_page: String::new(),
        formats: Vec::new(),
        missing: Default::default(),
        probes: false,
    }
}

fn tail() -> Tail {
    Tail { threads: [(100, "main".into()), (101, "CPU 0/KVM, \"x\"".into())].into(), lost: [(1, 7)].into(), seconds: 1.0 }
}

fn at(tsc: u64, cpu: u16, tid: i32, what: What) -> Item {
    Item::Event(KernelEvent { at: At { tsc: Tsc(tsc), cpu, tid: Tid(tid) }, what })
}

fn mremap() -> Call {
    Call::named("mremap").unwrap()
}

/// One call with an invalidation in it, a fault in another thread, and everything that is no event.
fn short() -> Vec<Item> {
    let (start, end) = (Hva::new(0x7f00_0000_0000), Hva::new(0x7f00_0001_0000));
    vec![
        Item::Slots { tsc: Tsc(1000), slots: vec![SlotMap { gfn: Gfn(0x100), pages: 16, hva: start }] },
        at(3000, 0, 100, What::Enter { call: mremap(), args: [0x7f00_0000_0000, 0x1000, 0x1000, 3, 0x7e00_0000_0000, 9] }),
        at(4000, 0, 100, What::Unmap { start, end }),
        at(4500, 1, 101, What::Set { gfn: Gfn(0x100), spte: Spte(0x1e1a_7783), sptep: 0xffff_8880_0000_0000, level: 1 }),
        Item::Primary(PrimarySample { from: Tsc(4600), to: Tsc(4800), start, entries: vec![1, 2] }),
        at(5000, 0, 100, What::Exit { call: mremap(), ret: -22 }),
        Item::Lost { since: Tsc(0), until: Tsc(5500), cpu: 1, events: Some(7) },
    ]
}

fn export(kind: Kind, path: &Path, items: &[Item]) {
    let mut file = kind.open(path, &head()).unwrap();
    for item in items {
        file.item(item).unwrap();
    }
    assert!(!path.exists(), "a file that is not whole has no name");
    file.finish(Some(&tail())).unwrap();
}

#[test]
fn csv_has_a_row_for_each_event_and_names_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    export(Kind::Csv, &path, &short());
    let text = fs::read_to_string(&path).unwrap();
    let rows: Vec<Vec<&str>> = text.split_terminator("\r\n").map(|line| line.split(',').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == 5 + Field::ALL.len()));
    assert_eq!(rows[0][..6], ["tsc", "time_us", "cpu", "tid", "event", "arg0"]);
    let column = |name| rows[0].iter().position(|known| *known == name).unwrap();
    assert_eq!(rows[1][..5], ["1000", "0.000", "", "", "recording/slot"]);
    assert_eq!(rows[2][..7], ["3000", "1.000", "0", "100", "syscalls/sys_enter_mremap", "0x7f0000000000", "0x1000"]);
    assert_eq!(rows[2][column("arg5")], "", "mremap has five arguments");
    assert_eq!(rows[3][column("hva_end")], "0x7f0000010000");
    assert_eq!(rows[4][column("spte")], "0x1e1a7783");
    assert_eq!((rows[5][4], rows[5][column("pages")]), ("recording/primary", "2"));
    assert_eq!((rows[6][1], rows[6][column("ret")]), ("2.000", "-22"));
    assert_eq!((rows[7][2], rows[7][column("lost")]), ("1", "7"));
    assert_eq!(rows.len(), 8);
    let names = fs::read_to_string(threads_beside(&path)).unwrap();
    assert_eq!(names, "tid,thread\r\n100,main\r\n101,\"CPU 0/KVM, \"\"x\"\"\"\r\n");
}

#[test]
fn parquet_is_read_back_with_its_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let mut items = short();
    // Numbers that are negative where somebody forgets that they have no sign.
    items.push(at(u64::MAX, 1, -1, What::TlbFlush { reason: 1, pages: u64::MAX }));
    export(Kind::Parquet, &path, &items);
    let file = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
    let about = file.metadata().file_metadata().key_value_metadata().unwrap();
    let said = |key: &str| about.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref());
    assert_eq!((said("kernel"), said("hertz"), said("mmu")), (Some("6.18.0"), Some("2000000000"), Some("tdp")));
    assert_eq!((said("title"), said("first_tsc"), said("lost_events")), (Some("run mremap"), Some("1000"), Some("7")));
    let column = |field: Field| 5 + field as usize;
    let rows: Vec<_> = file.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[1].get_ulong(0).unwrap(), 3000);
    assert!((rows[1].get_double(1).unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(rows[1].get_ushort(2).unwrap(), 0);
    assert_eq!(rows[1].get_int(3).unwrap(), 100);
    assert_eq!(rows[1].get_string(4).unwrap(), "syscalls/sys_enter_mremap");
    assert_eq!(rows[1].get_ulong(column(Field::Arg4)).unwrap(), 0x7e00_0000_0000);
    assert!(rows[1].get_ulong(column(Field::Hva)).is_err(), "missing, not 0");
    assert_eq!(rows[5].get_long(column(Field::Ret)).unwrap(), -22);
    assert_eq!(rows[7].get_ulong(0).unwrap(), u64::MAX);
    assert_eq!(rows[7].get_ulong(column(Field::Pages)).unwrap(), u64::MAX);
    let event = file.metadata().row_group(0).column(4);
    assert!(event.dictionary_page_offset().is_some(), "names of events are in a dictionary");
}

#[test]
fn parquet_is_cut_into_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let items: Vec<_> = (0..300_000).map(|n| at(n, 0, 100, What::Free { pfn: Pfn::new(n), order: 0 })).collect();
    export(Kind::Parquet, &path, &items);
    let file = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
    let groups: Vec<_> = file.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [1 << 17, 1 << 17, 300_000 - (2 << 17)]);
    let pfn = 5 + Field::Pfn as usize;
    for (n, row) in (0..).zip(file.get_row_iter(None).unwrap()) {
        assert_eq!(row.unwrap().get_ulong(pfn).unwrap(), n);
    }
}

fn timeline(items: &[Item]) -> wire::Timeline {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.perfetto");
    export(Kind::Perfetto, &path, items);
    wire::read(&fs::read(&path).unwrap())
}

#[test]
fn perfetto_has_tracks_slices_and_marks() {
    let timeline = timeline(&short());
    assert_eq!(timeline.threads[&((1 << 32) | 100)], (100, 100, "main".to_owned()));
    assert_eq!(timeline.threads[&((1 << 32) | 101)], (100, 101, "CPU 0/KVM, \"x\"".to_owned()));
    let seen: Vec<_> = timeline.events.iter().map(|it| (it.time, it.kind, it.track as u32, it.name.as_str())).collect();
    assert_eq!(
        seen,
        [
            (0, 3, 2, "slot"),
            (1000, 1, 100, "mremap"),
            (1500, 3, 100, "kvm_unmap_hva_range"),
            (1750, 3, 101, "kvm_mmu_set_spte"),
            (1800, 1, 3, "primary"),
            (1900, 2, 3, ""),
            (2000, 2, 100, ""),
            (2250, 3, 2, "lost"),
        ]
    );
    let call = &timeline.events[1];
    assert_eq!(call.category, "syscalls");
    assert_eq!(call.says("arg0"), Some("0x7f0000000000"));
    assert_eq!(call.says("tsc"), Some("3000"));
    assert_eq!(call.says("text"), Some("mremap(0x7f0000000000, 0x1000, 0x1000, 3, 0x7e0000000000)"));
    assert_eq!(timeline.events[6].says("ret"), Some("-22"));
}

#[test]
fn perfetto_slices_nest_whatever_is_lost() {
    let range = |tsc, start| {
        let (mm, low, high) = (1, Hva::new(0x1000), Hva::new(0x2000));
        let what = if start {
            What::RangeStart { mm, start: low, end: high, reason: 0 }
        } else {
            What::RangeEnd { mm, start: low, end: high }
        };
        at(tsc, 0, 100, what)
    };
    let enter = |tsc| at(tsc, 0, 100, What::Enter { call: mremap(), args: [0; 6] });
    let exit = |tsc| at(tsc, 0, 100, What::Exit { call: mremap(), ret: 0 });
    // An end without a beginning; a call whose end is lost while a range is open; a range whose end is lost.
    let items = [exit(2), range(4, false), enter(6), range(8, true), enter(10), range(12, true), exit(14), exit(16)];
    let seen: Vec<_> = timeline(&items).events.iter().map(|it| (it.time, it.kind)).collect();
    assert_eq!(seen, [(0, 3), (1, 3), (2, 1), (3, 1), (4, 2), (4, 2), (4, 1), (5, 1), (6, 2), (6, 2), (7, 3)]);
    let endless: Vec<_> = (0..1000).map(|n| range(n, true)).collect();
    let mut depth = 0_i32;
    for event in timeline(&endless).events {
        depth += if event.kind == 1 { 1 } else { -1 };
        assert!((0..=16).contains(&depth));
    }
}

#[test]
fn an_export_that_is_given_up_leaves_nothing_and_a_clock_must_tick() {
    let folder = tempfile::tempdir().unwrap();
    for kind in Kind::ALL {
        let mut file = kind.open(&folder.path().join("x"), &head()).unwrap();
        file.item(&short()[1]).unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{kind:?}");
        assert!(kind.open(&folder.path().join("x"), &Head { hertz: 0.0, ..head() }).is_err());
        assert!(kind.open(&folder.path().join("none/x"), &head()).is_err());
    }
}

fn what() -> impl Strategy<Value = What> {
    let number = prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)];
    ((0_usize..22, any::<prop::sample::Index>()), [(); 6].map(|()| number.clone()), any::<u32>(), any::<[u8; 2]>()).prop_map(
        |((kind, call), args, small, [level, space])| {
            let call = Call::named(Call::NAMES[call.index(Call::NAMES.len())]).unwrap();
            let [a, b, c, d, ..] = args;
            let (start, end) = (Hva::new(a), Hva::new(b));
            let (old, new) = (Spte(c), Spte(d));
            match kind {
                0 => What::Enter { call, args },
                1 => What::Exit { call, ret: a.cast_signed() },
                2 => What::Unmap { start, end },
                3 => What::ChangePte { hva: start },
                4 => What::RangeStart { mm: c, start, end, reason: small },
                5 => What::RangeEnd { mm: c, start, end },
                6 => What::Begin { kvm: a },
                7 => What::End { kvm: a },
                8 => What::SlotUnmap { start: Gfn(a), end: Gfn(b), base: Gfn(c), hva: Hva::new(d) },
                9 => What::Flush { kvm: a },
                10 => What::Requested { gfn: Gfn(a), pfn: Pfn::new(b), level },
                11 => What::Set { gfn: Gfn(a), spte: new, sptep: b, level },
                12 => What::Changed { gfn: Gfn(a), old, new, level, space },
                13 => What::FastFault { sptep: a, old, new },
                14 => What::Fault { vcpu: small, address: a, error: b },
                15 => What::ZapTable { gfn: Gfn(a), role: small },
                16 => What::ZapAll,
                17 => What::SetMigration { hva: start, entry: b, order: level },
                18 => What::RemoveMigration { hva: start, entry: b, order: level },
                19 => What::TlbFlush { reason: level, pages: a },
                20 => What::NewTask { child: Tid((a & 0x7fff_ffff) as i32), flags: b },
                _ => What::Free { pfn: Pfn::new(a), order: level },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happened, every format takes it, in any order of time, and has all of it.
    #[test]
    fn every_event_can_be_exported(
        events in prop::collection::vec((any::<u64>(), any::<u16>(), -2_i32..3, what()), 0..60),
    ) {
        let items: Vec<_> = events.iter().map(|(tsc, cpu, tid, what)| at(*tsc, *cpu, *tid, *what)).collect();
        let folder = tempfile::tempdir().unwrap();
        for kind in Kind::ALL {
            export(kind, &folder.path().join(kind.name()), &items);
        }
        let file = SerializedFileReader::new(fs::File::open(folder.path().join("parquet")).unwrap()).unwrap();
        let mut rows = 0;
        for (row, (tsc, cpu, tid, what)) in file.get_row_iter(None).unwrap().zip(&events) {
            let row = row.unwrap();
            prop_assert_eq!(row.get_ulong(0).unwrap(), *tsc);
            prop_assert_eq!(row.get_ushort(2).unwrap(), *cpu);
            prop_assert_eq!(row.get_int(3).unwrap(), *tid);
            prop_assert_eq!(row.get_string(4).unwrap(), describe::name(what));
            let fields = describe::fields(what);
            for field in Field::ALL {
                let column = 5 + *field as usize;
                let value = row.get_ulong(column).ok().or_else(|| row.get_long(column).ok().map(i64::cast_unsigned));
                prop_assert_eq!(value, fields.get(*field));
            }
            rows += 1;
        }
        prop_assert_eq!(rows, events.len());
        let text = fs::read_to_string(folder.path().join("csv")).unwrap();
        prop_assert_eq!(text.lines().count(), events.len() + 1);
        let timeline = wire::read(&fs::read(folder.path().join("perfetto")).unwrap());
        let said = timeline.events.iter().filter(|event| event.says("text").is_some()).count();
        prop_assert_eq!(said, events.len());
    }
}
