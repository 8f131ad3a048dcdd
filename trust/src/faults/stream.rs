//! The server and the way to it, in memory: no sockets, no threads, no time.
//!
//! ```text
//! client ── write ──> line ──> answer ──> output ──(fault)──> read ──> client
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fault::Fault;
use super::session::Session;

/// A command that the server has received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) id: Value,
    /// The positions of its reply in the output: before the fault.
    pub(crate) reply: (u64, u64),
}

/// The result of a read.
#[derive(Debug)]
pub(crate) enum Read {
    /// This number of bytes.
    Some(usize),
    /// Nothing before the client writes.
    Nothing,
    /// Nothing now.
    NotNow,
    Ended,
    Reset,
}

/// The result of a write.
#[derive(Debug)]
pub(crate) enum Write {
    Some(usize),
    NotNow,
    Broken,
}

/// A server that answers as one did when it was recorded, with a fault.
#[derive(Debug)]
pub(crate) struct Stream {
    session: Arc<Session>,
    fault: Option<(Fault, u64)>,
    line: Vec<u8>,
    /// The commands of the session that have been received, in order.
    pub(crate) received: Vec<Received>,
    /// The bytes that are to be sent, before the fault.
    output: VecDeque<u8>,
    /// The number of bytes that have been sent, before the fault.
    position: u64,
    /// The number of bytes that have been received.
    written: u64,
    /// The bytes that were sent, after the fault.
    pub(crate) sent: Vec<u8>,
    /// Whether the fault has been injected.
    pub(crate) struck: bool,
    /// The line that is being sent, for the fault that repeats it.
    current: Vec<u8>,
    /// Whether everything is held back until the next command.
    holding: bool,
    /// The bytes that the fault has added, to be sent first.
    extra: VecDeque<u8>,
}

impl Stream {
    pub(crate) fn new(session: &Arc<Session>, fault: Option<(Fault, u64)>) -> Self {
        let mut stream = Self {
            session: Arc::clone(session),
            fault,
            line: Vec::new(),
            received: Vec::new(),
            output: VecDeque::new(),
            position: 0,
            written: 0,
            sent: Vec::new(),
            struck: false,
            current: Vec::new(),
            holding: false,
            extra: VecDeque::new(),
        };
        if let Some(greeting) = &session.greeting {
            stream.send(&greeting.clone());
        }
        stream
    }

    /// Returns the number of bytes that were sent and received in all.
    pub(crate) fn lengths(&self) -> (u64, u64) {
        (self.position, self.written)
    }

    fn send(&mut self, message: &str) {
        self.output.extend(message.bytes());
        let end: &[u8] = if self.session.is_agent { b"\n" } else { b"\r\n" };
        self.output.extend(end);
    }

    fn strikes(&self, fault: Fault, position: u64) -> bool {
        self.fault == Some((fault, position)) && !self.struck
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Write {
        let (mut count, mut broken) = (bytes.len(), false);
        if let Some((fault, at)) = self.fault {
            let left = at.saturating_sub(self.written) as usize;
            if fault.is_for_writes() && !self.struck && left < count {
                self.struck = true;
                if left == 0 && fault == Fault::ShortWrite {
                    return Write::NotNow;
                }
                count = left;
                broken = fault == Fault::Refuse;
            } else if fault == Fault::Refuse && self.struck {
                return Write::Broken;
            }
        }
        if broken && count == 0 {
            return Write::Broken;
        }
        self.written += count as u64;
        for byte in &bytes[..count] {
            self.line.push(*byte);
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.receive(&line);
            }
        }
        Write::Some(count)
    }

