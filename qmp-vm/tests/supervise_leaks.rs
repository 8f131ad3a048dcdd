//! Supervised connections leave no thread, descriptor or task. In a program of its own: those
//! of other tests would be counted.

#![cfg(all(target_os = "linux", feature = "blocking", feature = "tokio"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::QueryStatus;
use qmp_server::Simulator;
use qmp_vm::supervise::Supervision;

const PATIENCE: Duration = Duration::from_secs(60);

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// Waits until there are no more than this many.
fn settle(what: &str, most: usize) {
    let begin = Instant::now();
    while count(what) > most {
        assert!(begin.elapsed() < PATIENCE, "{} of {what}, and {most} before", count(what));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn policy() -> Supervision {
    Supervision::new().pauses(Duration::from_millis(1), Duration::from_millis(5))
}

#[test]
fn nothing_is_left() {
    let directory = std::env::temp_dir().join(format!("supervise-leaks-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let path = |name: &str| -> PathBuf { directory.join(name) };
    let simulator = Simulator::new();
    let listener = UnixListener::bind(path("served")).unwrap();
    let server = simulator.server().clone();
    std::thread::spawn(move || server.serve_unix(&listener));
    let silent = UnixListener::bind(path("silent")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    // What is started once: the server's threads, and the runtime's descriptors.
    drop(qmp_client::blocking::Client::connect(path("served").as_path()).unwrap());
    settle("task", count("task"));
    let mut before = (0, 0);
    for round in 0..20 {
        for name in ["served", "silent", "absent"] {
            let vm = qmp_vm::blocking::supervise(path(name).as_path(), policy()).unwrap();
            let changes = vm.changes();
            if name == "served" {
                assert!(vm.call(QueryStatus::new()).within(PATIENCE).execute().unwrap().running);
                vm.reconnect();
            }
            drop((vm, changes));
            let vm = qmp_vm::tokio::supervise(path(name).as_path(), policy()).unwrap();
            runtime.block_on(async {
                if name == "served" {
                    let mut events = vm.raw_events();
                    let call = vm.call(QueryStatus::new()).within(PATIENCE).execute();
                    assert!(call.await.unwrap().running);
                    vm.reconnect();
                    events.next_within(PATIENCE).await.unwrap().unwrap();
                }
                drop(vm);
                // The keeper is a task, and ends when it is polled.
                let begin = Instant::now();
                while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
                    assert!(begin.elapsed() < PATIENCE);
                    tokio::task::yield_now().await;
                }
            });
        }
        silent.set_nonblocking(true).unwrap();
        while silent.accept().is_ok() {}
        if round == 0 {
            std::thread::sleep(Duration::from_millis(500));
            before = (count("task"), count("fd"));
        }
    }
    settle("task", before.0);
    settle("fd", before.1);
    std::fs::remove_dir_all(directory).unwrap();
}
