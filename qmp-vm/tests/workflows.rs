//! The workflows of both clients, with servers that follow a script, and with the simulated machine.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

#[allow(dead_code)] // other tests use it, too
mod peer;

#[path = "workflows/input.rs"]
mod input;
#[path = "workflows/jobs.rs"]
mod jobs;
#[path = "workflows/keyboard.rs"]
mod keyboard;
#[path = "workflows/migration.rs"]
mod migration;
#[path = "workflows/plugging.rs"]
mod plugging;
#[path = "workflows/power.rs"]
mod power;
#[path = "workflows/unplug.rs"]
mod unplug;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use qmp_client::transport::Unix;
use qmp_client::{Client, Options, Raw, blocking};
use qmp_server::Simulator;
use qmp_vm::{Unplugged, Workflows};
use serde_json::{Value, json};

use peer::Peer;

/// Longer than any operation that succeeds takes, even on a busy host.
const PATIENCE: Duration = Duration::from_secs(30);
/// A deadline that is expected to pass, after a busy machine has exchanged some messages.
const SOON: Duration = Duration::from_millis(600);

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connect(stream: UnixStream, options: &Options) -> Client {
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::UnixStream::from_std(stream).unwrap();
    Client::over(stream, options).await.unwrap()
}

fn connect_blocking(stream: UnixStream, options: &Options) -> blocking::Client {
    blocking::Client::over(Unix::from_stream(stream).unwrap(), options).unwrap()
}

/// Runs `script` as the server, after the handshake, and `check` with the asynchronous client.
fn play(script: impl FnOnce(&mut Peer) + Send, check: impl AsyncFnOnce(Client)) {
    play_on(script, |stream| {
        one_thread().block_on(async { check(connect(stream, &Options::new()).await).await });
    });
}

/// [`play`], with the blocking client.
fn play_blocking(script: impl FnOnce(&mut Peer) + Send, check: impl FnOnce(blocking::Client)) {
    play_on(script, |stream| check(connect_blocking(stream, &Options::new())));
}

/// [`play`], with both clients, and with options.
fn play_with(
    options: &Options,
    script: impl Fn(&mut Peer) + Send + Sync,
    check: impl AsyncFnOnce(Client),
    check_blocking: impl FnOnce(blocking::Client),
) {
    play_on(&script, |stream| {
        one_thread().block_on(async { check(connect(stream, options).await).await });
    });
    play_on(&script, |stream| check_blocking(connect_blocking(stream, options)));
}

fn play_on(script: impl FnOnce(&mut Peer) + Send, check: impl FnOnce(UnixStream)) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            Peer::play(theirs, |peer| {
                peer.greet();
                script(peer);
            });
        });
        check(ours);
    });
}

#[test]
fn a_simulated_machine_is_used() {
    let simulator = Simulator::builder().build();
    let stream = simulator.connect().unwrap();
    one_thread().block_on(async {
        let client = connect(stream, &Options::new()).await;
        let add = json!({"driver": "null-co", "node-name": "n0"});
        let _: Value = client.execute(Raw::new("blockdev-add").arguments(&add)).await.unwrap();
        let add = json!({"driver": "virtio-blk-pci", "id": "d0", "drive": "n0"});
        let _: Value = client.execute(Raw::new("device_add").arguments(&add)).await.unwrap();
        assert_eq!(client.unplug("d0", PATIENCE).await.unwrap(), Unplugged::Deleted);
        assert_eq!((client.pending().calls, client.pending().subscriptions), (0, 0));
    });
}
