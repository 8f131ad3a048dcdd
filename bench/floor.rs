//! A small program that asks for a machine's status once, written by hand: `bench/compile` measures how large
//! it is.
//!
//! It tells the awaited reply from events and late replies, checks UTF-8 and JSON, limits the time of a reply
//! and the size of a message, and reports the server's errors. What the clients do besides is left out: it
//! does not limit the time to find a name and to connect, it gives up at the first line that is not a whole
//! message, it needs a server that returns ids, and all of its errors are texts.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

/// The largest message, in bytes.
const LARGEST: usize = 64 << 20;
const WITHIN: Duration = Duration::from_secs(60);

pub struct Client {
    socket: std::fs::File,
    /// The bytes that have arrived; `start` of them have been taken.
    buffer: Vec<u8>,
    start: usize,
    deadline: Instant,
    next_id: u64,
}

impl Client {
    pub fn connect(address: &str) -> Result<Self, Box<dyn Error>> {
        let deadline = Instant::now() + WITHIN;
        let socket: OwnedFd = match address.rsplit_once(':') {
            Some((host, port)) if !address.contains('/') => {
                TcpStream::connect((host, port.parse::<u16>()?))?.into()
            }
            _ => UnixStream::connect(address.strip_prefix("unix:").unwrap_or(address))?.into(),
        };
        // An earlier client's replies may still arrive: they have other ids.
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let next_id = u64::from(unix.subsec_nanos()) << 20;
        let mut client =
            Self { socket: socket.into(), buffer: Vec::new(), start: 0, deadline, next_id };
        let greeting = client.message()?;
        if greeting.get("QMP").is_none() {
            return Err(format!("not a QMP server: {greeting}").into());
        }
        client.execute("qmp_capabilities", "{}")?;
        Ok(client)
    }

    /// Executes a command with arguments in JSON, and returns what it returns.
    pub fn execute(&mut self, command: &str, arguments: &str) -> Result<Value, Box<dyn Error>> {
        self.next_id += 1;
        self.deadline = Instant::now() + WITHIN;
        let id = self.next_id;
        let text = format!("{{\"execute\":\"{command}\",\"arguments\":{arguments},\"id\":{id}}}\n");
        self.socket.write_all(text.as_bytes())?;
        loop {
            let mut reply = self.message()?;
            // Events have no id, and late replies have another one.
            if reply.get("id").and_then(Value::as_u64) != Some(self.next_id) {
                continue;
            }
            if let Some(error) = reply.get("error") {
                let member = |name| error.get(name).and_then(Value::as_str).unwrap_or("unknown");
                let (class, reason) = (member("class"), member("desc"));
                return Err(format!("`{command}` failed: {reason} ({class})").into());
            }
            let value = reply.get_mut("return").ok_or("a reply without a value")?;
            return Ok(value.take());
        }
    }

    /// Returns the next message.
    fn message(&mut self) -> Result<Value, Box<dyn Error>> {
        let mut scanned = self.start;
        loop {
            if let Some(length) = self.buffer[scanned..].iter().position(|byte| *byte == b'\n') {
                let line = &self.buffer[self.start..scanned + length];
                self.start = scanned + length + 1;
                return Ok(serde_json::from_str(std::str::from_utf8(line)?)?);
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            scanned = self.buffer.len();
            if scanned > LARGEST {
                return Err("the message is too large".into());
            }
            self.read()?;
        }
    }

    /// Reads what has arrived, and waits for that until the deadline.
    fn read(&mut self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let socket = self.socket.as_fd();
        if poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&timeout))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut chunk = [0; 4096];
        match self.socket.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.buffer.extend_from_slice(&chunk[..length]);
                Ok(())
            }
        }
    }
}

struct Status {
    running: bool,
    status: String,
}

impl Status {
    fn new(value: &Value) -> Result<Self, &'static str> {
        Ok(Self {
            running: value["running"].as_bool().ok_or("`running` is not a boolean")?,
            status: value["status"].as_str().ok_or("`status` is not a string")?.to_owned(),
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut vm = Client::connect(&std::env::args().nth(1).unwrap_or_default())?;
    let Status { running, status } = Status::new(&vm.execute("query-status", "{}")?)?;
    println!("{status}{}", if running { ", running" } else { "" });
    Ok(())
}
