use super::{
    Debugger, GdbError,
    packet::{Link, checksum, decode, encode, from_hex, to_hex},
};
use crate::qemu::{QemuError, socket::Socket};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

#[test]
fn packets_have_a_frame() {
    assert_eq!(encode(b"m1000,4"), b"$m1000,4#8e");
    assert_eq!(encode(b"a}#$*"), b"$a}]}\x03}\x04}\x0a#c3");
    assert_eq!(checksum(b"OK"), 0x9a);
    for payload in [&b""[..], b"OK", b"}}}", b"$#*}x"] {
        let frame = encode(payload);
        assert_eq!(decode(&frame[1..frame.len() - 3]).unwrap(), payload);
    }
    assert_eq!(decode(b"0* x").unwrap(), b"0000x", "a repetition");
    assert_eq!(decode(b"0*"), None);
    assert_eq!(decode(b"*!"), None);
    assert_eq!(decode(b"0}"), None);
}

#[test]
fn hexadecimal_is_bytes() {
    assert_eq!(to_hex(&[0, 0x1f, 0xff]), "001fff");
    assert_eq!(from_hex(b"001FfF"), Some(vec![0, 0x1f, 0xff]));
    assert_eq!(from_hex(b""), Some(vec![]));
    assert_eq!((from_hex(b"0"), from_hex(b"0g"), from_hex(b"OK")), (None, None, None));
}

/// A stub of our own.
#[derive(Default)]
struct Stub {
    /// From address 0x1000 on.
    memory: Vec<u8>,
    /// The only vCPU that maps it.
    mapped_by: u32,
    /// How many replies are damaged before one is right.
    damaged: u32,
    /// How many commands are asked for again.
    again: u32,
    /// No matter what is written, this does not change.
    read_only: bool,
    /// News that nobody asked for, before each reply.
    news: bool,
    /// Acknowledges to the end.
    acknowledges: bool,
    /// Reads return less than was asked.
    short: bool,
}

impl Stub {
    /// Serves until the other side is gone; returns what it was asked.
    fn serve(mut self, stream: UnixStream) -> Vec<String> {
        let mut asked = Vec::new();
        // The other side may give up at any time.
        _ = self.converse(stream, &mut asked);
        asked
    }

    fn converse(&mut self, mut stream: UnixStream, asked: &mut Vec<String>) -> std::io::Result<()> {
        let (mut cpu, mut acknowledged) = (1, true);
        while let Some(command) = command(&mut stream) {
            if acknowledged {
                if self.again > 0 {
                    self.again -= 1;
                    stream.write_all(b"-")?;
                    continue;
                }
                stream.write_all(b"+")?;
            }
            let reply = self.reply(&command, &mut cpu);
            if self.news {
                stream.write_all(&encode(b"T02thread:01;"))?;
                if acknowledged && !confirmed(&mut stream)? {
                    break;
                }
            }
            loop {
                let mut frame = encode(reply.as_bytes());
                if self.damaged > 0 {
                    self.damaged -= 1;
                    let last = frame.len() - 1;
                    frame[last] ^= 1;
                }
                stream.write_all(b"noise")?;
                stream.write_all(&frame)?;
                if !acknowledged || confirmed(&mut stream)? {
                    break;
                }
            }
            acknowledged &= command != "QStartNoAckMode";
            asked.push(command);
        }
        Ok(())
    }

    fn reply(&mut self, command: &str, cpu: &mut u32) -> String {
        match command {
            "qSupported" if self.acknowledges => "PacketSize=100".to_owned(),
            "qSupported" => "PacketSize=100;QStartNoAckMode+;multiprocess+".to_owned(),
            "QStartNoAckMode" | "D" => "OK".to_owned(),
            "qfThreadInfo" => "m01".to_owned(),
            "qsThreadInfo" if *cpu == 1 => {
                *cpu = 0;
                "m02,03".to_owned()
            }
            "qsThreadInfo" => {
                *cpu = 1;
                "l".to_owned()
            }
            _ if command.starts_with("Hg") => {
                *cpu = command[2..].parse().unwrap();
                "OK".to_owned()
            }
            _ => self.access(command, *cpu).unwrap_or_else(|| "E14".to_owned()),
        }
    }

    fn access(&mut self, command: &str, cpu: u32) -> Option<String> {
        let (place, data) = command[1..].split_once(':').unwrap_or((&command[1..], ""));
        let (address, length) = place.split_once(',').unwrap();
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        assert!(command.len() + 4 <= 0x100, "longer than the stub can take");
        assert!(number(length) * 2 + 4 <= 0x100, "longer than the stub can send");
        let start = number(address).checked_sub(0x1000)?;
        let part = self.memory.get_mut(start..start + number(length)).filter(|_| cpu == self.mapped_by)?;
        if command.starts_with('m') {
            return Some(to_hex(if self.short { &part[1..] } else { part }));
        }
        if !self.read_only {
            part.copy_from_slice(&from_hex(data.as_bytes()).unwrap());
        }
        Some("OK".to_owned())
    }
}

