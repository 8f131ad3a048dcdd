//! The other projects' clients.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures::StreamExt;
use qapi::futures::QmpStreamTokio;
use qmp::{Client, Endpoint};

use crate::Anything;
use crate::entry::{Entry, Task, peer};
use crate::measure::{Meter, resident};

/// Their entries, by the name of the job.
pub const PEERS: &[(&str, Entry)] = &[
    ("status", peer("qapi", qapi_status)),
    ("status", peer("qapi-tokio", qapi_tokio_status)),
    ("status", peer("qmp-rs", qmp_rs_status)),
    ("flood", peer("qapi", qapi_flood)),
    ("flood", peer("qmp-rs", qmp_rs_flood)),
    ("idle", peer("qapi-tokio", qapi_tokio_idle)),
    ("idle", peer("qmp-rs", qmp_rs_idle)),
    ("decode", peer("qapi", decode_qapi)),
    ("decode", peer("value", decode_value)),
];

type Qapi = qapi::Qmp<qapi::Stream<std::io::BufReader<UnixStream>, UnixStream>>;

fn connect(task: &Task<'_>) -> Anything<Qapi> {
    let stream = UnixStream::connect(task.path)?;
    let reader = std::io::BufReader::new(stream.try_clone()?);
    let mut client = qapi::Qmp::new(qapi::Stream::new(reader, stream));
    client.handshake()?;
    Ok(client)
}

fn qapi_status(task: &Task<'_>) -> Anything<f64> {
    let mut client = connect(task)?;
    let meter = Meter::start();
    for _ in 0..task.count {
        client.execute(&qapi::qmp::query_status {})?;
    }
    Ok(meter.each(task.count))
}

fn qapi_flood(task: &Task<'_>) -> Anything<f64> {
    let mut client = connect(task)?;
    let meter = Meter::start();
    client.execute(&qapi::qmp::system_wakeup {})?;
    assert_eq!(client.events().count(), task.count);
    Ok(meter.each(task.count))
}

#[tokio::main(flavor = "current_thread")]
async fn qapi_tokio_status(task: &Task<'_>) -> Anything<f64> {
    let (client, _task) =
        QmpStreamTokio::open_uds(task.path).await?.negotiate().await?.spawn_tokio();
    let meter = Meter::start();
    for _ in 0..task.count {
        client.execute(qapi::qmp::query_status {}).await?;
    }
    Ok(meter.each(task.count))
}

#[tokio::main(flavor = "current_thread")]
async fn qapi_tokio_idle(task: &Task<'_>) -> Anything<f64> {
    let before = resident();
    let mut clients = Vec::new();
    for _ in 0..task.count {
        clients.push(QmpStreamTokio::open_uds(task.path).await?.negotiate().await?.spawn_tokio());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok((resident() - before) / task.count as f64)
}

#[tokio::main(flavor = "current_thread")]
async fn qmp_rs_status(task: &Task<'_>) -> Anything<f64> {
    let client = Client::connect(Endpoint::unix(task.path)).await?;
    let meter = Meter::start();
    for _ in 0..task.count {
        let _: serde_json::Value = client.execute("query-status", Option::<()>::None).await?;
    }
    Ok(meter.each(task.count))
}

#[tokio::main(flavor = "current_thread")]
async fn qmp_rs_flood(task: &Task<'_>) -> Anything<f64> {
    let client = Client::connect(Endpoint::unix(task.path)).await?;
    let meter = Meter::start();
    let mut events = client.events();
    let wakeup = client.execute::<_, serde_json::Value>("system_wakeup", Option::<()>::None);
    let listen = async {
        for _ in 0..task.count {
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
    Ok(meter.each(task.count))
}

#[tokio::main(flavor = "current_thread")]
async fn qmp_rs_idle(task: &Task<'_>) -> Anything<f64> {
    let before = resident();
    let mut clients = Vec::new();
    for _ in 0..task.count {
        clients.push(Client::connect(Endpoint::unix(task.path)).await?);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok((resident() - before) / task.count as f64)
}

fn decode_qapi(task: &Task<'_>) -> Anything<f64> {
    crate::decode::measure(task, |text| {
        Ok(serde_json::from_str::<Vec<qapi::qmp::SchemaInfo>>(text)?.len())
    })
}

fn decode_value(task: &Task<'_>) -> Anything<f64> {
    crate::decode::measure(task, |text| {
        Ok(serde_json::from_str::<Vec<serde_json::Value>>(text)?.len())
    })
}
