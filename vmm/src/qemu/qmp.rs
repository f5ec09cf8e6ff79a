//! QEMU's machine protocol (QMP): one JSON object a line, with events between the replies.
//!
//! A client of our own: what is used of it are nine commands, and the crates for it bring a generated type for each of the
//! several hundred commands of one version of QEMU.

use super::socket::{Received, Socket, SocketError, deadline};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU understood and refused.
    #[error("`{command}` is refused: {description} ({class})")]
    Refused {
        /// The command.
        command: String,
        /// The class of error.
        class: String,
        /// QEMU's own words.
        description: String,
    },
    /// That is not the protocol.
    #[error("expected {expected}, not {line:?}")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
        /// What came, at most its first 200 characters.
        line: String,
    },
    /// No answer in time.
    #[error("no answer to `{command}` in {} s", limit.as_secs_f64())]
    Late {
        /// The command.
        command: String,
        /// The bound.
        limit: Duration,
    },
    /// The socket failed, or QEMU is gone.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// Something that QEMU said unasked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    /// Its name, like `SHUTDOWN`.
    pub name: String,
    /// What belongs to it.
    pub data: Value,
}

/// A monitor that is ready for commands.
#[derive(Debug)]
pub(super) struct Qmp {
    socket: Socket,
    events: VecDeque<Event>,
    serial: u64,
}

impl Qmp {
    /// Reads the greeting and leaves the negotiation.
    ///
    /// # Errors
    /// When the other side is not a monitor, or does not answer within `timeout`.
    pub(super) fn greet(socket: Socket, timeout: Duration) -> Result<Self, QmpError> {
        let mut qmp = Self { socket, events: VecDeque::new(), serial: 0 };
        let greeting = qmp.object("the greeting", deadline(timeout), timeout)?;
        if greeting.get("QMP").is_none() {
            return Err(unexpected("a greeting", &greeting.to_string()));
        }
        qmp.execute("qmp_capabilities", json!({}), timeout)?;
        Ok(qmp)
    }

    /// One command and its result. Events that come before the reply are kept.
    ///
    /// # Errors
    /// When it is refused, or there is no answer within `timeout`.
    pub(super) fn execute(&mut self, command: &str, arguments: Value, timeout: Duration) -> Result<Value, QmpError> {
        let deadline = deadline(timeout);
        self.serial += 1;
        let id = self.serial;
        let mut line = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        line.push('\n');
        self.socket.send(line.as_bytes(), timeout)?;
        loop {
            let mut reply = self.object(command, deadline, timeout)?;
            if self.keep_event(&mut reply) {
                continue;
            }
            // The late answer to a command that was given up: not ours. An error that answers no command in particular is.
            if reply.get("id").is_some_and(|theirs| theirs != id) {
                continue;
            }
            if let Some(result) = reply.get_mut("return") {
                return Ok(result.take());
            }
            let Some(error) = reply.get("error") else { return Err(unexpected("a reply", &reply.to_string())) };
            let text = |key| error.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
            return Err(QmpError::Refused { command: command.to_owned(), class: text("class"), description: text("desc") });
        }
    }

    /// The oldest event that nobody has asked for yet; waits for one for at most `timeout`.
    ///
    /// # Errors
    /// When the other side is gone or no monitor.
    pub(super) fn event(&mut self, timeout: Duration) -> Result<Option<Event>, QmpError> {
        let until = deadline(timeout);
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match self.object("an event", until, timeout) {
                Ok(mut object) => _ = self.keep_event(&mut object),
                Err(QmpError::Late { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Files an event away; false when it is something else.
    fn keep_event(&mut self, object: &mut Value) -> bool {
        let Some(name) = object.get("event").and_then(Value::as_str).map(str::to_owned) else { return false };
        let data = object.get_mut("data").map(Value::take).unwrap_or_default();
        self.events.push_back(Event { name, data });
        true
    }

    /// The next JSON object.
    fn object(&mut self, waiting_for: &str, deadline: Instant, limit: Duration) -> Result<Value, QmpError> {
        loop {
            match self.socket.line(deadline.saturating_duration_since(Instant::now()))? {
                Received::Line(line) if line.trim().is_empty() => {}
                Received::Line(line) => {
                    let object = serde_json::from_str::<Value>(&line).ok().filter(Value::is_object);
                    return object.ok_or_else(|| unexpected("a JSON object", &line));
                }
                Received::Timeout => return Err(QmpError::Late { command: waiting_for.to_owned(), limit }),
                Received::Closed { .. } => return Err(SocketError::Closed.into()),
            }
        }
    }
}

/// That is not the protocol, in the length that a message can bear.
fn unexpected(expected: &'static str, line: &str) -> QmpError {
    QmpError::Unexpected { expected, line: line.chars().take(200).collect() }
}