/// The payload of the next packet.
fn command(stream: &mut UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !(bytes.len() > 3 && bytes[bytes.len() - 3] == b'#') {
        stream.read_exact(&mut byte).ok()?;
        if byte != *b"+" || !bytes.is_empty() {
            bytes.push(byte[0]);
        }
    }
    let plain = decode(&bytes[1..bytes.len() - 3]).unwrap();
    assert_eq!(encode(&plain), bytes, "what is sent is in order");
    Some(String::from_utf8(plain).unwrap())
}

/// Whether the other side acknowledges.
fn confirmed(stream: &mut UnixStream) -> std::io::Result<bool> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte == *b"+")
}

/// A session with `stub`: what came of it, and what the stub was asked.
fn session<R>(stub: Stub, with: impl FnOnce(Debugger<'_>) -> R) -> (Result<R, GdbError>, Vec<String>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let thread = thread::spawn(move || stub.serve(theirs));
    let result = Debugger::attach(Socket::new(ours).unwrap()).map(with);
    (result, thread.join().unwrap())
}

fn memory() -> Vec<u8> {
    (0..=255).cycle().take(1000).collect()
}

#[test]
fn memory_goes_in_packets_that_fit() {
    for acknowledges in [false, true] {
        let stub = Stub { memory: memory(), mapped_by: 1, news: true, acknowledges, ..Stub::default() };
        let (result, asked) = session(stub, |mut debugger| {
            assert!(debugger.read(0x1000, 1000).unwrap() == memory());
            debugger.write_checked(0x1001, &[0xaa; 600]).unwrap();
            assert_eq!(debugger.read(0x1000, 2).unwrap(), [0, 0xaa]);
            assert_eq!(debugger.read(0x1000 + 600, 2).unwrap(), [0xaa, 89]);
            debugger.detach().unwrap();
        });
        result.unwrap();
        assert_eq!(asked.last().unwrap(), "D");
        assert_eq!(asked.iter().filter(|&command| command == "D").count(), 1, "dropped after that, it does not detach again");
        assert_eq!(asked.iter().any(|command| command == "QStartNoAckMode"), !acknowledges);
    }
}

#[test]
fn a_session_that_is_dropped_lets_the_machine_go_on() {
    let (result, asked) = session(Stub::default(), |debugger| drop(debugger));
    result.unwrap();
    assert_eq!(asked.last().unwrap(), "D");
}

#[test]
fn the_vcpu_that_maps_the_address_is_found() {
    let stub = Stub { memory: memory(), mapped_by: 3, ..Stub::default() };
    let (result, asked) = session(stub, |mut debugger| debugger.read(0x1000, 4).unwrap());
    assert_eq!(result.unwrap(), [0, 1, 2, 3]);
    assert!(asked.iter().any(|command| command == "Hg03"), "{asked:?}");
}

#[test]
fn what_nobody_maps_is_an_error() {
    let stub = Stub { memory: memory(), mapped_by: 1, ..Stub::default() };
    let (result, _) = session(stub, |mut debugger| {
        let errors = [debugger.read(0x9000, 4).unwrap_err(), debugger.write(0x9000, &[1]).unwrap_err()];
        assert_eq!(debugger.read(0x1000, 1).unwrap(), [0], "the session goes on");
        errors.map(|error| error.to_string())
    });
    let [read, written] = result.unwrap();
    assert!(read.contains("4 bytes at 0x9000 cannot be read (E14): no vCPU maps them"), "{read}");
    assert!(written.contains("1 bytes at 0x9000 cannot be written"), "{written}");
}

#[test]
fn a_write_without_effect_is_noticed() {
    let stub = Stub { memory: memory(), mapped_by: 1, read_only: true, ..Stub::default() };
    let (result, _) = session(stub, |mut debugger| debugger.write_checked(0x1000, &[0x31, 0xc0, 0xc3]).unwrap_err());
    match result.unwrap() {
        QemuError::Debug { source: GdbError::Different { address: 0x1000, wrote, found }, .. } => {
            assert_eq!((wrote.as_str(), found.as_str()), ("31c0c3", "000102"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_short_read_is_an_error() {
    let stub = Stub { memory: memory(), mapped_by: 1, short: true, ..Stub::default() };
    let (result, _) = session(stub, |mut debugger| debugger.read(0x1000, 4).unwrap_err());
    assert!(matches!(result.unwrap(), QemuError::Debug { source: GdbError::Refused { .. }, .. }));
}

#[test]
fn damaged_packets_are_sent_again() {
    let stub = Stub { memory: memory(), mapped_by: 1, damaged: 3, again: 1, acknowledges: true, ..Stub::default() };
    let (result, _) = session(stub, |mut debugger| debugger.read(0x1000, 3).unwrap());
    assert_eq!(result.unwrap(), [0, 1, 2]);
    let (result, _) = session(Stub { damaged: 100, acknowledges: true, ..Stub::default() }, |debugger| drop(debugger));
    assert!(matches!(result, Err(GdbError::Damaged { .. })), "{result:?}");
    let (result, _) = session(Stub { again: 100, ..Stub::default() }, |debugger| drop(debugger));
    assert!(matches!(result, Err(GdbError::Damaged { .. })), "{result:?}");
}

#[test]
fn a_silent_stub_is_given_up() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut link = Link::new(Socket::new(ours).unwrap(), Duration::from_millis(30));
    theirs.write_all(b"+$T05thread:01;#").unwrap();
    assert!(matches!(link.exchange("?"), Err(GdbError::Late { .. })));
}
