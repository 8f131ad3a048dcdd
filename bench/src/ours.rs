//! This project's clients.

use std::time::Duration;

use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::{QueryStatus, SystemWakeup};
use qmp_client::{Client, Options, blocking};

use crate::Anything;
use crate::measure::{Meter, resident};

/// The capacity of event queues: more than the flood has, so that no client misses an event.
const QUEUE: usize = 1 << 20;

pub fn blocking(job: &str, count: usize, path: &str) -> Anything<f64> {
    let options = Options::new().event_capacity(QUEUE);
    let connect = || blocking::Client::connect_with(path, &options);
    if job == "idle" {
        let before = resident();
        let clients = (0..count).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
        let after = resident();
        drop(clients);
        return Ok((after - before) / count as f64);
    }
    let client = connect()?;
    let meter = Meter::start();
    if job == "status" {
        for _ in 0..count {
            client.execute(QueryStatus::new())?;
        }
    } else {
        let mut events = client.events::<AnyEvent>();
        let wakeup = client.send(SystemWakeup::new())?;
        for _ in 0..count {
            let event = events.next_within(Duration::from_secs(10));
            let event = event.ok_or("the events ended")??.event;
            assert!(matches!(event, AnyEvent::BlockJobCompleted(_)));
        }
        wakeup.receive()?;
    }
    Ok(meter.each(count))
}

#[tokio::main(flavor = "current_thread")]
pub async fn tokio(job: &str, count: usize, path: &str) -> Anything<f64> {
    let options = Options::new().event_capacity(QUEUE);
    if job == "idle" {
        let before = resident();
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(Client::connect_with(path, &options).await?);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let after = resident();
        drop(clients);
        return Ok((after - before) / count as f64);
    }
    let client = Client::connect_with(path, &options).await?;
    let meter = Meter::start();
    if job == "status" {
        for _ in 0..count {
            client.execute(QueryStatus::new()).await?;
        }
    } else {
        let mut events = client.events::<AnyEvent>();
        let wakeup = tokio::spawn(client.execute(SystemWakeup::new()));
        for _ in 0..count {
            let event = events.next().await.ok_or("the events ended")??.event;
            assert!(matches!(event, AnyEvent::BlockJobCompleted(_)));
        }
        wakeup.await??;
    }
    Ok(meter.each(count))
}

/// Executes `query-status` from a spawned task.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_spawned(count: usize, path: &str) -> Anything<f64> {
    let client = Client::connect(path).await?;
    let task = tokio::spawn(async move {
        let meter = Meter::start();
        for _ in 0..count {
            client.execute(QueryStatus::new()).await?;
        }
        Anything::Ok(meter.each(count))
    });
    task.await?
}
