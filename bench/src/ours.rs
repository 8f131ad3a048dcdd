//! This project's clients.

use std::time::Duration;

use qmp_client::qmp::AnyEvent;
use qmp_client::qmp::commands::{QueryStatus, SystemWakeup};
use qmp_client::{Client, Options, blocking};

use crate::Anything;
use crate::entry::Task;
use crate::measure::{Meter, resident};

/// The options, with queues for more events than the flood has, so that none is lost.
fn options() -> Options {
    Options::new().event_capacity(1 << 20)
}

fn connect(task: &Task<'_>) -> Anything<blocking::Client> {
    Ok(blocking::Client::connect_with(task.path, &options())?)
}

pub fn blocking_status(task: &Task<'_>) -> Anything<f64> {
    let client = connect(task)?;
    let meter = Meter::start();
    for _ in 0..task.count {
        client.execute(QueryStatus::new())?;
    }
    Ok(meter.each(task.count))
}

/// Sends eight commands before it receives their replies.
pub fn blocking_in_flight(task: &Task<'_>) -> Anything<f64> {
    let client = connect(task)?;
    let meter = Meter::start();
    let mut tickets = Vec::with_capacity(8);
    for _ in 0..task.count / 8 {
        for _ in 0..8 {
            tickets.push(client.send(QueryStatus::new())?);
        }
        for ticket in tickets.drain(..) {
            ticket.receive()?;
        }
    }
    Ok(meter.each(task.count))
}

pub fn blocking_flood(task: &Task<'_>) -> Anything<f64> {
    let client = connect(task)?;
    let meter = Meter::start();
    let mut events = client.events::<AnyEvent>();
    let wakeup = client.send(SystemWakeup::new())?;
    for _ in 0..task.count {
        let event = events.next_within(Duration::from_secs(10));
        let event = event.ok_or("the events ended")??.event;
        assert!(matches!(event, AnyEvent::BlockJobCompleted(_)));
    }
    wakeup.receive()?;
    Ok(meter.each(task.count))
}

pub fn blocking_idle(task: &Task<'_>) -> Anything<f64> {
    let before = resident();
    let clients = (0..task.count).map(|_| connect(task)).collect::<Result<Vec<_>, _>>()?;
    let after = resident();
    drop(clients);
    Ok((after - before) / task.count as f64)
}

/// Executes commands in the task that the runtime blocks on.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_status(task: &Task<'_>) -> Anything<f64> {
    let client = Client::connect(task.path).await?;
    let meter = Meter::start();
    for _ in 0..task.count {
        client.execute(QueryStatus::new()).await?;
    }
    Ok(meter.each(task.count))
}

/// Executes commands in a spawned task.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_spawned(task: &Task<'_>) -> Anything<f64> {
    let client = Client::connect(task.path).await?;
    let count = task.count;
    let task = tokio::spawn(async move {
        let meter = Meter::start();
        for _ in 0..count {
            client.execute(QueryStatus::new()).await?;
        }
        Anything::Ok(meter.each(count))
    });
    task.await?
}

/// Sends eight commands before it receives their replies.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_in_flight(task: &Task<'_>) -> Anything<f64> {
    let client = Client::connect(task.path).await?;
    let count = task.count;
    let task = tokio::spawn(async move {
        let meter = Meter::start();
        let mut tickets = Vec::with_capacity(8);
        for _ in 0..count / 8 {
            for _ in 0..8 {
                tickets.push(client.send(QueryStatus::new())?);
            }
            for ticket in tickets.drain(..) {
                ticket.receive().await?;
            }
        }
        Anything::Ok(meter.each(count))
    });
    task.await?
}

#[tokio::main(flavor = "current_thread")]
pub async fn tokio_flood(task: &Task<'_>) -> Anything<f64> {
    let client = Client::connect_with(task.path, &options()).await?;
    receive_flood(client, task.count).await
}

/// The runtime polls tasks by turns, and the one that it blocks on only from time to time.
#[tokio::main(flavor = "current_thread")]
pub async fn tokio_spawned_flood(task: &Task<'_>) -> Anything<f64> {
    let client = Client::connect_with(task.path, &options()).await?;
    tokio::spawn(receive_flood(client, task.count)).await?
}

async fn receive_flood(client: Client, count: usize) -> Anything<f64> {
    let meter = Meter::start();
    let mut events = client.events::<AnyEvent>();
    let wakeup = tokio::spawn(client.execute(SystemWakeup::new()));
    for _ in 0..count {
        let event = events.next().await.ok_or("the events ended")??.event;
        assert!(matches!(event, AnyEvent::BlockJobCompleted(_)));
    }
    wakeup.await??;
    Ok(meter.each(count))
}

#[tokio::main(flavor = "current_thread")]
pub async fn tokio_idle(task: &Task<'_>) -> Anything<f64> {
    let options = options();
    let before = resident();
    let mut clients = Vec::new();
    for _ in 0..task.count {
        clients.push(Client::connect_with(task.path, &options).await?);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = resident();
    drop(clients);
    Ok((after - before) / task.count as f64)
}
