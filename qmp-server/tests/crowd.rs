//! Many clients in one process, some of them hostile. This is the only test in its process, because
//! it measures time and memory.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "execution/vmm.rs"]
mod vmm;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use qmp_server::Server;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use vmm::{Tick, Vm, server};

/// The time within which well-behaved clients are answered.
const PROMPT: Duration = Duration::from_millis(100);

const NEGOTIATE: &[u8] = b"{'execute': 'qmp_capabilities'}";
const COUNT: &[u8] = b"{'execute': 'count'}";
const UNFINISHED: usize = 60 << 20;

/// Returns a number from `/proc/self/status`, such as the resident memory in KiB or the number of
/// threads.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn crowds() {
    ten_thousand_clients_on_tokio();
    a_thousand_clients_on_threads();
}

fn report(front: &str, server: &Server<Vm>, base: u64, idle: u64, mut latencies: Vec<Duration>) {
    latencies.sort();
    let percentile = |percent| latencies[(latencies.len() - 1) * percent / 100];
    let usage = server.usage();
    let (peak, threads) = (status("VmHWM") - base, status("Threads"));
    println!(
        "{front}: {idle} KiB for idle clients, {} MiB more at the peak, {threads} threads, {usage:?}, \
         answered {} commands in {:?}, 95% in {:?}, all in {:?}",
        peak.saturating_sub(idle) >> 10,
        latencies.len(),
        percentile(50),
        percentile(95),
        percentile(100),
    );
    // The limits, and the copies of what is being moved.
    assert!(peak < idle + (256 << 10), "{peak} KiB");
    assert!(usage.input_bytes <= 128 << 20 && usage.output_bytes <= 256 << 20, "{usage:?}");
    // On a busy machine, a few wait for a processor.
    assert!(percentile(95) < PROMPT, "{:?}", percentile(95));
}

fn ten_thousand_clients_on_tokio() {
    const CLIENTS: usize = 10_000;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = server();
    let base = status("VmRSS");
    runtime.block_on(async {
        let connect = || {
            let (ours, theirs) = tokio::io::duplex(1024);
            let server = server.clone();
            tokio::spawn(async move { qmp_server::tokio::serve(&server, theirs).await });
            ours
        };
        let mut clients: Vec<DuplexStream> = (0..CLIENTS).map(|_| connect()).collect();
        for client in &mut clients {
            client.write_all(NEGOTIATE).await.unwrap();
            line(client).await;
            line(client).await;
        }
        let idle = status("VmRSS") - base;
        // One that never reads.
        let mut stalled = connect();
        stalled.write_all(NEGOTIATE).await.unwrap();
        // Eight with unfinished values.
        let hostile: Vec<_> = (0..8)
            .map(|_| {
                let mut client = connect();
                tokio::spawn(async move {
                    client.write_all(NEGOTIATE).await.unwrap();
                    client.write_all(b"{'execute': '").await.unwrap();
                    let chunk = vec![b'x'; 64 << 10];
                    for _ in 0..UNFINISHED / chunk.len() {
                        client.write_all(&chunk).await.unwrap();
                    }
                    client
                })
            })
            .collect();
        let mut latencies = Vec::new();
        let mut turn = 0;
        while hostile.iter().any(|task| !task.is_finished()) || turn < 500 {
            if turn % 50 == 0 {
                server.events().emit(&Tick { number: turn });
                for client in &mut clients {
                    line(client).await;
                }
            }
            turn += 1;
            let client = &mut clients[(turn as usize * 7919) % CLIENTS];
            let start = Instant::now();
            client.write_all(COUNT).await.unwrap();
            line(client).await;
            latencies.push(start.elapsed());
        }
        report("10,000 on tokio", &server, base, idle, latencies);
    });
}

async fn line(client: &mut DuplexStream) {
    let mut byte = [0];
    while byte != *b"\n" {
        client.read_exact(&mut byte).await.unwrap();
    }
}

fn a_thousand_clients_on_threads() {
    const CLIENTS: usize = 1_000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let server = server();
    let (base, threads) = (status("VmRSS"), status("Threads"));
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let connect = || {
        let client = server.connect_unix().unwrap();
        client.set_read_timeout(Some(vmm::DEADLINE)).unwrap();
        client
    };
    let mut clients: Vec<UnixStream> = (0..CLIENTS).map(|_| connect()).collect();
    for client in &mut clients {
        client.write_all(NEGOTIATE).unwrap();
        blocking_line(client);
        blocking_line(client);
    }
    let idle = status("VmRSS").saturating_sub(base);
    let used = status("Threads") - threads;
    // Few stay with clients that have been busy, and one waits for all.
    assert!(used <= 16, "{used} threads for {CLIENTS} clients");
    let mut stalled = connect();
    stalled.write_all(NEGOTIATE).unwrap();
    let hostile: Vec<_> = (0..8)
        .map(|_| {
            let mut client = connect();
            std::thread::spawn(move || {
                client.write_all(NEGOTIATE).unwrap();
                client.write_all(b"{'execute': '").unwrap();
                let chunk = vec![b'x'; 64 << 10];
                for _ in 0..UNFINISHED / chunk.len() {
                    client.write_all(&chunk).unwrap();
                }
                client
            })
        })
        .collect();
    let mut latencies = Vec::new();
    let mut turn = 0;
    while hostile.iter().any(|thread| !thread.is_finished()) || turn < 500 {
        if turn % 50 == 0 {
            server.events().emit(&Tick { number: turn });
            clients.iter_mut().for_each(blocking_line);
        }
        turn += 1;
        let client = &mut clients[(turn as usize * 7919) % CLIENTS];
        let start = Instant::now();
        client.write_all(COUNT).unwrap();
        blocking_line(client);
        latencies.push(start.elapsed());
    }
    let kept: Vec<_> = hostile.into_iter().map(|thread| thread.join().unwrap()).collect();
    report("1,000 on threads", &server, base, idle, latencies);
    drop(kept);
}

fn blocking_line(client: &mut UnixStream) {
    let mut byte = [0];
    while byte != *b"\n" {
        client.read_exact(&mut byte).unwrap();
    }
}
