//! Ten thousand connections in one process.

#![cfg(all(feature = "tokio", feature = "qmp"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::sync::Arc;
use std::time::Duration;

use qmp_client::qmp::commands::{QueryStatus, QueryVersion};
use qmp_client::{Client, Options};
use qmp_server::{Connection, Machine, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const CONNECTIONS: usize = 10_000;

/// Serves the simulated machine on one connection.
async fn serve(connection: Connection<Machine>, mut stream: DuplexStream) {
    let mut buffer = [0; 512];
    loop {
        let said = connection.take_output();
        if stream.write_all(&said).await.is_err() {
            return;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => connection.receive(&buffer[..count]),
        }
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn ten_thousand_connections() {
    let simulator = Simulator::new();
    let before = resident_kib();
    // The calls of all connections begin at once, and a busy machine takes long for the last of them.
    let options = Options::new().calls_within(Duration::from_secs(600));
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(serve(simulator.connection(), theirs));
        clients.push(Client::over(ours, &options).await.unwrap());
    }
    let clients = Arc::new(clients);
    let calls: Vec<_> = (0..CONNECTIONS)
        .map(|index| {
            let clients = Arc::clone(&clients);
            tokio::spawn(async move {
                assert!(clients[index].execute(QueryStatus::new()).await.unwrap().running);
                let version = clients[index].execute(QueryVersion::new()).await.unwrap();
                assert_eq!(version.qemu, clients[index].version().qemu);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert!(clients.iter().all(|client| client.pending() == qmp_client::Pending::default()));
    let grown = resident_kib().saturating_sub(before) as f64 / CONNECTIONS as f64;
    println!("{grown:.1} KiB each for client, pipe and server together");
    assert!(grown < 32.0, "{grown} KiB");
}
