//! A process that runs out of file descriptors. This is the only test in its process, because it sets
//! a limit on all of it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "execution/vmm.rs"]
mod vmm;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use qmp_server::SocketFile;
use qmp_server::replay::{Recording, Replay};
use qmp_server::script::Script;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vmm::{Client, server};

/// The number of file descriptors that the process may have, as with `ulimit -n 256`.
const DESCRIPTORS: u64 = 256;

#[test]
fn a_server_without_descriptors_goes_on() {
    let limit = getrlimit(Resource::Nofile);
    let limit = Rlimit { current: Some(DESCRIPTORS), maximum: limit.maximum };
    setrlimit(Resource::Nofile, limit).unwrap();
    for front in ["threads", "tokio"] {
        goes_on(front);
    }
    // The others once ended at the first client that no descriptor was left for.
    let recording = r#"{"direction": "received", "message": {"event": "STOP"}}"#;
    let recording = Recording::parse(recording).unwrap();
    let replay = Replay::of(recording.clone()).start();
    accepts_later("replay", move |listener| replay.serve_unix(&listener));
    let script = Script::bare().greet().start();
    accepts_later("script", move |listener| {
        script.serve_unix(listener)?;
        script.finish().map_err(std::io::Error::other)
    });
    #[cfg(feature = "agent")]
    {
        let agent = qmp_server::agent::AgentSimulator::new();
        accepts_later("agent", move |listener| agent.serve_unix(&listener));
    }
    let replay = Replay::of(recording).start();
    accepts_later("replay, one client", move |listener| {
        replay.accept_unix(&listener)?;
        replay.wait().map_err(std::io::Error::other)
    });
}

/// Connects a client that the server has no descriptor for until later.
fn accepts_later(
    name: &str,
    serve: impl FnOnce(UnixListener) -> std::io::Result<()> + Send + 'static,
) {
    let path = std::env::temp_dir().join(format!("qmp-server-{}-{name}", std::process::id()));
    let socket = SocketFile::bind(&path, 0o600).unwrap();
    let listener = socket.listener().try_clone().unwrap();
    let (start, started) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || started.recv().map(|()| serve(listener)));
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // Those of the server before may be released a little later.
    std::thread::sleep(Duration::from_millis(100));
    files.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
    assert!(files.len() < 256);
    drop(files.pop());
    let mut client = BufReader::new(UnixStream::connect(&path).unwrap());
    client.get_ref().set_read_timeout(Some(vmm::DEADLINE)).unwrap();
    client.get_mut().write_all(b"{'execute': 'guest-ping'}\n").unwrap();
    start.send(()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(!serving.is_finished(), "{name}");
    drop(files);
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    assert!(line.starts_with('{'), "{name}: {line:?}");
}

fn goes_on(front: &str) {
    let path = std::env::temp_dir().join(format!("qmp-server-{}-exhausted", std::process::id()));
    let socket = SocketFile::bind(&path, 0o600).unwrap();
    let server = server();
    let serving = server.clone();
    let is_tokio = front == "tokio";
    let thread = std::thread::spawn(move || match is_tokio {
        false => serving.serve_unix(socket.listener()),
        true => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(qmp_server::tokio::serve_unix(&serving, socket.listener())),
    });
    let mut first = Client::new(UnixStream::connect(&path).unwrap()).negotiated();
    let passed = File::open("/dev/null").unwrap();
    // Both ends of each connection are in this process.
    let mut clients = Vec::new();
    let error = loop {
        match UnixStream::connect(&path) {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
        // Give the server the time to accept, as long as it can.
        let start = Instant::now();
        let all = clients.len() + 1;
        while server.connection_count() < all && start.elapsed() < Duration::from_millis(50) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(clients.len() < 256);
    };
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    let accepted = server.connection_count();
    assert!(accepted > 100, "{accepted}");
    // Until some are released, the server answers those that it has accepted, and does not spin.
    let start = (Instant::now(), processor_time());
    let mut slowest = Duration::ZERO;
    while start.0.elapsed() < Duration::from_secs(1) {
        slowest = slowest.max(first.time("ping"));
        std::thread::sleep(Duration::from_millis(20));
    }
    let busy = processor_time() - start.1;
    println!(
        "{front}: {accepted} of {} clients accepted, answered in {slowest:?} at most, {busy:?} of \
         processor time per second",
        clients.len() + 1
    );
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
    assert!(busy < Duration::from_millis(500), "{busy:?}");
    // A descriptor that the process has no room for is closed, and its message ends a read early. What
    // had arrived after it used to be forgotten on tokio.
    let file = std::io::stdin().as_fd().try_clone_to_owned();
    assert!(file.is_err(), "a descriptor is left");
    first.send("{'execute': 'hold-machine', 'arguments': {'ms': 100}}");
    first.send_with("{'execute': 'ping'}", &[&passed]);
    first.send("{'execute': 'ping'}");
    for _ in 0..3 {
        assert_eq!(first.read(), serde_json::json!({"return": {}}), "{front}");
    }
    // The last ones are accepted when the first ones have gone.
    clients.drain(..clients.len() / 2);
    for client in clients {
        let mut client = Client::new(client).negotiated();
        client.time("ping");
    }
    first.0.get_mut().write_all(b"{'execute': 'quit'}").unwrap();
    thread.join().unwrap().unwrap();
}

/// Returns the processor time of the process.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
