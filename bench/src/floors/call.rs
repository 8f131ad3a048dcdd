//! The lower bounds of a call that answers for what a client promises: it has an id and a deadline, its
//! reply is valid, belongs to it, and has the type that was asked for.
//!
//! On tokio, one task calls, and another one reads, as in a client that receives events at any time. On
//! threads, one lock is held from the command to the reply.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use qmp_types::qmp::types::StatusInfo;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::{BUFFER, NEGOTIATION};
use crate::Anything;
use crate::entry::Task;
use crate::measure::Meter;

const RETURN: &[u8] = b"{\"return\": ";

/// A call that has not been answered.
struct Call {
    id: u64,
    deadline: Instant,
    sender: oneshot::Sender<Box<RawValue>>,
}

type Calls = Mutex<Vec<Call>>;

fn lock(calls: &Calls) -> MutexGuard<'_, Vec<Call>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the value of a reply that is all that has arrived, and its id.
fn parts(line: &[u8]) -> Option<(&[u8], u64)> {
    let line = line.trim_ascii_end().strip_prefix(RETURN)?.strip_suffix(b"}")?;
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (value, id) = line.split_at(line.len() - digits);
    let value = value.strip_suffix(b", \"id\": ")?;
    Some((value, id.iter().fold(0, |id, digit| id * 10 + u64::from(digit - b'0'))))
}

/// Passes on the reply that is all that has arrived, if it is valid, in time, and that of a call.
fn answer(calls: &Calls, line: &[u8]) -> Option<()> {
    let (value, id) = parts(line)?;
    let value: &RawValue = serde_json::from_slice(value).ok()?;
    let call = {
        let mut calls = lock(calls);
        let index = calls.iter().position(|call| call.id == id)?;
        calls.swap_remove(index)
    };
    (Instant::now() < call.deadline).then_some(())?;
    call.sender.send(value.to_owned()).ok()
}

#[tokio::main(flavor = "current_thread")]
pub async fn status(task: &Task<'_>) -> Anything<f64> {
    let (mut reader, mut writer) = tokio::net::UnixStream::connect(task.path).await?.into_split();
    let mut buffer = vec![0; BUFFER];
    reader.read(&mut buffer).await?;
    writer.write_all(NEGOTIATION).await?;
    reader.read(&mut buffer).await?;
    let calls = Arc::new(Calls::default());
    let answered = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            answer(&answered, &buffer[..length]);
        }
    });
    // The timer of the next deadline is always set.
    let timer = tokio::spawn(tokio::time::sleep(Duration::from_secs(3600)));
    tokio::task::yield_now().await;
    let count = task.count;
    let task = tokio::spawn(async move {
        let (mut command, mut id) = (Vec::new(), 0);
        let meter = Meter::start();
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel();
            let deadline = Instant::now() + Duration::from_secs(30);
            id += 1;
            command.clear();
            writeln!(command, "{{\"execute\":\"query-status\",\"id\":{id}}}")?;
            lock(&calls).push(Call { id, deadline, sender });
            writer.write_all(&command).await?;
            let value = receiver.await?;
            let status: StatusInfo = qmp_types::decode(value.get())?;
            assert!(status.running);
        }
        Anything::Ok(meter.each(count))
    });
    let each = task.await?;
    timer.abort();
    each
}

/// The least that callers of a blocking client share.
struct Shared {
    stream: UnixStream,
    buffer: Vec<u8>,
    command: Vec<u8>,
    id: u64,
}

impl Shared {
    /// Reads until the reply has arrived. The socket's own timeout ends a read that takes too long.
    fn receive(&mut self, deadline: Instant) -> Anything<StatusInfo> {
        let mut length = 0;
        loop {
            match self.stream.read(&mut self.buffer[length..]) {
                Ok(0) => return Err("the connection has ended".into()),
                Ok(count) => length += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= deadline {
                return Err("the deadline has passed".into());
            }
            let arrived = &self.buffer[..length];
            let line = arrived.strip_suffix(b"\n");
            if let Some((value, _)) = line.and_then(parts).filter(|(_, id)| *id == self.id) {
                // Decoding reads the value to its end, which shows that it is valid.
                return Ok(qmp_types::decode(std::str::from_utf8(value)?)?);
            }
        }
    }
}

/// Calls as a thread does that shares the connection with others.
pub fn blocking(task: &Task<'_>) -> Anything<f64> {
    let mut buffer = vec![0; BUFFER];
    let stream = super::connect(task, &mut buffer)?;
    let timeout = Duration::from_secs(30);
    stream.set_read_timeout(Some(timeout))?;
    let shared = Arc::new(Mutex::new(Shared { stream, buffer, command: Vec::new(), id: 0 }));
    let meter = Meter::start();
    for _ in 0..task.count {
        let deadline = Instant::now() + timeout;
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Shared { stream, command, id, .. } = &mut *shared;
        *id += 1;
        command.clear();
        writeln!(command, "{{\"execute\":\"query-status\",\"id\":{id}}}")?;
        stream.write_all(command)?;
        let status = shared.receive(deadline)?;
        assert!(status.running);
    }
    Ok(meter.each(task.count))
}
