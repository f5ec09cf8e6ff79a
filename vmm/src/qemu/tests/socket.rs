use super::{LONG, SHORT, pair};
use crate::qemu::{
    Received, SocketError,
    socket::deadline,
    workdir::{WorkDir, anonymous},
};
use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    thread,
};

fn line(text: &str) -> Received {
    Received::Line(text.to_owned())
}

#[test]
fn lines_arrive_whole_however_they_are_cut() {
    let (mut socket, mut peer) = pair();
    peer.write_all(b"one\r\ntw").unwrap();
    assert_eq!(socket.line(LONG).unwrap(), line("one"));
    assert_eq!(socket.line(SHORT).unwrap(), Received::Timeout, "half a line is not a line");
    peer.write_all("o \u{e4}\u{20ac}\n\n".as_bytes()).unwrap();
    assert_eq!(socket.line(LONG).unwrap(), line("two \u{e4}\u{20ac}"), "what came before the timeout is kept");
    assert_eq!(socket.line(LONG).unwrap(), line(""));
    peer.write_all(b"bad \xff\nrest").unwrap();
    drop(peer);
    assert_eq!(socket.line(LONG).unwrap(), line("bad \u{fffd}"));
    assert_eq!(socket.line(LONG).unwrap(), Received::Closed { unfinished: "rest".to_owned() });
    assert_eq!(socket.line(LONG).unwrap(), Received::Closed { unfinished: String::new() });
    assert!(matches!(socket.send(b"x", LONG), Err(SocketError::Closed)));

    let (mut socket, mut peer) = pair();
    peer.write_all(b"+").unwrap();
    assert_eq!(socket.byte(deadline(LONG)).unwrap(), Some(b'+'));
    assert_eq!(socket.byte(deadline(SHORT)).unwrap(), None);
    drop(peer);
    assert!(matches!(socket.byte(deadline(LONG)), Err(SocketError::Closed)));
}

#[test]
fn long_lines_cross_each_other() {
    let (mut socket, mut peer) = pair();
    let text = "0123456789abcdef".repeat(1 << 17);
    let theirs = thread::spawn({
        let text = text.clone();
        move || {
            // Writes all of it before it reads anything: only works when the other side reads while it sends.
            peer.write_all(text.as_bytes()).unwrap();
            peer.write_all(b"\n").unwrap();
            let mut back = vec![0; text.len()];
            peer.read_exact(&mut back).unwrap();
            back
        }
    });
    socket.send(text.as_bytes(), LONG).unwrap();
    assert!(socket.line(LONG).unwrap() == line(&text));
    assert!(theirs.join().unwrap() == text.as_bytes());
}

#[test]
fn a_peer_that_does_not_read_is_noticed() {
    let (mut socket, _peer) = pair();
    match socket.send(&vec![0; 8 << 20], SHORT) {
        Err(SocketError::Stuck { sent, length, .. }) => assert!(sent < length && length == 8 << 20),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_socket_in_a_long_directory_has_a_short_name() {
    let temporary = tempfile::tempdir().unwrap();
    let long = temporary.path().join("d".repeat(200)).join("e".repeat(200));
    let dir = WorkDir::take(&long).unwrap();
    assert!(UnixListener::bind(long.join("gdb")).is_err(), "that is why");
    assert!(dir.short("gdb").as_os_str().len() < 40);
    let listener = UnixListener::bind(dir.short("gdb")).unwrap();
    let mut ours = dir.connect_gdb().unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    ours.write_all(b"?").unwrap();
    let mut byte = [0];
    theirs.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"?");

    let error = WorkDir::take(&long).unwrap_err().to_string();
    assert!(error.contains("another machine"), "{error}");
    drop(dir);
    assert!(!long.join("gdb").exists(), "the name is gone with the machine");
    WorkDir::take(&long).unwrap();
}

#[test]
fn memory_is_a_file_of_the_right_size() {
    assert_eq!(anonymous(5 << 20).unwrap().metadata().unwrap().len(), 5 << 20);
}
