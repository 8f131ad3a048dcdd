//! Executes the guest agent's queries on an agent that runs on the host.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};

use conformance::{
    Outcome, Scratch, TIMEOUT, Tally, Visit, beside_qemus, check, for_each_qga_query,
};
use qmp_client::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Commands that are not executed, because the agent runs on the host of the tests, and the reasons.
const SKIPPED: [(&str, &str); 9] = [
    ("guest-shutdown", "ends the host"),
    ("guest-suspend-disk", "suspends the host"),
    ("guest-suspend-ram", "suspends the host"),
    ("guest-suspend-hybrid", "suspends the host"),
    ("guest-set-time", "sets the host's clock"),
    ("guest-fsfreeze-freeze", "blocks all writes"),
    ("guest-fsfreeze-freeze-list", "blocks all writes"),
    ("guest-fsfreeze-thaw", "might thaw file systems that another program has frozen"),
    ("guest-fstrim", "discards blocks of the host's disks"),
];

needs! { guest_agent,
    fn every_reply_is_decoded_without_loss() {
        let agents = beside_qemus("qemu-ga");
        let tallies: Vec<_> = agents.iter().map(|program| {
            let scratch = Scratch::new();
            let mut agent = Agent::start(program, &scratch);
            let info = agent.exchange("guest-info").unwrap();
            let server = format!("guest agent {}", info["version"].as_str().unwrap_or("?"));
            for_each_qga_query(&mut agent);
            let tally = std::mem::take(&mut agent.tally);
            tally.refused().for_each(|(_, error)| println!("{server}: {error}"));
            assert!(tally.count(Outcome::Decoded) >= 8, "{}", tally.line(&server));
            (server, tally)
        }).collect();
        support::conclude(&tallies);
    }
}

/// An agent process that is killed on drop.
struct Agent<'a> {
    program: &'a Path,
    scratch: &'a Scratch,
    process: Child,
    stream: BufReader<UnixStream>,
    tally: Tally,
}

impl<'a> Agent<'a> {
    fn start(program: &'a Path, scratch: &'a Scratch) -> Self {
        let (process, stream) = start(program, scratch);
        Self { program, scratch, process, stream, tally: Tally::default() }
    }

    /// Executes a command, and returns its return value or the error. The connection needs no
    /// synchronization, because the agent has no other client.
    fn exchange(&mut self, command: &str) -> Result<Value, Value> {
        let request = json!({"execute": command});
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        if self.stream.read_line(&mut line).unwrap_or(0) == 0 {
            // Version 11.1 ends on `guest-network-get-route` if /proc does not exist.
            let status = self.process.wait().unwrap();
            (self.process, self.stream) = start(self.program, self.scratch);
            return Err(json!({"class": "", "desc": format!("the agent ended: {status}")}));
        }
        let mut reply: Value = serde_json::from_str(&line).unwrap();
        match reply.get_mut("return") {
            Some(value) => Ok(value.take()),
            None => Err(reply["error"].take()),
        }
    }
}

fn start(program: &Path, scratch: &Scratch) -> (Child, BufReader<UnixStream>) {
    let socket = scratch.file("agent");
    let _ = std::fs::remove_file(&socket);
    let mut process = Program::new(program)
        .args(["-m", "unix-listen", "-p", &socket, "-t"])
        .arg(scratch.path())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + TIMEOUT;
    let stream = loop {
        if let Ok(stream) = UnixStream::connect(&socket) {
            break stream;
        }
        let ended = process.try_wait().unwrap();
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "the agent does not accept connections: {ended:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    };
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    (process, BufReader::new(stream))
}

impl Visit for Agent<'_> {
    fn command<C>(&mut self, _: C)
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize,
    {
        if SKIPPED.iter().any(|(skipped, _)| *skipped == C::NAME) {
            return;
        }
        assert!(C::READ_ONLY, "`{}` is new, and has an effect: add it to `SKIPPED`", C::NAME);
        let outcome = match self.exchange(C::NAME) {
            Ok(value) => match check::<C::Return>(&value.to_string()) {
                Ok(_) => Outcome::Decoded,
                Err(lost) => {
                    self.tally.failures.push(format!("{}: {lost}", C::NAME));
                    Outcome::Refused
                }
            },
            Err(error) if error["class"] == "CommandNotFound" => Outcome::Unknown,
            Err(error) => {
                let error = format!("`{}`: {}", C::NAME, error["desc"]);
                self.tally.refusals.insert(C::NAME.to_owned(), error);
                Outcome::Refused
            }
        };
        self.tally.command(C::NAME, outcome);
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
