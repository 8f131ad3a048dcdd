//! The lower bound, and the other projects' clients.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures::StreamExt;

use crate::Anything;
use crate::measure::{Meter, resident};

/// Writes a command, and reads up to the next newline, without parsing JSON or checking anything.
pub fn raw(job: &str, count: usize, path: &str) -> Anything<f64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut connect = || -> Anything<UnixStream> {
        let mut stream = UnixStream::connect(path)?;
        stream.read(&mut buffer)?;
        stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n")?;
        stream.read(&mut buffer)?;
        Ok(stream)
    };
    if job == "idle" {
        let before = resident();
        let streams = (0..count).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
        let after = resident();
        drop(streams);
        return Ok((after - before) / count as f64);
    }
    let mut stream = connect()?;
    let meter = Meter::start();
    if job == "status" {
        for _ in 0..count {
            stream.write_all(b"{\"execute\":\"query-status\",\"id\":1}\n")?;
            stream.read(&mut buffer)?;
        }
    } else {
        stream.write_all(b"{\"execute\":\"system_wakeup\"}\n")?;
        let mut lines = 0;
        while lines < count + 1 {
            let length = stream.read(&mut buffer)?;
            lines += buffer[..length].iter().filter(|byte| **byte == b'\n').count();
        }
    }
    Ok(meter.each(count))
}

/// Does the same in a task of tokio, without a second task: the lower bound of a client on tokio.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_loop(count: usize, path: &str) -> Anything<f64> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::UnixStream::connect(path).await?;
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        stream.read(&mut buffer).await?;
        stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n").await?;
        stream.read(&mut buffer).await?;
        let meter = Meter::start();
        for _ in 0..count {
            stream.write_all(b"{\"execute\":\"query-status\",\"id\":1}\n").await?;
            stream.read(&mut buffer).await?;
        }
        Anything::Ok(meter.each(count))
    });
    task.await?
}

/// Does the same in two tasks of tokio, as clients do that receive events at any time: one task writes
/// and waits, and another one reads. The lower bound of those.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_pair(count: usize, path: &str) -> Anything<f64> {
    pair(count, path).await
}

async fn pair(count: usize, path: &str) -> Anything<f64> {
    use std::sync::{Arc, Mutex, PoisonError};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    let (mut reader, mut writer) = tokio::net::UnixStream::connect(path).await?.into_split();
    let waiting = Arc::new(Mutex::new(None::<oneshot::Sender<usize>>));
    let waiter = Arc::clone(&waiting);
    let mut buffer = vec![0; 64 * 1024];
    reader.read(&mut buffer).await?;
    writer.write_all(b"{\"execute\":\"qmp_capabilities\"}\n").await?;
    reader.read(&mut buffer).await?;
    tokio::spawn(async move {
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            let waiter = waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
            waiter.map(|waiter| waiter.send(length));
        }
    });
    let task = tokio::spawn(async move {
        let meter = Meter::start();
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel();
            *waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
            writer.write_all(b"{\"execute\":\"query-status\",\"id\":1}\n").await?;
            receiver.await?;
        }
        Anything::Ok(meter.each(count))
    });
    task.await?
}

/// Does the same while a timer is set, as with commands that have a deadline: the runtime looks at its
/// timers and reads the clock whenever it waits. The lower bound of clients with deadlines.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_pair_timer(count: usize, path: &str) -> Anything<f64> {
    let timer = tokio::spawn(tokio::time::sleep(Duration::from_secs(3600)));
    tokio::task::yield_now().await;
    let each = pair(count, path).await;
    timer.abort();
    each
}

pub fn qapi(job: &str, count: usize, path: &str) -> Anything<f64> {
    let stream = UnixStream::connect(path)?;
    let reader = std::io::BufReader::new(stream.try_clone()?);
    let mut client = qapi::Qmp::new(qapi::Stream::new(reader, stream));
    client.handshake()?;
    let meter = Meter::start();
    if job == "status" {
        for _ in 0..count {
            client.execute(&qapi::qmp::query_status {})?;
        }
    } else {
        client.execute(&qapi::qmp::system_wakeup {})?;
        assert_eq!(client.events().count(), count);
    }
    Ok(meter.each(count))
}

#[tokio::main(flavor = "current_thread")]
pub async fn qapi_tokio(job: &str, count: usize, path: &str) -> Anything<f64> {
    use qapi::futures::QmpStreamTokio;
    let before = resident();
    if job == "idle" {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(QmpStreamTokio::open_uds(path).await?.negotiate().await?.spawn_tokio());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        return Ok((resident() - before) / count as f64);
    }
    let (client, _task) = QmpStreamTokio::open_uds(path).await?.negotiate().await?.spawn_tokio();
    let meter = Meter::start();
    for _ in 0..count {
        client.execute(qapi::qmp::query_status {}).await?;
    }
    Ok(meter.each(count))
}

#[tokio::main(flavor = "current_thread")]
pub async fn qmp_rs(job: &str, count: usize, path: &str) -> Anything<f64> {
    use qmp::{Client, Endpoint};
    let nothing = Option::<()>::None;
    let before = resident();
    if job == "idle" {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(Client::connect(Endpoint::unix(path)).await?);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        return Ok((resident() - before) / count as f64);
    }
    let client = Client::connect(Endpoint::unix(path)).await?;
    let meter = Meter::start();
    if job == "status" {
        for _ in 0..count {
            let _: serde_json::Value = client.execute("query-status", nothing).await?;
        }
    } else {
        let mut events = client.events();
        let wakeup = client.execute::<_, serde_json::Value>("system_wakeup", nothing);
        let listen = async {
            for _ in 0..count {
                // A lost event is reported as an error.
                tokio::time::timeout(Duration::from_secs(2), events.recv()).await??;
            }
            Anything::Ok(())
        };
        let (reply, received) = futures::stream::once(async { tokio::join!(wakeup, listen) })
            .boxed_local()
            .next()
            .await
            .ok_or("nothing")?;
        reply?;
        received?;
    }
    Ok(meter.each(count))
}
