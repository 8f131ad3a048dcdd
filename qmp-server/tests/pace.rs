//! The pace that other monitors and events keep while one command is slow. This is the only test in its
//! process, because it measures time.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "execution/vmm.rs"]
mod vmm;

use std::thread;
use std::time::{Duration, Instant};

use vmm::{Front, Tick};

const PROMPT: Duration = Duration::from_millis(50);

/// The longest time that something which happens once may take on a busy machine. The slow command takes
/// several times as long.
const BUSY: Duration = Duration::from_secs(1);

/// The time between two events.
const PACE: Duration = Duration::from_millis(50);

#[test]
fn a_slow_command_delays_neither_other_monitors_nor_events_nor_its_abort() {
    for front in Front::all() {
        // The first one is aborted.
        for (command, ms) in [("sleep", 20_000), ("await", 3_000)] {
            let server = front.server();
            let mut slow = front.connect(&server).with_oob();
            let mut other = front.connect(&server).negotiated();
            let mut watcher = front.connect(&server).negotiated();
            let start = Instant::now();
            slow.send(&format!(
                "{{'execute': '{command}', 'arguments': {{'ms': {ms}}}, 'id': 's'}}"
            ));
            let events = server.events();
            let emitter = thread::spawn(move || {
                for number in 0..50 {
                    events.emit(&Tick { number });
                    thread::sleep(PACE);
                }
            });
            let watching = thread::spawn(move || {
                let mut gaps = Vec::new();
                let mut last = Instant::now();
                for number in 0..50 {
                    assert_eq!(watcher.read()["data"]["number"], number);
                    gaps.push(last.elapsed());
                    last = Instant::now();
                }
                gaps.into_iter().skip(1).max().unwrap()
            });
            let mut latencies = Vec::new();
            while start.elapsed() < Duration::from_millis(2400) {
                let start = Instant::now();
                other.send("{'execute': 'count', 'id': 1}");
                while other.read()["id"] != 1 {}
                latencies.push(start.elapsed());
                thread::sleep(Duration::from_millis(10));
            }
            emitter.join().unwrap();
            let gap = watching.join().unwrap();
            let aborted = Instant::now();
            if command == "sleep" {
                slow.send("{'exec-oob': 'abort', 'id': 'a'}");
                loop {
                    let reply = slow.read();
                    if reply["id"] == "a" {
                        break;
                    }
                    assert_eq!(reply["event"], "TICK", "the abort is answered first");
                }
            }
            let abort = aborted.elapsed();
            let mut reply = slow.read();
            while reply.get("event").is_some() {
                reply = slow.read();
            }
            assert_eq!(reply["id"], "s");
            latencies.sort();
            let most = latencies[latencies.len() * 95 / 100];
            println!(
                "{} {command}: other monitor {:?}, 95% {most:?}, at most {:?}; events {gap:?} apart at \
                 most; abort {abort:?}",
                front.name,
                latencies[latencies.len() / 2],
                latencies[latencies.len() - 1],
            );
            // On a busy machine, a few wait for a processor.
            assert!(most < PROMPT, "{}: {most:?}", front.name);
            assert!(gap < BUSY, "{}: {gap:?}", front.name);
            assert!(abort < BUSY, "{}: {abort:?}", front.name);
            match command {
                "sleep" => assert_eq!(reply["error"]["desc"], "aborted"),
                _ => assert!(start.elapsed() >= Duration::from_secs(3), "{reply}"),
            }
        }
    }
}
