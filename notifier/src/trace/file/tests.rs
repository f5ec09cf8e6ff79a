use super::*;
use crate::{
    Hva,
    event::Tsc,
    trace::{
        event::{Gfn, PrimarySample, SlotMap},
        head::Tail,
        synthetic,
    },
};
use proptest::prelude::*;

fn frames() -> Vec<Frame> {
    let sample = PrimarySample { from: Tsc(5), to: Tsc(6), start: Hva::new(0x20_0000), entries: vec![1 << 63 | 7; 512] };
    let slots = vec![SlotMap { gfn: Gfn(1), pages: 2, hva: Hva::new(0x3000) }];
    let tail = Tail { threads: [(7, "kcompactd0".to_owned())].into(), lost: [(1, 9)].into(), seconds: 0.1 };
    let pages = |source, cpu, pages: &[&[u8]]| {
        let bytes = pages.iter().flat_map(|page| (page.len() as u32).to_le_bytes().into_iter().chain(page.iter().copied()));
        Frame::Pages(read::Pages { source, cpu, bytes: bytes.collect() })
    };
    vec![
        pages(Source::Memory, 300, &[&[1; 70], &[2, 3]]),
        Frame::Slots { tsc: Tsc(4), slots },
        pages(Source::Task, 0, &[]),
        Frame::Primary(sample),
        Frame::Watermark(Tsc(1 << 60)),
        Frame::Tail(tail),
    ]
}

fn write(frames: &[Frame]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &synthetic::head()).expect("memory");
    for frame in frames {
        match frame {
            Frame::Pages(pages) => writer.pages(pages.source, pages.cpu, pages.iter()),
            Frame::Watermark(tsc) => writer.watermark(*tsc),
            Frame::Primary(sample) => writer.primary(sample),
            Frame::Slots { tsc, slots } => writer.slots(*tsc, slots),
            Frame::Tail(tail) => return writer.finish(tail).expect("memory"),
        }
        .expect("memory");
    }
    unreachable!("no tail")
}

fn read(bytes: &[u8]) -> (Vec<Frame>, Option<String>) {
    let mut reading = Frames::new(bytes).expect("its head is whole");
    let frames = std::iter::from_fn(|| reading.next_frame().expect("memory")).collect();
    (frames, reading.truncated().map(str::to_owned))
}

/// The first byte behind the first frame.
fn head_ends(bytes: &[u8]) -> usize {
    let header = bytes[START..].first_chunk().expect("a frame");
    START + HEADER + Header::parse(header).0.stored as usize
}

#[test]
fn what_is_written_is_read() {
    let bytes = write(&frames());
    assert_eq!(read(&bytes), (frames(), None));
    assert_eq!(Frames::new(&bytes[..]).expect("whole").head(), &synthetic::head());
}

#[test]
fn a_cut_recording_ends_with_its_last_whole_frame() {
    let (all, bytes) = (frames(), write(&frames()));
    let mut before = all.len();
    for end in (head_ends(&bytes)..bytes.len()).rev() {
        let mut reading = Frames::new(&bytes[..end]).expect("its head is whole");
        let found: Vec<_> = std::iter::from_fn(|| reading.next_frame().expect("memory")).collect();
        assert_eq!(found, all[..found.len()]);
        assert!(found.len() <= before && found.len() < all.len(), "it gets shorter and never has its tail");
        assert!(reading.truncated().is_some(), "it says so");
        before = found.len();
    }
    assert_eq!(before, 0);
}

#[test]
fn damage_is_noticed() {
    let mut bytes = write(&frames());
    let last = bytes.len() - 1;
    bytes[last] ^= 4;
    let (found, truncated) = read(&bytes);
    assert_eq!(found, frames()[..5]);
    let truncated = truncated.expect("it is");
    assert!(truncated.contains("checksum"), "{truncated}");
}

#[test]
fn frames_of_a_later_version_are_passed_over() {
    let bytes = write(&frames());
    let header = Header { kind: 77, packed: 0, cpu: 0, source: 9, stored: 3, plain: 3 };
    let mut unknown = header.bytes().to_vec();
    unknown.extend(header.checksum(b"new").to_le_bytes());
    unknown.extend(b"new");
    let at = head_ends(&bytes);
    let with = [&bytes[..at], &unknown, &bytes[at..]].concat();
    assert_eq!(read(&with), (frames(), None));
}

#[test]
fn what_is_none_is_refused() {
    let error = |bytes: &[u8]| Frames::new(bytes).expect_err("it is none").to_string();
    assert!(error(b"perf.data and so on").contains("no recording"));
    let mut other = write(&frames());
    other[8] = 2;
    assert!(error(&other).contains("version 2"));
    assert!(error(&other[..6]).contains("no recording"));
    assert!(error(&write(&frames())[..40]).contains("without its head"));
}

/// The example in `RECORDING.md`, byte by byte.
#[test]
fn the_document_has_it_right() {
    let text = include_str!("../../../RECORDING.md");
    let mut bytes = Vec::new();
    for line in text.lines().filter_map(|line| line.split_once(": ").filter(|(at, _)| at.len() == 4).map(|(_, rest)| rest)) {
        let dump = line.split("  ").next().unwrap_or("");
        bytes.extend(dump.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("hex")));
    }
    let mut writer = Writer::new(Vec::new(), &synthetic::head()).expect("memory");
    writer.watermark(Tsc(0x1122_3344)).expect("memory");
    let whole = writer.finish(&Tail::default()).expect("memory");
    let without_head = [&whole[..START], &whole[head_ends(&whole)..]].concat();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    assert_eq!(hex(&bytes), hex(&without_head));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn mutated_recordings_do_no_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = write(&frames());
        changes.into_iter().for_each(|(at, byte)| { let at = at.index(bytes.len()); bytes[at] = byte; });
        if let Ok(mut reading) = Frames::new(&bytes[..]) {
            while let Ok(Some(_)) = reading.next_frame() {}
        }
    }
}
