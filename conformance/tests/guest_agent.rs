//! The guest agent's queries, asked of an agent that runs on the host.

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
    Outcome, PATIENCE, Scratch, Tally, Visit, beside_qemus, check, for_each_qga_query,
};
use qmp_client::types::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Commands that are not executed, since this agent's guest is the host that runs the tests.
const SKIPPED: [(&str, &str); 9] = [
    ("guest-shutdown", "ends the host"),
    ("guest-suspend-disk", "suspends the host"),
    ("guest-suspend-ram", "suspends the host"),
    ("guest-suspend-hybrid", "suspends the host"),
    ("guest-set-time", "sets the host's clock"),
    ("guest-fsfreeze-freeze", "stops everything that writes"),
    ("guest-fsfreeze-freeze-list", "stops everything that writes"),
    ("guest-fsfreeze-thaw", "might thaw what somebody else froze"),
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
            tally.refused().for_each(|(_, why)| println!("{server}: {why}"));
            assert!(tally.count(Outcome::Decoded) >= 8, "{}", tally.line(&server));
            (server, tally)
        }).collect();
        support::conclude(&tallies);
    }
}

/// Whether a command only asks, going by its name: what is new is not tried out on the host.
fn is_query(name: &str) -> bool {
    name.contains("-get-") || ["guest-fsfreeze-status", "guest-info", "guest-ping"].contains(&name)
}

/// An agent that ends when this is dropped.
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

    /// One request, one line: nobody else talks to this agent, so that nothing has to be
    /// synchronised. Gives what was returned, or the error.
    fn exchange(&mut self, command: &str) -> Result<Value, Value> {
        let request = json!({"execute": command});
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        if self.stream.read_line(&mut line).unwrap_or(0) == 0 {
            // As 11.1 does at `guest-network-get-route` where there is no /proc.
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
    let deadline = Instant::now() + PATIENCE;
    let stream = loop {
        if let Ok(stream) = UnixStream::connect(&socket) {
            break stream;
        }
        let ended = process.try_wait().unwrap();
        assert!(ended.is_none() && Instant::now() < deadline, "no agent: {ended:?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
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
        assert!(is_query(C::NAME), "{} is new: is it harmless?", C::NAME);
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
                let why = format!("`{}`: {}", C::NAME, error["desc"]);
                self.tally.refusals.insert(C::NAME.to_owned(), why);
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
