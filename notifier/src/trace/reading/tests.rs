use super::*;
use crate::{
    Hva, Pfn,
    event::Tsc,
    trace::{
        event::{At, Call, Gfn, KernelEvent, PrimarySample, SlotMap, Spte, Tid, What},
        file::{Source, Writer},
        synthetic::{self, page::PageWriter},
    },
};
use proptest::prelude::*;

fn at(tsc: u64, cpu: u16, what: What) -> Item {
    Item::Event(KernelEvent { at: At { tsc: Tsc(tsc), cpu, tid: Tid(100 + i32::from(cpu)) }, what })
}

/// One of everything.
fn all() -> Vec<What> {
    let (hva, gfn, pfn) = (Hva::new(0x7f00_1234_5000), Gfn(0x1234), Pfn::new(0x9_8765));
    let call = Call::named("mremap").expect("known");
    let (start, end, old, new) = (hva, Hva::new(hva.get() + 0x1000), Spte(0x800), Spte(0x1234_5806));
    vec![
        What::Enter { call, args: [1, 2, 3, u64::MAX, 5, 6] },
        What::Exit { call, ret: -12 },
        What::NewTask { child: Tid(1 << 20), flags: 0x3d_0f00 },
        What::Unmap { start, end },
        What::ChangePte { hva },
        What::RangeStart { mm: 1 << 63, start, end, reason: 4 },
        What::RangeEnd { mm: 1 << 63, start, end },
        What::Begin { kvm: 7 },
        What::End { kvm: 7 },
        What::SlotUnmap { start: gfn, end: Gfn(0x1235), base: Gfn(0x1000), hva },
        What::Flush { kvm: 7 },
        What::Requested { gfn, pfn, level: 2 },
        What::Set { gfn, spte: new, sptep: u64::MAX - 7, level: 1 },
        What::Changed { gfn, old, new, level: 1, space: 1 },
        What::FastFault { sptep: 9, old, new },
        What::Fault { vcpu: 3, address: 0x1234_5000, error: 1 << 32 | 6 },
        What::ZapTable { gfn, role: u32::MAX },
        What::ZapAll,
        What::SetMigration { hva, entry: 0xee, order: 0 },
        What::RemoveMigration { hva, entry: 0xff, order: 9 },
        What::TlbFlush { reason: 4, pages: u64::MAX },
        What::Free { pfn, order: 3 },
    ]
}

fn read(bytes: &[u8]) -> (Vec<Item>, Reading<&[u8]>) {
    let mut reading = Reading::new(bytes).expect("its head is whole");
    let items = std::iter::from_fn(|| reading.next_item().expect("it is whole")).collect();
    (items, reading)
}

#[test]
fn every_event_comes_back_as_it_was() {
    let mut items: Vec<_> = all().into_iter().enumerate().map(|(n, what)| at(10 * n as u64, n as u16 % 3, what)).collect();
    items.push(Item::Slots { tsc: Tsc(15), slots: vec![SlotMap { gfn: Gfn(0), pages: 16, hva: Hva::new(0x1000) }] });
    items.push(Item::Primary(PrimarySample { from: Tsc(1), to: Tsc(25), start: Hva::new(0x1000), entries: vec![1, 2] }));
    items.push(Item::Lost { since: Tsc(10), until: Tsc(35), cpu: 1, events: Some(12) });
    items.push(Item::Lost { since: Tsc(150), until: Tsc(999), cpu: 0, events: None });
    let bytes = synthetic::recording(&items).expect("memory");
    let (found, reading) = read(&bytes);
    items.sort_by_key(Item::tsc);
    assert_eq!(found, items);
    assert_eq!(reading.tail(), Some(&Tail::default()));
    assert_eq!((reading.truncated(), reading.late()), (None, 0));
    let counts = reading.counts_by_event();
    assert_eq!(counts.len(), all().len());
    assert!(counts.contains(&("syscalls/sys_exit_mremap".to_owned(), 1)), "{counts:?}");
}

fn free(tsc: u64, cpu: u16) -> Item {
    at(tsc, cpu, What::Free { pfn: Pfn::new(tsc), order: 0 })
}

/// A page of frees at these times.
fn page(times: &[u64]) -> Vec<u8> {
    let items: Vec<_> = times.iter().map(|tsc| free(*tsc, 0)).collect();
    let bytes = synthetic::recording(&items).expect("memory");
    let mut frames = Frames::new(&bytes[..]).expect("whole");
    let Some(Frame::Pages(pages)) = frames.next_frame().expect("whole") else { unreachable!("pages come first") };
    pages.iter().next().expect("one").to_vec()
}

