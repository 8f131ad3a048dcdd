//! Programs that do the bare minimum: the lower bounds of clients.

pub mod call;
pub mod event;
pub mod schema;

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::Anything;
use crate::entry::Task;
use crate::measure::{Meter, resident};
use crate::serve::reply;

const BUFFER: usize = 64 * 1024;
const NEGOTIATION: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n";
const STATUS: &[u8] = b"{\"execute\":\"query-status\",\"id\":1}\n";

pub fn connect(task: &Task<'_>, buffer: &mut [u8]) -> Anything<UnixStream> {
    let mut stream = UnixStream::connect(task.path)?;
    stream.read(buffer)?;
    stream.write_all(NEGOTIATION)?;
    stream.read(buffer)?;
    Ok(stream)
}

/// Writes a command, and reads up to the next newline, without parsing JSON or checking anything.
pub fn raw_status(task: &Task<'_>) -> Anything<f64> {
    let mut buffer = vec![0; BUFFER];
    let mut stream = connect(task, &mut buffer)?;
    let meter = Meter::start();
    for _ in 0..task.count {
        stream.write_all(STATUS)?;
        stream.read(&mut buffer)?;
    }
    Ok(meter.each(task.count))
}

/// Writes eight commands, and reads up to the eighth newline.
pub fn raw_in_flight(task: &Task<'_>) -> Anything<f64> {
    let mut buffer = vec![0; BUFFER];
    let mut stream = connect(task, &mut buffer)?;
    let meter = Meter::start();
    for _ in 0..task.count / 8 {
        for _ in 0..8 {
            stream.write_all(STATUS)?;
        }
        read_lines(&mut stream, &mut buffer, 8)?;
    }
    Ok(meter.each(task.count))
}

/// Counts newlines.
pub fn raw_flood(task: &Task<'_>) -> Anything<f64> {
    let mut buffer = vec![0; BUFFER];
    let mut stream = connect(task, &mut buffer)?;
    let meter = Meter::start();
    stream.write_all(b"{\"execute\":\"system_wakeup\"}\n")?;
    read_lines(&mut stream, &mut buffer, task.count + 1)?;
    Ok(meter.each(task.count))
}

fn read_lines(stream: &mut UnixStream, buffer: &mut [u8], count: usize) -> Anything {
    let mut lines = 0;
    while lines < count {
        let length = stream.read(buffer)?;
        lines += buffer[..length].iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(())
}

/// Asks for the schema, and reads it.
pub fn ask_schema(stream: &mut UnixStream, buffer: &mut [u8]) -> Anything {
    stream.write_all(b"{\"execute\":\"query-qmp-schema\"}\n")?;
    read_lines(stream, buffer, 1)
}

/// Keeps sockets.
pub fn raw_idle(task: &Task<'_>) -> Anything<f64> {
    let mut buffer = vec![0; BUFFER];
    let before = resident();
    let streams =
        (0..task.count).map(|_| connect(task, &mut buffer)).collect::<Result<Vec<_>, _>>()?;
    let after = resident();
    drop(streams);
    Ok((after - before) / task.count as f64)
}

/// Does the same as `raw_status` in a task of tokio, without a second task: the lower bound of a
/// client on tokio.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_loop(task: &Task<'_>) -> Anything<f64> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::UnixStream::connect(task.path).await?;
    let count = task.count;
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; BUFFER];
        stream.read(&mut buffer).await?;
        stream.write_all(NEGOTIATION).await?;
        stream.read(&mut buffer).await?;
        let meter = Meter::start();
        for _ in 0..count {
            stream.write_all(STATUS).await?;
            stream.read(&mut buffer).await?;
        }
        Anything::Ok(meter.each(count))
    });
    task.await?
}

/// Does the same in two tasks of tokio, as clients do that receive events at any time: one task writes
/// and waits, and another one reads. The lower bound of those.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_pair(task: &Task<'_>) -> Anything<f64> {
    pair(task).await
}

/// Does the same while a timer is set, as with commands that have a deadline: the runtime looks at its
/// timers and reads the clock whenever it waits. The lower bound of clients with deadlines.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_pair_timer(task: &Task<'_>) -> Anything<f64> {
    let timer = tokio::spawn(tokio::time::sleep(Duration::from_secs(3600)));
    tokio::task::yield_now().await;
    let each = pair(task).await;
    timer.abort();
    each
}

async fn pair(task: &Task<'_>) -> Anything<f64> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut reader, mut writer) = tokio::net::UnixStream::connect(task.path).await?.into_split();
    let waiting = Arc::new(Mutex::new(None::<oneshot::Sender<usize>>));
    let waiter = Arc::clone(&waiting);
    let mut buffer = vec![0; BUFFER];
    reader.read(&mut buffer).await?;
    writer.write_all(NEGOTIATION).await?;
    reader.read(&mut buffer).await?;
    tokio::spawn(async move {
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            let waiter = waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
            waiter.map(|waiter| waiter.send(length));
        }
    });
    let count = task.count;
    let task = tokio::spawn(async move {
        let meter = Meter::start();
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel();
            *waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
            writer.write_all(STATUS).await?;
            receiver.await?;
        }
        Anything::Ok(meter.each(count))
    });
    task.await?
}

/// Answers each command of a client as the minimal server does, in a task of tokio: waits until something
/// has arrived, reads, and writes the reply without waiting. The lower bound of a server on tokio.
pub async fn answer(stream: tokio::net::UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                let line = String::from_utf8_lossy(&buffer[..length]);
                let value = "{\"status\": \"running\", \"running\": true}";
                stream.try_write(reply(&line, value).as_bytes())?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