    fn receive(&mut self, line: &[u8]) {
        self.holding = false;
        // An agent's client ends whatever the agent was reading.
        let start = line.iter().take_while(|byte| **byte == 0xFF).count();
        let Ok(command) = serde_json::from_slice::<Value>(&line[start..]) else { return };
        let name = command["execute"].as_str().unwrap_or_default();
        let id = command["id"].clone();
        let echoed = Some(&id).filter(|id| !id.is_null());
        match name {
            "qmp_capabilities" => self.send(&json!({"return": {}, "id": id}).to_string()),
            "guest-sync-delimited" | "guest-sync" => {
                if name == "guest-sync-delimited" {
                    self.output.push_back(0xFF);
                }
                let value = &command["arguments"]["id"];
                let reply = match echoed {
                    Some(id) => json!({"return": value, "id": id}),
                    None => json!({"return": value}),
                };
                self.send(&reply.to_string());
            }
            _ => {
                let session = Arc::clone(&self.session);
                let next = session.steps.get(self.received.len());
                let Some(step) = next.filter(|step| step.name == name) else {
                    // A client finds out whether ids are returned by a command that does not exist.
                    let desc = format!("The command {name} has not been found");
                    let error = json!({"class": "CommandNotFound", "desc": desc});
                    let reply = match echoed {
                        Some(id) => json!({"id": id, "error": error}),
                        None => json!({"error": error}),
                    };
                    return self.send(&reply.to_string());
                };
                step.events.iter().for_each(|event| self.send(event));
                let start = self.position + self.output.len() as u64;
                self.send(&step.reply.message(echoed));
                let end = self.position + self.output.len() as u64;
                self.received.push(Received { id, reply: (start, end) });
                if self.received.len() == session.steps.len() {
                    session.last_events.iter().for_each(|event| self.send(event));
                }
            }
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Read {
        let mut count = 0;
        while count < buffer.len() {
            if let Some(byte) = self.extra.pop_front() {
                count = self.put(buffer, count, byte);
                continue;
            }
            match self.strike(count) {
                Some(read) => return read,
                None if self.holding => break,
                None => {}
            }
            let Some(mut byte) = self.output.pop_front() else { break };
            let position = self.position;
            self.position += 1;
            if !self.struck {
                match self.fault {
                    Some((Fault::Flip(bit), at)) if at == position => {
                        self.struck = true;
                        byte ^= 1 << bit;
                    }
                    Some((Fault::Drop, at)) if at == position => {
                        self.struck = true;
                        continue;
                    }
                    Some((Fault::Double, at)) if at == position => {
                        self.struck = true;
                        self.extra.push_back(byte);
                    }
                    Some((Fault::Insert(other), at)) if at == position => {
                        self.struck = true;
                        self.extra.push_back(byte);
                        byte = other;
                    }
                    Some((Fault::DoubleLine, at)) if at < position + 1 && byte == b'\n' => {
                        self.struck = true;
                        self.extra.extend(self.current.iter().copied().chain([byte]));
                    }
                    _ => {}
                }
            }
            count = self.put(buffer, count, byte);
        }
        match (count, self.fault) {
            (0, Some((Fault::Refuse, _))) if self.struck => Read::Ended,
            (0, _) => Read::Nothing,
            (count, _) => Read::Some(count),
        }
    }

    fn put(&mut self, buffer: &mut [u8], count: usize, byte: u8) -> usize {
        buffer[count] = byte;
        self.sent.push(byte);
        match byte {
            b'\n' => self.current.clear(),
            _ => self.current.push(byte),
        }
        count + 1
    }

    /// Injects a fault that stops the output before its next byte. `count` bytes are to be read first.
    fn strike(&mut self, count: usize) -> Option<Read> {
        let (fault, at) = self.fault?;
        let is_there = at == self.position && !self.output.is_empty();
        match fault {
            Fault::Split | Fault::Delay if is_there && !self.struck => {
                self.struck = true;
                match (fault, count) {
                    (Fault::Split, 1..) => Some(Read::Some(count)),
                    (Fault::Delay, 0) => Some(Read::NotNow),
                    (Fault::Delay, _) => {
                        self.struck = false;
                        Some(Read::Some(count))
                    }
                    _ => None,
                }
            }
            Fault::Late if self.strikes(fault, self.position) && is_there => {
                (self.struck, self.holding) = (true, true);
                None
            }
            Fault::Stall | Fault::Cut | Fault::Reset if is_there => {
                self.struck = true;
                Some(match (fault, count) {
                    (_, 1..) => Read::Some(count),
                    (Fault::Stall, _) => Read::Nothing,
                    (Fault::Cut, _) => Read::Ended,
                    _ => Read::Reset,
                })
            }
            _ => None,
        }
    }
}
