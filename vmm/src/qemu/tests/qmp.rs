use super::{LONG, SHORT, pair};
use crate::qemu::{
    SocketError,
    qmp::{Event, Qmp, QmpError},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    thread,
};

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}"#;

/// A monitor that answers each command with lines in which `ID` stands for the command's id. Returns what it was asked.
fn monitor(answers: &'static [&'static str]) -> (Result<Qmp, QmpError>, thread::JoinHandle<Vec<Value>>) {
    let (socket, peer) = pair();
    let thread = thread::spawn(move || serve(peer, answers));
    (Qmp::greet(socket, LONG), thread)
}

fn serve(mut peer: UnixStream, answers: &[&str]) -> Vec<Value> {
    let mut lines = BufReader::new(peer.try_clone().unwrap()).lines();
    writeln!(peer, "{GREETING}").unwrap();
    let mut asked = Vec::new();
    for answer in [r#"{"return": {}, "id": ID}"#].iter().chain(answers) {
        let Some(Ok(line)) = lines.next() else { break };
        let command: Value = serde_json::from_str(&line).unwrap();
        write!(peer, "{}\r\n", answer.replace("ID", &command["id"].to_string())).unwrap();
        asked.push(command);
    }
    asked
}

#[test]
fn replies_are_told_from_events() {
    let (qmp, thread) = monitor(&[
        "{\"event\": \"STOP\", \"timestamp\": {}}\n{\"event\": \"RESUME\", \"data\": {\"n\": 2}}\n{\"return\": {\"running\": true}, \"id\": ID}",
        "{\"return\": \"of a command that was given up\", \"id\": 1}\n\n{\"return\": 7, \"id\": ID}\n{\"event\": \"SHUTDOWN\"}",
    ]);
    let mut qmp = qmp.unwrap();
    let status = qmp.execute("query-status", json!({}), LONG).unwrap();
    assert_eq!(status, json!({"running": true}));
    assert_eq!(qmp.execute("other", json!({"a": 1}), LONG).unwrap(), json!(7));
    let names: Vec<Event> = std::iter::from_fn(|| qmp.event(LONG).ok().flatten()).collect();
    assert_eq!(names.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["STOP", "RESUME", "SHUTDOWN"]);
    assert_eq!(names[1].data, json!({"n": 2}));
    let asked = thread.join().unwrap();
    assert_eq!(asked[0]["execute"], "qmp_capabilities");
    assert_eq!(asked[2]["execute"], "other");
    assert_eq!(asked[2]["arguments"], json!({"a": 1}));
}

#[test]
fn refusals_carry_qemus_words() {
    let (qmp, _thread) = monitor(&[
        r#"{"error": {"class": "CommandNotFound", "desc": "The command frob has not been found"}, "id": ID}"#,
        r#"{"error": {"class": "GenericError", "desc": "JSON parse error"}}"#,
    ]);
    let mut qmp = qmp.unwrap();
    let error = qmp.execute("frob", json!({}), LONG).unwrap_err().to_string();
    assert_eq!(error, "`frob` is refused: The command frob has not been found (CommandNotFound)");
    // Without an id, because QEMU did not get so far.
    let error = qmp.execute("x", json!({}), LONG).unwrap_err().to_string();
    assert!(error.contains("JSON parse error"), "{error}");
}

#[test]
fn silence_nonsense_and_an_end_are_told_apart() {
    let (socket, mut peer) = pair();
    writeln!(peer, "{{\"hello\": 1}}").unwrap();
    assert!(matches!(Qmp::greet(socket, LONG), Err(QmpError::Unexpected { expected: "a greeting", .. })));

    let (qmp, _thread) = monitor(&["not JSON"]);
    let error = qmp.unwrap().execute("x", json!({}), LONG).unwrap_err().to_string();
    assert_eq!(error, r#"expected a JSON object, not "not JSON""#);

    let (socket, _peer) = pair();
    assert!(matches!(Qmp::greet(socket, SHORT), Err(QmpError::Late { .. })));

    let (qmp, thread) = monitor(&[]);
    thread.join().unwrap();
    let error = qmp.unwrap().execute("quit", json!({}), LONG).unwrap_err();
    assert!(matches!(error, QmpError::Socket(SocketError::Closed)), "{error:?}");
}
