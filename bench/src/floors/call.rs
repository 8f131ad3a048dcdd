//! The lower bound of a call on tokio that answers for what a client promises: it has an id and a
//! deadline, its reply is valid, belongs to it, and has the type that was asked for.
//!
//! One task calls, and another one reads, as in a client that receives events at any time.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use qmp_types::qmp::types::StatusInfo;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::{BUFFER, NEGOTIATION};
use crate::Anything;
use crate::jobs::Task;
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

/// Passes on the reply that is all that has arrived, if it is valid, in time, and that of a call.
fn answer(calls: &Calls, line: &[u8]) -> Option<()> {
    let line = line.trim_ascii_end().strip_prefix(RETURN)?.strip_suffix(b"}")?;
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (value, id) = line.split_at(line.len() - digits);
    let value = value.strip_suffix(b", \"id\": ")?;
    let id = id.iter().fold(0, |id, digit| id * 10 + u64::from(digit - b'0'));
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
