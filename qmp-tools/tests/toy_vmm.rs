//! `qmp-shell` on the VMM in miniature, whose vocabulary it does not know.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_server::SocketFile;
use serde_json::{Value, json};
use support::{Directory, SHELL, run, run_with};
use toy_vmm::vmm::commands::{AbortSnapshot, AddDisk, QueryVm, Snapshot};
use toy_vmm::vmm::events::DiskAdded;

/// Serves the VMM until it is dropped.
struct Vmm {
    socket: String,
    _directory: Directory,
    server: qmp_server::Server<toy_vmm::Vm>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Vmm {
    fn start() -> Self {
        let directory = Directory::new();
        let path = directory.path("vmm.sock");
        let socket = SocketFile::bind(&path, 0o600).unwrap();
        let server = toy_vmm::server().unwrap();
        let serving = server.clone();
        let thread = Some(std::thread::spawn(move || serving.serve_unix(socket.listener())));
        Self { socket: path, _directory: directory, server, thread }
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        self.server.stop(Duration::from_secs(5));
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    }
}

fn messages(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_shell_drives_it() {
    let vmm = Vmm::start();
    let socket = vmm.socket.as_str();
    let begin = Instant::now();
    let out = run_with(SHELL, &[socket], "query-vm\nsnapshot steps=20\nquery-vm\n").ok();
    let took = begin.elapsed();
    let messages = messages(&out);
    let replies: Vec<&Value> =
        messages.iter().filter(|message| message.get("event").is_none()).collect();
    assert_eq!(
        replies,
        [&json!({"disks": 0, "snapshots": 0}), &json!({}), &json!({"disks": 0, "snapshots": 1})]
    );
    // One of 20 every 50 ms, and the last one. The steps take 200 ms, and more on a busy machine.
    let events = messages.len() - replies.len();
    let most = took.as_millis() / 50 + 2;
    assert!(events >= 2 && events as u128 <= most, "{took:?}: {out}");
    for (bad, message) in [
        ("snapshot", "Parameter 'steps' is missing"),
        ("snapshot steps=-1", "Parameter 'steps' expects uint32_t"),
        ("add-disk id=d0", "no file descriptor was sent with the command"),
        ("query-status", "The command query-status has not been found"),
    ] {
        let error = run(SHELL, &[socket, "-c", bad]).failed(1);
        assert!(error.contains(message), "{bad}: {error}");
    }
    // The end of the server is the end of the shell's session.
    run(SHELL, &[socket, "-c", "quit"]).ok();
    assert!(vmm.server.has_ended());
}

#[test]
fn an_abort_from_another_shell_ends_a_snapshot() {
    let vmm = Vmm::start();
    let socket = vmm.socket.as_str();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| run(SHELL, &[socket, "-c", "snapshot steps=3000"]));
        while vmm.server.connection_count() == 0 && !slow.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
        }
        while !slow.is_finished() {
            run(SHELL, &[socket, "-c", "abort-snapshot"]).ok();
        }
        let error = slow.join().unwrap().failed(1);
        assert!(error.contains("aborted in step"), "{error}");
    });
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

/// The vocabulary serves clients, too.
#[test]
fn a_typed_client_passes_a_disk_and_aborts_out_of_band() {
    let vmm = Vmm::start();
    let client = Client::connect(vmm.socket.as_str()).unwrap();
    let path = vmm._directory.write("disk", "0123456789");
    let (_, added) = client
        .call(AddDisk::new("d0"))
        .with_fd(std::fs::File::open(path).unwrap())
        .until(|event: &DiskAdded| event.id == "d0")
        .unwrap();
    assert_eq!(added.event.bytes, 10);
    assert_eq!(client.execute(QueryVm::new()).unwrap().disks, 1);
    std::thread::scope(|scope| {
        let snapshot = scope.spawn(|| client.execute(Snapshot::new(1000)));
        while !snapshot.is_finished() {
            client.execute_oob(AbortSnapshot::new()).unwrap();
        }
        let result = snapshot.join().unwrap();
        let error = result.unwrap_err();
        assert!(error.to_string().contains("aborted in step"), "{error}");
    });
}
