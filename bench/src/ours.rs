//! The clients of this project.

use std::time::Duration;

use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::{QueryStatus, SystemWakeup};
use qmp_client::{Client, Options, blocking};

use crate::Anything;
use crate::measure::{Meter, resident};

/// More events than the flood has: nobody is to miss one.
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
    let mut client = connect()?;
    let meter = Meter::start();
    if job == "status" {
        for _ in 0..count {
            client.execute(QueryStatus::new())?;
        }
    } else {
        let wakeup = client.send(SystemWakeup::new())?;
        for _ in 0..count {
            let event = client.next_event::<AnyEvent>(Duration::from_secs(10))?.event;
            assert!(matches!(event, AnyEvent::BlockJobCompleted(_)));
        }
        client.receive(wakeup)?;
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
        let mut events = client.events_as::<AnyEvent>();
        let wakeup = tokio::spawn(client.execute(SystemWakeup::new()));
        for _ in 0..count {
            let event = events.next().await.ok_or("the end")??.event;
            assert!(matches!(event, AnyEvent::BlockJobCompleted(_)));
        }
        wakeup.await??;
    }
    Ok(meter.each(count))
}
