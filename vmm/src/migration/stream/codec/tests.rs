//! What is written is read; what is nonsense is refused, and never a panic.

use super::*;
use proptest::prelude::*;

fn message() -> impl Strategy<Value = Message> {
    let words = || prop::collection::vec(any::<u64>(), 0..40);
    let page = (0u64..1 << 40, any::<bool>());
    let pages = (any::<bool>(), prop::collection::vec(page, 0..8), any::<u8>()).prop_map(|(arena, entries, byte)| {
        let full = entries.iter().filter(|(_, zero)| !zero).count();
        Message::Pages(Pages { arena, entries, data: vec![byte; full * PAGE_SIZE as usize] })
    });
    let hello = (any::<[u64; 2]>(), any::<u32>(), any::<[bool; 3]>(), prop::collection::vec(any::<[u64; 3]>(), 0..5));
    let hello = hello.prop_map(|([pages, vcpus], ring_entries, flags, slots)| {
        Message::Hello(Hello { pages, vcpus, ring_entries, slots, shared: flags[0], huge: flags[1], forgets: flags[2] })
    });
    let sent = (any::<[u64; 7]>(), any::<bool>()).prop_map(|(words, converged)| {
        let [rounds, pages, zeros, bytes, sending_us, throttled, stopped_tsc] = words;
        Message::Sent(Sent { rounds, pages, zeros, bytes, sending_us, converged, throttled, stopped_tsc })
    });
    let plain = [
        Message::Welcome,
        Message::Ready,
        Message::Commit,
        Message::Resident,
        Message::Return,
        Message::Bye,
        Message::Failed("why".to_owned()),
        Message::Lost("how".to_owned()),
    ];
    prop_oneof![
        pages,
        hello,
        sent,
        words().prop_map(Message::Missing),
        words().prop_map(Message::Pulse),
        any::<u64>().prop_map(Message::Running),
        any::<u64>().prop_map(Message::Request),
        any::<[u64; 6]>().prop_map(|words| Message::Finding(Finding { words })),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5).prop_map(Message::States),
        prop::sample::select(plain.to_vec()),
    ]
}

fn whole(message: &Message) -> Vec<u8> {
    let mut body = message.body();
    if let Message::Pages(pages) = message {
        body.extend_from_slice(&pages.data);
    }
    body
}

proptest! {
    #[test]
    fn every_message_survives_the_way(message in message()) {
        prop_assert_eq!(Message::decode(message.kind(), whole(&message)), Ok(message));
    }

    #[test]
    fn nonsense_is_no_panic(kind in prop::sample::select(Kind::ALL.to_vec()), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::decode(kind, body);
    }

    #[test]
    fn a_message_that_was_cut_is_refused(message in message(), cut in 1usize..9) {
        let mut body = whole(&message);
        prop_assume!(body.len() >= cut);
        body.truncate(body.len() - cut);
        let read = Message::decode(message.kind(), body);
        // A list of words, or a text, may be any whole number of them.
        let any_length = matches!(message.kind(), Kind::Missing | Kind::Pulse | Kind::Failed | Kind::Lost | Kind::Hello);
        prop_assert!(read.is_err() || any_length && read != Ok(message));
    }

    #[test]
    fn headers_are_checked(bytes in any::<[u8; HEADER]>(), expected in any::<u32>()) {
        prop_assert!(Header::from_bytes(bytes, expected).is_err(), "16 random bytes are no header");
    }
}

#[test]
fn each_field_of_a_header_can_be_wrong() {
    let good = Header { kind: Kind::Pages, length: 8, sequence: 3 }.to_bytes();
    assert_eq!(Header::from_bytes(good, 3), Ok(Header { kind: Kind::Pages, length: 8, sequence: 3 }));
    assert_eq!(Header::from_bytes(good, 4), Err(CodecError::Sequence { found: 3, expected: 4 }));
    let with = |at: usize, byte: u8| {
        let mut bytes = good;
        bytes[at] = byte;
        Header::from_bytes(bytes, 3)
    };
    assert!(matches!(with(0, 0), Err(CodecError::Magic(_))));
    assert_eq!(with(4, 9), Err(CodecError::Version(9)));
    assert_eq!(with(6, 99), Err(CodecError::Kind(99)));
    assert!(matches!(with(11, 0x7f), Err(CodecError::TooLong(_))));
}

#[test]
fn a_count_that_overflows_is_refused() {
    let huge = u64::MAX.to_le_bytes().to_vec();
    assert!(Message::decode(Kind::States, huge.clone()).is_err());
    assert!(Message::decode(Kind::Pages, huge).is_err());
}
