use super::*;
use crate::trace::synthetic::{HEADER_PAGE, page::PageWriter};
use proptest::prelude::*;

fn layout() -> PageLayout {
    PageLayout::parse(HEADER_PAGE).expect("it is one")
}

/// All events of a page, with their times.
fn read(page: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, PageError> {
    let (mut cursor, _) = Cursor::begin(&layout(), page)?;
    let mut events = Vec::new();
    while let Some(Record { tsc, start, end }) = cursor.next(page)? {
        events.push((tsc, page[start..end].to_vec()));
    }
    assert_eq!(cursor.next(page), Ok(None), "the end stays the end");
    Ok(events)
}

#[test]
fn short_long_and_distant_events() {
    let mut page = PageWriter::new(layout(), 1000);
    let events = [(1000, 4), (1001, 112), (1001, 116), ((1 << 27) + 1000, 8), (1 << 28, 1000), ((1 << 40) + 5, 12), (1 << 41, 8)];
    for (n, (tsc, len)) in events.into_iter().enumerate() {
        assert!(page.push(tsc, &vec![n as u8; len]));
    }
    let expected: Vec<_> = events.iter().enumerate().map(|(n, (tsc, len))| (*tsc, vec![n as u8; *len])).collect();
    assert_eq!(read(&page.finish(None)), Ok(expected));
}

#[test]
fn the_words_are_the_kernels() {
    // Written down by hand: a time stamp of 0x100, 44 bytes; an event of 8 bytes 3 ticks later, a time extend of (1 << 27) + 2 ticks,
    // an event of 4 bytes 1 tick later, and padding to the end.
    let words: [u32; 15] = [0x100, 0, 44, 0, 2 | 3 << 5, 7, 8, 30 | 2 << 5, 1, 1 | 1 << 5, 9, 29, 0, 0, 0];
    let page: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let late = 0x103 + (1 << 27) + 3;
    assert_eq!(read(&page), Ok(vec![(0x103, vec![7, 0, 0, 0, 8, 0, 0, 0]), (late, vec![9, 0, 0, 0])]));
}

#[test]
fn discarded_events_are_passed_over_and_their_time_is_not() {
    let mut page = PageWriter::new(layout(), 50);
    page.push_discarded(7, 3);
    page.push_discarded(1, 2);
    page.push(60, &[1; 4]);
    assert_eq!(read(&page.finish(None)), Ok(vec![(60, vec![1; 4])]));
}

#[test]
fn absolute_stamps_have_59_bits_and_take_the_rest_from_before() {
    assert_eq!(absolute(5, 4), 5);
    assert_eq!(absolute(5, 1 << 58), 5, "no upper bit was set: as it stands");
    let high = 0x18 << 56;
    assert_eq!(absolute(5, high | 4), high | 5);
    assert_eq!(absolute(3, high | 4), 0x20 << 56 | 3, "it went over");
}

#[test]
fn what_was_missed_is_told() {
    for (lost, told) in [(None, Missed::Nothing), (Some(None), Missed::Unknown), (Some(Some(77)), Missed::Events(77))] {
        let mut page = PageWriter::new(layout(), 1);
        page.push(2, &[3; 8]);
        let mut page = page.finish(lost);
        assert_eq!(used(&layout(), &page), page.len(), "nothing of it may be cut off");
        page.resize(4096, 0);
        assert_eq!(Cursor::begin(&layout(), &page).map(|(_, missed)| missed), Ok(told));
        assert_eq!(read(&page).map(|events| events.len()), Ok(1));
    }
}

#[test]
fn pages_that_lie_are_refused() {
    assert_eq!(read(&[0; 15]), Err(PageError::Head(15)));
    let mut page = PageWriter::new(layout(), 1);
    page.push(2, &[3; 8]);
    let page = page.finish(None);
    assert_eq!(read(&page[..page.len() - 1]), Err(PageError::Commit { size: 27, commit: 12 }));
    let beyond: Vec<u8> = [1u32, 0, 8, 0, 2, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(read(&beyond), Err(PageError::Event { at: 16 }), "8 bytes of data in 4");
}

proptest! {
    #[test]
    fn whatever_is_written_is_read(
        start in 0u64..1 << 58,
        events in prop::collection::vec((prop_oneof![0u64..100, 0u64..1 << 40], prop::collection::vec(any::<u8>(), 1..40)), 0..80),
    ) {
        let mut page = PageWriter::new(layout(), start);
        let (mut tsc, mut expected) = (start, Vec::new());
        for (delta, words) in events {
            tsc += delta;
            let bytes: Vec<u8> = words.iter().flat_map(|word| [*word; 4]).collect();
            if page.push(tsc, &bytes) {
                expected.push((tsc, bytes));
            }
        }
        prop_assert_eq!(read(&page.finish(None)), Ok(expected));
    }

    #[test]
    fn mutated_pages_end_in_events_or_an_error(
        changes in prop::collection::vec((0usize..600, any::<u8>()), 1..12),
        cut in 0usize..600,
    ) {
        let mut page = PageWriter::new(layout(), 1);
        (0..20).for_each(|n| assert!(page.push(n << n, &vec![n as u8; 4 + 8 * n as usize % 130])));
        let mut page = page.finish(Some(Some(3)));
        changes.into_iter().for_each(|(at, byte)| if let Some(place) = page.get_mut(at) { *place = byte });
        page.truncate(page.len().saturating_sub(cut));
        if let Ok(events) = read(&page) {
            prop_assert!(events.len() <= page.len() / 4);
        }
        prop_assert!(used(&layout(), &page) <= page.len());
    }
}
