//! A server with just enough state that something can be left over, and a log of its commands.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than any operation that succeeds takes, even on a busy host.
pub const PATIENCE: Duration = Duration::from_secs(30);

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": []}}"#;

/// The state of a server.
#[derive(Debug, Default)]
pub struct Fake {
    /// The names of the commands that it was sent, without those of the handshake.
    pub log: Vec<String>,
    pub fdsets: BTreeSet<u64>,
    pub nodes: BTreeSet<String>,
    /// The nodes, or the memory, of the devices that are plugged in.
    pub devices: Vec<String>,
    /// The names of descriptors that no backend has taken.
    pub descriptors: BTreeSet<String>,
    pub netdevs: BTreeSet<String>,
    /// The objects, such as memory.
    pub objects: BTreeSet<String>,
    pub chardevs: BTreeSet<String>,
    pub files: BTreeSet<u64>,
    pub frozen: bool,
    /// The commands that are refused, and the class of the error.
    refused: Vec<(&'static str, &'static str)>,
    /// The commands that are never answered.
    ignored: Vec<&'static str>,
    handles: u64,
}

/// A fake that serves a client.
pub struct Played {
    thread: JoinHandle<Fake>,
    gate: Sender<()>,
}

impl Fake {
    pub fn refusing(mut self, command: &'static str, class: &'static str) -> Self {
        self.refused.push((command, class));
        self
    }

    pub fn ignoring(mut self, command: &'static str) -> Self {
        self.ignored.push(command);
        self
    }

    pub fn with_node(mut self, name: &str) -> Self {
        self.nodes.insert(name.to_owned());
        self
    }

    /// Serves one client, as QEMU (`greets`) or as a guest agent.
    pub fn serve(self, greets: bool) -> (UnixStream, Played) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        ours.set_nonblocking(true).unwrap();
        let (gate, opened) = channel();
        let thread = std::thread::spawn(move || self.play(theirs, greets, &opened));
        (ours, Played { thread, gate })
    }

    fn play(mut self, stream: UnixStream, greets: bool, gate: &Receiver<()>) -> Self {
        let mut stream = BufReader::new(stream);
        let send = |stream: &mut BufReader<UnixStream>, value: &Value| {
            // The client may have closed the connection.
            let _ = stream.get_mut().write_all(format!("{value}\r\n").as_bytes());
        };
        if greets {
            send(&mut stream, &serde_json::from_str(GREETING).unwrap());
        }
        loop {
            let mut line = Vec::new();
            match stream.read_until(b'\n', &mut line) {
                Ok(0) => return self,
                Ok(_) => {}
                // The client closed the connection without having read everything.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return self,
                // A client that does not close the connection in time fails the test.
                Err(error) => panic!("{error}"),
            }
            let text = line.strip_prefix(&[0xFF]).unwrap_or(&line);
            let command: Value = serde_json::from_slice(text).unwrap();
            let name = command["execute"].as_str().unwrap().to_owned();
            if !["qmp_capabilities", "guest-sync-delimited"].contains(&&*name) {
                self.log.push(name.clone());
            }
            if name == "wait" {
                gate.recv_timeout(PATIENCE).unwrap();
            }
            if name == "shout" {
                send(&mut stream, &json!({"event": "SHOUTED"}));
            }
            if self.ignored.contains(&&*name) {
                continue;
            }
            let mut answer = match self.execute(&name, &command["arguments"]) {
                Ok(value) => json!({"return": value}),
                Err(class) => json!({"error": {"class": class, "desc": "no"}}),
            };
            if !command["id"].is_null() {
                answer["id"] = command["id"].clone();
            }
            send(&mut stream, &answer);
        }
    }

    fn execute(&mut self, name: &str, arguments: &Value) -> Result<Value, &'static str> {
        if let Some((_, class)) = self.refused.iter().find(|(refused, _)| *refused == name) {
            return Err(class);
        }
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let sure = |done: bool| if done { Ok(json!({})) } else { Err("GenericError") };
        match name {
            "echo" => Ok(arguments.clone()),
            "guest-sync-delimited" => Ok(arguments["id"].clone()),
            "add-fd" => {
                self.handles += 1;
                self.fdsets.insert(self.handles);
                Ok(json!({"fdset-id": self.handles, "fd": 40 + self.handles}))
            }
            "remove-fd" => sure(self.fdsets.remove(&arguments["fdset-id"].as_u64().unwrap())),
            "blockdev-add" => sure(self.nodes.insert(text("node-name"))),
            "blockdev-del" => {
                let used = self.devices.contains(&text("node-name"));
                sure(!used && self.nodes.remove(&text("node-name")))
            }
            "object-add" => sure(self.objects.insert(text("id"))),
            "object-del" => {
                let used = self.devices.contains(&text("id"));
                sure(!used && self.objects.remove(&text("id")))
            }
            "device_add" => {
                let memory = text("memdev");
                self.devices.push(if memory.is_empty() { text("drive") } else { memory });
                Ok(json!({}))
            }
            "getfd" => {
                self.descriptors.insert(text("fdname"));
                Ok(json!({}))
            }
            "closefd" => sure(self.descriptors.remove(&text("fdname"))),
            "netdev_add" => {
                let names = [text("fds"), text("vhostfds")].join(":");
                let mut names = names.split(':').filter(|name| !name.is_empty());
                let taken = names.all(|name| self.descriptors.remove(name));
                sure(taken && self.netdevs.insert(text("id")))
            }
            "chardev-add" => {
                let name = text_at(arguments, "/backend/data/addr/data/str");
                sure(self.descriptors.remove(&name) && self.chardevs.insert(text("id")))
            }
            "chardev-remove" => {
                let is_used = self.objects.contains(&text("id"));
                sure(!is_used && self.chardevs.remove(&text("id")))
            }
            "query-chardev" => Ok(json!([])),
            "qom-list-types" => Ok(json!([{"name": "monitor-qmp"}])),
            "netdev_del" => sure(self.netdevs.remove(&text("id"))),
            "guest-file-open" => {
                self.handles += 1;
                self.files.insert(self.handles);
                Ok(json!(self.handles))
            }
            "guest-file-read" => Ok(json!({"count": 1, "buf-b64": "eA==", "eof": true})),
            "guest-file-write" => Ok(json!({"count": 1, "eof": false})),
            "guest-file-close" => sure(self.files.remove(&arguments["handle"].as_u64().unwrap())),
            "guest-fsfreeze-freeze" => {
                self.frozen = true;
                Ok(json!(2))
            }
            "guest-fsfreeze-thaw" => Ok(json!(2 * u8::from(std::mem::take(&mut self.frozen)))),
            _ => Ok(json!({})),
        }
    }
}

fn text_at(arguments: &Value, place: &str) -> String {
    arguments.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Played {
    /// Answers the next `wait`.
    pub fn open_gate(&self) {
        self.gate.send(()).unwrap();
    }

    /// Returns the state after the client has closed the connection.
    pub async fn end(self) -> Fake {
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap()
    }
}
