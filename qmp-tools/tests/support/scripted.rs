//! A machine whose every word is written by the test.

#![allow(dead_code, unreachable_pub)] // no test file uses everything

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use super::support::Directory;

/// A monitor that answers what programs ask by themselves, and leaves the rest to the test.
pub struct Scripted {
    pub path: String,
    stream: Receiver<UnixStream>,
    connected: Option<UnixStream>,
    commands: Receiver<Value>,
    _directory: Directory,
}

impl Scripted {
    /// Listens; `answer` gives the replies that need no test, without their end: `{"return": 1`.
    pub fn listen(answer: fn(&str) -> Option<&'static str>) -> Self {
        let directory = Directory::new();
        let path = directory.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let (streams, stream) = channel();
        let (sender, commands) = channel();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            streams.send(stream.try_clone().unwrap()).unwrap();
            serve(stream, answer, &sender);
        });
        Self { path, stream, connected: None, commands, _directory: directory }
    }

    fn connected(&mut self) -> &UnixStream {
        if self.connected.is_none() {
            self.connected = Some(self.stream.recv_timeout(Duration::from_secs(30)).unwrap());
        }
        self.connected.as_ref().unwrap()
    }

    /// Returns the connection, to be written to from elsewhere.
    pub fn stream(&mut self) -> UnixStream {
        self.connected().try_clone().unwrap()
    }

    /// Sends a line, in one piece: a reply is sent at the same time.
    pub fn say(&mut self, line: &str) {
        self.connected().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub fn event(&mut self, name: &str) {
        self.say(&format!(
            r#"{{"timestamp": {{"seconds": 1, "microseconds": 2}}, "event": "{name}"}}"#
        ));
    }

    /// Waits for the next command that has no answer yet.
    pub fn command(&mut self) -> Value {
        self.commands.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    /// Answers a command.
    pub fn reply(&mut self, command: &Value, value: &str) {
        let id = &command["id"];
        self.say(&format!(r#"{{"return": {value}, "id": {id}}}"#));
    }

    /// Ends the connection.
    pub fn hang_up(&mut self) {
        self.connected().shutdown(std::net::Shutdown::Both).unwrap();
    }
}

fn serve(stream: UnixStream, answer: fn(&str) -> Option<&'static str>, unanswered: &Sender<Value>) {
    let mut output = stream.try_clone().unwrap();
    let version = r#"{"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": ""}"#;
    writeln!(output, r#"{{"QMP": {{"version": {version}, "capabilities": ["oob"]}}}}"#).unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).unwrap();
        let name = command["execute"].as_str().or(command["exec-oob"].as_str()).unwrap_or_default();
        let id = &command["id"];
        match answer(name) {
            Some(reply) => {
                let _ = output.write_all(format!("{reply}, \"id\": {id}}}\n").as_bytes());
            }
            None => drop(unanswered.send(command)),
        }
    }
}

/// Answers what the shell asks in the background, as a machine without anything.
pub fn nothing(command: &str) -> Option<&'static str> {
    match command {
        "qmp_capabilities" => Some(r#"{"return": {}"#),
        "query-commands" => Some(
            r#"{"return": [{"name": "stop"}, {"name": "query-status"}, {"name": "query-name"}]"#,
        ),
        "query-name" | "query-uuid" | "query-qmp-schema" => {
            Some(r#"{"error": {"class": "CommandNotFound", "desc": "not here"}"#)
        }
        _ => None,
    }
}
