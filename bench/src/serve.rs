//! A minimal server with one thread per connection. It answers every command immediately, and
//! `system_wakeup` after sending many events. Only some commands return anything.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use qmp_client::qmp::INTROSPECTION;

use crate::Anything;

pub const GREETING: &[u8] = b"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";
pub const EVENT: &[u8] = b"{\"timestamp\": {\"seconds\": 1267020223, \"microseconds\": 435656}, \"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"type\": \"mirror\", \"device\": \"drive0\", \"len\": 10737418240, \"offset\": 10737418240, \"speed\": 0}}\r\n";

/// Returns when a process listens on the socket `path`: a moment after it exists.
pub fn wait_for(path: &str) {
    while UnixStream::connect(path).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Serves connections to the socket `path`. `system_wakeup` sends `events` events, rounded down to
/// hundreds.
pub fn serve(path: &str, events: usize) -> Anything {
    let listener = UnixListener::bind(path)?;
    for stream in listener.incoming() {
        let stream = stream?;
        let thread = std::thread::Builder::new().stack_size(64 * 1024);
        thread.spawn(move || answer(&stream, events))?;
    }
    Ok(())
}

/// Serves a client until it disconnects.
pub fn answer(mut stream: &UnixStream, events: usize) -> Option<()> {
    stream.write_all(GREETING).ok()?;
    let mut lines = BufReader::with_capacity(4096, stream);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let value = if line.contains("query-status") {
            "{\"status\": \"running\", \"running\": true}"
        } else if line.contains("query-qmp-schema") {
            INTROSPECTION
        } else {
            "{}"
        };
        if line.contains("system_wakeup") {
            for _ in 0..events / 100 {
                stream.write_all(&EVENT.repeat(100)).ok()?;
            }
        }
        stream.write_all(reply(&line, value).as_bytes()).ok()?;
    }
}

/// Returns the reply to a command that returns `value`.
pub fn reply(command: &str, value: &str) -> String {
    // Not a parser, but sufficient for the commands of these clients.
    let id = command.split_once("\"id\":").map(|(_, id)| id.trim_matches(['}', '\n', ' ', '\r']));
    let id = id.map(|id| id.split(',').next().unwrap_or(id));
    let id = id.map(|id| format!(", \"id\": {id}")).unwrap_or_default();
    format!("{{\"return\": {value}{id}}}\r\n")
}
