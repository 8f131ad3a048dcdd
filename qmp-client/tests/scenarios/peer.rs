//! The server's side of a scenario.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::PATIENCE;

pub const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;
pub const EVENT: &str =
    r#"{"timestamp": {"seconds": 1267020223, "microseconds": 435656}, "event": "STOP"}"#;

/// A server that follows a script.
pub struct Peer {
    stream: BufReader<UnixStream>,
    /// Whether the client has closed the connection: then nothing more is sent.
    gone: bool,
}

impl Peer {
    pub fn play(stream: UnixStream, script: impl FnOnce(&mut Self)) {
        // A huge reply takes a client long on a busy machine.
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Self { stream: BufReader::new(stream), gone: false };
        script(&mut peer);
        // The connection ends with the client's side, unless the script has ended it.
        let _ = peer.stream.read_to_end(&mut Vec::new());
    }

    /// Sends bytes unchanged.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.gone = self.gone || self.stream.get_mut().write_all(bytes).is_err();
    }

    /// Sends a line.
    pub fn send(&mut self, text: &str) {
        self.send_bytes(format!("{text}\r\n").as_bytes());
    }

    /// Closes the sending side. Commands of the client can still be read.
    pub fn hang_up(&mut self) {
        let _ = self.stream.get_mut().shutdown(std::net::Shutdown::Write);
    }

    /// Reads the next command; null if the client has closed the connection.
    pub fn command(&mut self) -> Value {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(length) if length > 0 => serde_json::from_str(&line).unwrap(),
            _ => Value::Null,
        }
    }

    /// Reads the next command, which must be this one, and returns its id.
    pub fn expect(&mut self, name: &str) -> Value {
        let command = self.command();
        assert_eq!(command["execute"], name, "{command}");
        command["id"].clone()
    }

    /// Greets and negotiates as QEMU does.
    pub fn greet(&mut self) {
        self.send(GREETING);
        let id = self.expect("qmp_capabilities");
        self.succeed(&id, json!({}));
    }

    pub fn succeed(&mut self, id: &Value, value: Value) {
        // In the order of members and with the spaces that QEMU writes.
        self.send(&format!("{{\"return\": {value}, \"id\": {id}}}"));
    }

    /// Replies that the machine is running.
    pub fn running(&mut self, id: &Value) {
        self.succeed(id, json!({"status": "running", "running": true}));
    }

    /// Answers the next `query-status`.
    pub fn status(&mut self) {
        let id = self.expect("query-status");
        self.running(&id);
    }
}
