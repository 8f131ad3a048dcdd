//! A monitor that comes and goes, and serves one client at a time, as QEMU's does.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::front::PATIENCE;

/// The reaction of the monitor to a command.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Answer,
    /// Executes it, and cuts the connection before it answers.
    Cut,
    /// Does not execute it, and does not answer.
    Ignore,
}

type Script = Box<dyn FnMut(u32, &str) -> Act + Send>;

struct Inner {
    script: Script,
    uuid: &'static str,
    /// The commands that were executed, each with the number of the connection.
    log: Vec<(u32, String)>,
    connections: u32,
    stream: Option<UnixStream>,
}

/// The monitor. It listens until this is dropped.
pub struct Host {
    path: PathBuf,
    inner: Arc<Mutex<Inner>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A path for a socket, which nothing has yet.
pub fn path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("supervise-{}-{count}", std::process::id()))
}

impl Host {
    pub fn new(script: impl FnMut(u32, &str) -> Act + Send + 'static) -> Self {
        Self::at(path(), "a", script)
    }

    /// Starts one at this path, whose machine has this UUID.
    pub fn at(
        path: PathBuf,
        uuid: &'static str,
        script: impl FnMut(u32, &str) -> Act + Send + 'static,
    ) -> Self {
        let mut host = Self::absent(path, uuid, script);
        let listener = UnixListener::bind(&host.path).unwrap();
        let (inner, stop) = (Arc::clone(&host.inner), Arc::clone(&host.stop));
        host.thread = Some(std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                serve(&inner, stream);
            }
        }));
        host
    }

    /// Starts one that connects to the client, again and again.
    pub fn dialing(path: PathBuf, script: impl FnMut(u32, &str) -> Act + Send + 'static) -> Self {
        let mut host = Self::absent(path.clone(), "a", script);
        let (inner, stop) = (Arc::clone(&host.inner), Arc::clone(&host.stop));
        host.thread = Some(std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                if let Ok(stream) = UnixStream::connect(&path) {
                    serve(&inner, stream);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }));
        host
    }

    fn absent(
        path: PathBuf,
        uuid: &'static str,
        script: impl FnMut(u32, &str) -> Act + Send + 'static,
    ) -> Self {
        let inner =
            Inner { script: Box::new(script), uuid, log: Vec::new(), connections: 0, stream: None };
        let (inner, stop) = (Arc::new(Mutex::new(inner)), Arc::new(AtomicBool::new(false)));
        Self { path, inner, stop, thread: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Cuts the present connection.
    pub fn cut(&self) {
        let stream = self.inner.lock().unwrap().stream.take();
        if let Some(stream) = stream {
            stream.shutdown(Shutdown::Both).unwrap();
        }
    }

    /// Sends an event.
    pub fn send(&self, event: &str) {
        let inner = self.inner.lock().unwrap();
        send(
            inner.stream.as_ref().unwrap(),
            &json!({"event": event, "timestamp": {"seconds": 1, "microseconds": 2}}),
        );
    }

    /// Returns the number of times that a command was executed.
    pub fn executed(&self, command: &str) -> usize {
        self.inner.lock().unwrap().log.iter().filter(|(_, name)| name == command).count()
    }

    pub fn connections(&self) -> u32 {
        self.inner.lock().unwrap().connections
    }

    /// Returns whether a client is connected.
    pub fn is_used(&self) -> bool {
        self.inner.lock().unwrap().stream.is_some()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the thread that accepts. A path that is the client's stays.
        let _ = UnixStream::connect(&self.path);
        self.thread.take().unwrap().join().unwrap();
        let _ = std::fs::remove_file(&self.path);
    }
}

fn send(mut stream: &UnixStream, message: &Value) {
    // The client may have gone.
    let _ = stream.write_all(format!("{message}\r\n").as_bytes());
}

fn serve(inner: &Mutex<Inner>, stream: UnixStream) {
    let number = {
        let mut inner = inner.lock().unwrap();
        inner.connections += 1;
        inner.stream = Some(stream.try_clone().unwrap());
        inner.connections
    };
    // One that ignores "oob" does not offer it.
    let offers_oob = !matches!((inner.lock().unwrap().script)(number, "oob"), Act::Ignore);
    let version = json!({"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": ""});
    let capabilities = if offers_oob { json!(["oob"]) } else { json!([]) };
    send(&stream, &json!({"QMP": {"version": version, "capabilities": capabilities}}));
    for line in BufReader::new(&stream).lines() {
        let Ok(line) = line else { break };
        let Ok(command) = serde_json::from_str::<Value>(&line) else { break };
        let mut inner = inner.lock().unwrap();
        let name = command["execute"].as_str().unwrap_or("out-of-band").to_owned();
        let act = match &*name {
            "qmp_capabilities" | "query-uuid" | "query-name" => Act::Answer,
            name => (inner.script)(number, name),
        };
        if let Act::Ignore = act {
            continue;
        }
        inner.log.push((number, name.clone()));
        if let Act::Cut = act {
            let _ = stream.shutdown(Shutdown::Both);
            break;
        }
        let value = match &*name {
            "query-uuid" => json!({"UUID": inner.uuid}),
            "query-status" => json!({"status": "running", "running": true}),
            _ => json!({}),
        };
        send(&stream, &json!({"return": value, "id": command["id"]}));
    }
    inner.lock().unwrap().stream = None;
}

/// Waits until something holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
