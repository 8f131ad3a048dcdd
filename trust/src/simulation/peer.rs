//! The peer: a server that obeys the protocol, at any pace and with any delay.
//!
//! | command | effect |
//! | --- | --- |
//! | `echo` (also out-of-band), `open`, `close` | returns its number |
//! | `refuse` | fails with its number |
//! | `poke` | returns its number, and emits `POKED`, before or after the reply |

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::time::now;
use super::wire::{Moment, Piece, Wire};
use crate::random::Random;

/// The number of in-band commands that a client has in flight at most.
pub(crate) const IN_FLIGHT: usize = 8;

pub(crate) const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;

/// A command that has been read.
#[derive(Debug)]
struct Command {
    name: String,
    number: u64,
    id: Value,
}

/// A command in the peer's log.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) name: String,
    pub(crate) number: u64,
    /// When its first byte was handed to the link.
    pub(crate) offered: Moment,
    /// Whether its reply has been sent.
    pub(crate) answered: bool,
}

#[derive(Debug)]
pub(crate) struct Peer {
    random: Random,
    line: Vec<u8>,
    /// The number of bytes that have been read.
    read: u64,
    queue: VecDeque<Command>,
    out_of_band: VecDeque<Command>,
    /// In-band commands are not answered before.
    stalled_until: Option<Instant>,
    pub(crate) log: Vec<Logged>,
    /// The number of the next event.
    pub(crate) next_event: u64,
    /// In how many of a thousand cases an answer is held back for a while.
    pub(crate) stalls: usize,
    /// Whether the client sends everything that is left, since nothing will be answered any more.
    pub(crate) is_left: bool,
    /// The first violation of the protocol by the client.
    pub(crate) complaint: Option<String>,
    /// Whether two replies have each other's id now and then: a fault that is planted.
    pub(crate) swaps: bool,
    /// Whether an event is lost now and then: a fault that is planted.
    pub(crate) forgets: bool,
}

impl Peer {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            random,
            line: Vec::new(),
            read: 0,
            queue: VecDeque::new(),
            out_of_band: VecDeque::new(),
            stalled_until: None,
            log: Vec::new(),
            next_event: 0,
            stalls: 0,
            is_left: false,
            complaint: None,
            swaps: false,
            forgets: false,
        }
    }

    pub(crate) fn greet(&mut self, wire: &mut Wire) {
        self.send(wire, GREETING.into(), true);
    }

    fn send(&mut self, wire: &mut Wire, message: String, whole: bool) {
        if !wire.peer_ended {
            let bytes = format!("{message}\r\n").into_bytes();
            wire.travelling.push_back(Piece { bytes, events: Vec::new(), whole });
        }
    }

    /// Emits the next event.
    pub(crate) fn emit(&mut self, wire: &mut Wire, name: &str) {
        if wire.peer_ended {
            return;
        }
        let seq = self.next_event;
        self.next_event += 1;
        if self.forgets && self.random.chance(200) {
            return;
        }
        self.send(wire, json!({"event": name, "data": {"seq": seq}}).to_string(), false);
        if let Some(piece) = wire.travelling.back_mut() {
            piece.events.push(seq);
        }
    }

    /// Reads a part of what the client has sent.
    pub(crate) fn read(&mut self, wire: &mut Wire) {
        let count = match wire.negotiated && self.random.chance(300) {
            true => 1 + self.random.below(wire.outgoing.len()),
            false => wire.outgoing.len(),
        };
        for byte in wire.outgoing.drain(..count).collect::<Vec<_>>() {
            self.read += 1;
            self.line.push(byte);
            if byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.receive(wire, &line);
            }
        }
    }

    fn receive(&mut self, wire: &mut Wire, line: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            let text = String::from_utf8_lossy(line).into_owned();
            self.complaint.get_or_insert(format!("the client sent {text:?}"));
            return;
        };
        let id = message["id"].clone();
        if !wire.negotiated {
            wire.negotiated = true;
            return self.send(wire, json!({"return": {}, "id": id}).to_string(), true);
        }
        let out_of_band = message["exec-oob"].as_str();
        let name = out_of_band.or(message["execute"].as_str()).unwrap_or_default().to_owned();
        let number = message["arguments"]["n"].as_u64().unwrap_or(u64::MAX);
        let offered = wire.offered_at(self.read - line.len() as u64).unwrap_or_default();
        let again = |logged: &Logged| logged.number == number && logged.name == name;
        if self.log.iter().any(again) {
            self.complaint.get_or_insert(format!("{name} {number} was sent twice"));
        }
        self.log.push(Logged { name: name.clone(), number, offered, answered: false });
        let queue = match out_of_band {
            Some(_) => &mut self.out_of_band,
            None => &mut self.queue,
        };
        queue.push_back(Command { name, number, id });
        if self.queue.len() > IN_FLIGHT && !self.is_left {
            self.complaint.get_or_insert("more than eight commands are in flight".into());
        }
    }

    /// Returns whether there is something to answer now.
    pub(crate) fn has_work(&self) -> bool {
        let stalled = self.stalled_until.is_some_and(|until| now() < until);
        !self.out_of_band.is_empty() || (!self.queue.is_empty() && !stalled)
    }

    /// Returns when the peer goes on, if it has stopped answering for a while.
    pub(crate) fn resumes(&self) -> Option<Instant> {
        self.stalled_until.filter(|until| !self.queue.is_empty() && now() < *until)
    }

    /// Answers the next command.
    pub(crate) fn answer(&mut self, wire: &mut Wire) {
        let stalled = self.stalled_until.is_some_and(|until| now() < until);
        let prefers_other = self.random.chance(500);
        let in_band = !stalled && !self.queue.is_empty();
        if in_band && self.stalls > 0 && self.random.chance(self.stalls) {
            let seconds = 1 + self.random.below(40) as u64;
            self.stalled_until = Some(now() + Duration::from_secs(seconds));
            return;
        }
        let queue = match in_band && (prefers_other || self.out_of_band.is_empty()) {
            true => &mut self.queue,
            false => &mut self.out_of_band,
        };
        let Some(mut command) = queue.pop_front() else { return };
        if self.swaps {
            if let Some(other) = queue.front_mut() {
                std::mem::swap(&mut command.id, &mut other.id);
            }
        }
        let early = self.random.chance(500);
        let pokes = command.name == "poke";
        if pokes && early {
            self.emit(wire, "POKED");
        }
        let Command { name, number, id } = command;
        let reply = match &*name {
            "refuse" => {
                let desc = format!("refused {number}");
                json!({"id": id, "error": {"class": "GenericError", "desc": desc}})
            }
            _ => json!({"return": {"n": number}, "id": id}),
        };
        self.send(wire, reply.to_string(), false);
        let answered = self.log.iter_mut().find(|one| one.number == number && one.name == name);
        if let Some(logged) = answered {
            logged.answered = true;
        }
        if pokes && !early {
            self.emit(wire, "POKED");
        }
    }

    /// Closes the connection.
    pub(crate) fn hang_up(&mut self, wire: &mut Wire) {
        wire.peer_ended = true;
        wire.peer_deaf = true;
        wire.outgoing.clear();
        self.queue.clear();
        self.out_of_band.clear();
    }

    /// Returns how often a command was received, and answered.
    pub(crate) fn count(&self, name: &str, number: u64) -> (usize, usize) {
        let logged = self.log.iter().filter(|one| one.name == name && one.number == number);
        let (mut received, mut answered) = (0, 0);
        for one in logged {
            received += 1;
            answered += usize::from(one.answered);
        }
        (received, answered)
    }
}