#[test]
fn nothing_is_given_out_before_the_watermark_and_nothing_incomplete_behind_it() {
    let mut writer = Writer::new(Vec::new(), &synthetic::head()).expect("memory");
    writer.pages(Source::Memory, 0, [&page(&[10, 40])[..]]).expect("memory");
    writer.watermark(Tsc(5)).expect("memory");
    writer.pages(Source::Memory, 1, [&page(&[20])[..]]).expect("memory");
    writer.pages(Source::Task, 0, [&page(&[30])[..]]).expect("memory");
    writer.watermark(Tsc(40)).expect("memory");
    writer.pages(Source::Memory, 1, [&page(&[50])[..]]).expect("memory");
    let whole = writer.finish(&Tail::default()).expect("memory");
    let times = |items: &[Item]| items.iter().map(|item| item.tsc().0).collect::<Vec<_>>();
    let (all, reading) = read(&whole);
    assert_eq!(times(&all), [10, 20, 30, 40, 50]);
    assert!(reading.tail().is_some() && reading.truncated().is_none());

    let (cut, reading) = read(&whole[..whole.len() - 1]);
    assert_eq!(times(&cut), [10, 20, 30], "at 40 another CPU may have had something that was not read yet");
    let truncated = reading.truncated().expect("it is");
    assert!(truncated.contains("2 pages before that are left out"), "{truncated}");
}

#[test]
fn what_comes_too_late_is_counted() {
    let mut writer = Writer::new(Vec::new(), &synthetic::head()).expect("memory");
    writer.pages(Source::Memory, 0, [&page(&[10, 40])[..]]).expect("memory");
    writer.watermark(Tsc(45)).expect("memory");
    writer.pages(Source::Memory, 1, [&page(&[20, 50])[..]]).expect("memory");
    let whole = writer.finish(&Tail::default()).expect("memory");
    let (all, reading) = read(&whole);
    assert_eq!((all.len(), reading.late()), (4, 1));
}

#[test]
fn a_broken_page_is_an_error_once() {
    let mut writer = Writer::new(Vec::new(), &synthetic::head()).expect("memory");
    writer.pages(Source::Memory, 3, [&page(&[10])[..], &[1; 30]]).expect("memory");
    let whole = writer.finish(&Tail::default()).expect("memory");
    let mut reading = Reading::new(&whole[..]).expect("its head is whole");
    let error = std::iter::from_fn(|| reading.next_item().map_err(|error| error.to_string()).transpose()).find_map(Result::err);
    assert!(error.as_deref().is_some_and(|error| error.contains("CPU 3")), "{error:?}");
    assert!(matches!(reading.next_item(), Ok(None)));
}

#[test]
fn an_event_shorter_than_its_format_is_an_error() {
    let head = synthetic::head();
    let layout = PageLayout::parse(&head.header_page).expect("it is one");
    let mut short = PageWriter::new(layout, 1);
    // the first format, of an unmapping, wants 24 bytes
    short.push(2, &[100, 0, 0, 0, 1, 0, 0, 0]);
    let mut writer = Writer::new(Vec::new(), &head).expect("memory");
    writer.pages(Source::Memory, 0, [&short.finish(None)[..]]).expect("memory");
    let whole = writer.finish(&Tail::default()).expect("memory");
    let error = Reading::new(&whole[..]).expect("its head is whole").next_item().expect_err("too short");
    assert!(matches!(error, ReadError::Event { cpu: 0, format: 0, bytes: 8, .. }), "{error}");
}

proptest! {
    #[test]
    fn any_stream_comes_back_in_order(
        steps in prop::collection::vec((1u64..1 << 30, 0u16..4, 0usize..21), 0..1500),
    ) {
        let all = all();
        let mut tsc = 0;
        let items: Vec<_> = steps.into_iter().map(|(step, cpu, what)| { tsc += step; at(tsc, cpu, all[what]) }).collect();
        let bytes = synthetic::recording(&items).expect("memory");
        let (found, _) = read(&bytes);
        prop_assert_eq!(found, items);
    }

    #[test]
    fn a_cut_stream_is_a_beginning(cut in any::<prop::sample::Index>()) {
        let items: Vec<_> = (0..3000).map(|n| free(n * 3, n as u16 % 3)).collect();
        let bytes = synthetic::recording(&items).expect("memory");
        if let Ok(mut reading) = Reading::new(&bytes[..cut.index(bytes.len())]) {
            let found: Vec<_> = std::iter::from_fn(|| reading.next_item().expect("what is there is whole")).collect();
            prop_assert_eq!(&found[..], &items[..found.len()]);
            prop_assert!(reading.truncated().is_some());
        }
    }
}

/// `cargo test --release -p nostale-notifier -- --ignored --nocapture reading_rate`
#[test]
#[ignore = "a measurement"]
fn reading_rate() {
    let all = all();
    let items: Vec<_> = (0..4_000_000u64).map(|n| at(n * 300, (n / 16) as u16 % 4, all[n as usize % all.len()])).collect();
    let bytes = synthetic::recording(&items).expect("memory");
    for _ in 0..3 {
        let began = std::time::Instant::now();
        let mut reading = Reading::new(&bytes[..]).expect("whole");
        let mut events = 0u64;
        while let Some(item) = reading.next_item().expect("whole") {
            events += u64::from(matches!(item, Item::Event(_)));
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("{events} events of {} bytes in {seconds:.3} s: {:.1} M/s", bytes.len(), events as f64 / seconds / 1e6);
    }
}
