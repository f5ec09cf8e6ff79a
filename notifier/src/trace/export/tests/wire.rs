//! Reads as much of Perfetto's format as the tests look at. It shares nothing with what writes it.

use std::collections::HashMap;

/// An event of a track.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) time: u64,
    pub(super) kind: u64,
    pub(super) track: u64,
    pub(super) name: String,
    pub(super) category: String,
    annotations: Vec<(String, String)>,
}

impl Event {
    pub(super) fn says(&self, name: &str) -> Option<&str> {
        self.annotations.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub(super) events: Vec<Event>,
    /// Process, number and name of the thread of a track.
    pub(super) threads: HashMap<u64, (u64, u64, String)>,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for at in 0.. {
        let (byte, rest) = bytes.split_first().expect("a number ends");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)),
            2 => {
                let len = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(len);
                bytes = rest;
                Value::Bytes(value)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

fn bytes<'a>(message: &'a [u8], field: u64) -> Vec<&'a [u8]> {
    let of = |(number, value): (u64, Value<'a>)| match value {
        Value::Bytes(bytes) if number == field => Some(bytes),
        _ => None,
    };
    fields(message).into_iter().filter_map(of).collect()
}

fn number(message: &[u8], field: u64) -> Option<u64> {
    fields(message).into_iter().find_map(|(number, value)| match value {
        Value::Number(value) if number == field => Some(value),
        _ => None,
    })
}

fn text(message: &[u8], field: u64) -> String {
    bytes(message, field).first().map(|text| String::from_utf8(text.to_vec()).unwrap()).unwrap_or_default()
}

pub(super) fn read(trace: &[u8]) -> Timeline {
    let mut timeline = Timeline::default();
    let mut names: HashMap<(u64, u64), String> = HashMap::new();
    for (at, packet) in bytes(trace, 1).into_iter().enumerate() {
        assert_eq!(number(packet, 10), Some(1), "one sequence");
        assert_eq!(number(packet, 13), Some(if at == 0 { 1 } else { 2 }), "whose state begins with the first packet");
        for interned in bytes(packet, 12) {
            for kind in 1..=3 {
                for entry in bytes(interned, kind) {
                    let old = names.insert((kind, number(entry, 1).unwrap()), text(entry, 2));
                    assert_eq!(old, None, "a name is given once");
                }
            }
        }
        for track in bytes(packet, 60) {
            for thread in bytes(track, 4) {
                let said = (number(thread, 1).unwrap(), number(thread, 2).unwrap(), text(thread, 5));
                timeline.threads.insert(number(track, 1).unwrap(), said);
            }
        }
        for event in bytes(packet, 11) {
            let name = |kind, field| number(event, field).map(|iid| names[&(kind, iid)].clone()).unwrap_or_default();
            let annotations = bytes(event, 4).into_iter().map(|annotation| {
                let value = match number(annotation, 7) {
                    Some(pointer) => format!("{pointer:#x}"),
                    None => number(annotation, 3)
                        .map(|value| value.to_string())
                        .or_else(|| number(annotation, 4).map(|value| value.cast_signed().to_string()))
                        .unwrap_or_else(|| text(annotation, 6)),
                };
                (names[&(3, number(annotation, 1).unwrap())].clone(), value)
            });
            timeline.events.push(Event {
                time: number(packet, 8).unwrap(),
                kind: number(event, 9).unwrap(),
                track: number(event, 11).unwrap(),
                name: name(2, 10),
                category: name(1, 3),
                annotations: annotations.collect(),
            });
        }
    }
    timeline
}
