//! Simulated machines in a directory of sockets, and programs that are run.

#![allow(dead_code)] // each test uses a part

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use qmp_server::{Simulator, SocketFile};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory, which is deleted at the end.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fleet-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Starts a machine whose monitor is `NAME.sock`.
    pub(crate) fn machine(&self, name: &str) -> Machine {
        let simulator = Simulator::new();
        let socket = SocketFile::bind(self.0.join(format!("{name}.sock")), 0o600).unwrap();
        let server = simulator.server().clone();
        let task = tokio::spawn(async move {
            qmp_server::tokio::serve_unix(&server, socket.listener()).await.unwrap();
        });
        Machine { simulator, task: Some(task) }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Machine {
    pub(crate) simulator: Simulator,
    task: Option<JoinHandle<()>>,
}

impl Machine {
    /// Executes a command.
    pub(crate) fn execute(&self, command: &str) {
        let client = self.simulator.connection();
        let commands = format!("{{'execute': 'qmp_capabilities'}} {{'execute': '{command}'}}");
        client.receive(commands.as_bytes());
        let output = String::from_utf8(client.take_output()).unwrap();
        assert!(!output.contains("error"), "{output}");
    }

    /// Emits this many events, `RESUME`, such that no queue on their way overflows.
    pub(crate) async fn emit(&self, count: usize) {
        for number in 1..=count {
            self.simulator.emit(&qmp_client::qmp::events::Resume::new());
            if number % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Waits until a client is connected.
    pub(crate) async fn attended(&self) {
        until("a client", async || self.simulator.server().connection_count() > 0).await;
    }

    /// Ends the machine, and removes its socket.
    pub(crate) async fn end(mut self) {
        self.simulator.server().end();
        if let Some(task) = self.task.take() {
            timeout(PATIENCE, task).await.unwrap().unwrap();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.simulator.server().end();
    }
}

/// Plays a machine that answers each command alike, and sends events after the last question that a
/// supervised client asks.
pub(crate) async fn play(mut stream: UnixStream, answer: &Value, events: &[Value]) -> Option<()> {
    let version = json!({"qemu": {"major": 11, "minor": 0, "micro": 0}, "package": ""});
    let greeting = json!({"QMP": {"version": version, "capabilities": []}});
    stream.write_all(format!("{greeting}\r\n").as_bytes()).await.ok()?;
    let (reading, mut writing) = stream.split();
    let mut lines = BufReader::new(reading).lines();
    while let Some(line) = lines.next_line().await.ok()? {
        let command: Value = serde_json::from_str(&line).ok()?;
        let reply = json!({"return": answer, "id": command["id"]});
        writing.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        if command["execute"] == "query-name" {
            // The subscription is made once the QEMU is known.
            tokio::time::sleep(Duration::from_millis(500)).await;
            for event in events {
                writing.write_all(format!("{event}\r\n").as_bytes()).await.ok()?;
            }
        }
    }
    Some(())
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let look = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("timed out waiting for {what}"));
}

/// A program that runs. It is killed at the end.
pub(crate) struct Program {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Program {
    pub(crate) fn start(path: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(path);
        command.args(arguments).envs(variables.iter().copied());
        let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for a line on standard error that contains a text.
    pub(crate) async fn line(&mut self, text: &str) -> String {
        let look = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                eprintln!("> {line}");
                assert!(!line.contains(char::is_control), "{line:?}");
                if line.contains(text) {
                    return line;
                }
            }
            panic!("the program ended before `{text}`");
        };
        timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("timed out waiting for `{text}`"))
    }

    /// Sends SIGTERM, and returns whether the program has succeeded.
    pub(crate) async fn terminate(&mut self) -> bool {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").arg(pid).status().unwrap().success());
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().success()
    }
}
