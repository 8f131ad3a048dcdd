//! File descriptors that clients pass to the machine.
#![cfg(unix)]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use qmp_server::Simulator;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

fn execute(client: &mut BufReader<UnixStream>, command: &str, file: Option<&File>) -> Value {
    let fds: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    }
    let bytes = [IoSlice::new(command.as_bytes())];
    sendmsg(client.get_ref(), &bytes, &mut control, SendFlags::empty()).unwrap();
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn descriptors_arrive_with_getfd_and_add_fd() {
    let file = File::open("/dev/null").unwrap();
    let mut client = BufReader::new(Simulator::new().connect().unwrap());
    let mut greeting = String::new();
    client.read_line(&mut greeting).unwrap();
    execute(&mut client, "{'execute': 'qmp_capabilities'}", None);
    let getfd = "{'execute': 'getfd', 'arguments': {'fdname': 'f'}}";
    assert_eq!(execute(&mut client, getfd, Some(&file)), json!({"return": {}}));
    assert_eq!(
        execute(&mut client, getfd, None)["error"]["desc"],
        "No file descriptor supplied via SCM_RIGHTS"
    );
    let add = "{'execute': 'add-fd', 'arguments': {'opaque': 'null'}}";
    let added = execute(&mut client, add, Some(&file));
    assert_eq!(added["return"]["fdset-id"], 0, "{added}");
    let sets = execute(&mut client, "{'execute': 'query-fdsets'}", None);
    assert_eq!(sets["return"][0]["fds"][0]["opaque"], "null", "{sets}");
}

/// A client, and files in a directory that is removed when this is dropped.
struct Desk {
    client: BufReader<UnixStream>,
    directory: PathBuf,
}

impl Desk {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("desk-{name}-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let mut client = BufReader::new(Simulator::new().connect().unwrap());
        client.read_line(&mut String::new()).unwrap();
        execute(&mut client, "{'execute': 'qmp_capabilities'}", None);
        Self { client, directory }
    }

    fn open(&self, name: &str, options: &OpenOptions) -> File {
        options.open(self.directory.join(name)).unwrap()
    }

    /// Executes a command, and returns its reply, without the events that come before it.
    fn ask(&mut self, command: &str, arguments: Value, file: Option<&File>) -> Value {
        let text = json!({"execute": command, "arguments": arguments}).to_string();
        let mut message = execute(&mut self.client, &text, file);
        while message.get("event").is_some() {
            let mut line = String::new();
            self.client.read_line(&mut line).unwrap();
            message = serde_json::from_str(&line).unwrap();
        }
        message
    }

    fn succeeds(&mut self, command: &str, arguments: Value, file: Option<&File>) -> Value {
        let reply = self.ask(command, arguments, file);
        assert!(reply.get("error").is_none(), "{command}: {reply}");
        reply["return"].clone()
    }

    fn fails(&mut self, command: &str, arguments: Value) -> String {
        let reply = self.ask(command, arguments, None);
        reply["error"]["desc"].as_str().unwrap_or_else(|| panic!("{command}: {reply}")).to_owned()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    options
}

/// Each command that names a descriptor uses it up, whether it can do something with it or not.
#[test]
fn a_named_descriptor_is_used_once() {
    let mut desk = Desk::new("once");
    let file = desk.open("file", &writing());
    let backend = json!({"type": "socket", "data": {"addr":
        {"type": "fd", "data": {"str": "f"}}}});
    let refusals = [
        ("netdev_add", json!({"type": "socket", "id": "n", "fd": "f"}), "can't get socket option"),
        ("netdev_add", json!({"type": "tap", "id": "n", "fd": "f"}), "Unable to query TUNGETIFF"),
        ("chardev-add", json!({"id": "c", "backend": backend}), "Failed to add chardev 'c': "),
        ("add_client", json!({"protocol": "vnc", "fdname": "f"}), "parameter @fdname must name"),
        ("migrate", json!({"uri": "fd:f"}), "fd: migration to a file is not supported"),
    ];
    for (command, arguments, error) in refusals {
        desk.succeeds("getfd", json!({"fdname": "f"}), Some(&file));
        let desc = desk.fails(command, arguments.clone());
        assert!(desc.starts_with(error), "{command}: {desc}");
        let desc = desk.fails(command, arguments);
        let missing = "File descriptor named 'f' has not been found";
        assert!(desc.ends_with(missing), "{command}: {desc}");
    }
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let socket = File::from(OwnedFd::from(ours));
    desk.succeeds("getfd", json!({"fdname": "f"}), Some(&socket));
    let netdev = |id: &str| json!({"type": "socket", "id": id, "fd": "f"});
    desk.succeeds("netdev_add", netdev("n1"), None);
    assert!(desk.fails("netdev_add", netdev("n2")).contains("has not been found"));
}

/// A set gives only descriptors that allow exactly the access that is needed.
#[test]
fn sets_of_descriptors_have_the_access_that_was_given() {
    let mut desk = Desk::new("access");
    let write_only = desk.open("picture", &writing());
    let read_only = desk.open("picture", OpenOptions::new().read(true));
    let screendump = json!({"filename": "/dev/fdset/3"});
    assert_eq!(desk.fails("screendump", screendump.clone()), "Failed to find fdset /dev/fdset/3");
    desk.succeeds("add-fd", json!({"fdset-id": 3}), Some(&read_only));
    let node = json!({"driver": "file", "node-name": "n", "filename": "/dev/fdset/3"});
    assert!(desk.fails("screendump", screendump.clone()).contains("matching flags=0x241"));
    assert!(desk.fails("blockdev-add", node).contains("matching flags=0x2"));
    desk.succeeds("add-fd", json!({"fdset-id": 3}), Some(&write_only));
    desk.succeeds("screendump", screendump, None);
    let picture = std::fs::read(desk.directory.join("picture")).unwrap();
    assert!(picture.starts_with(b"P6\n720 400\n255\n"), "{:?}", &picture[..20]);
}

/// A node keeps the descriptor that it was opened with.
#[test]
fn nodes_outlive_the_descriptors_of_their_set() {
    let mut desk = Desk::new("nodes");
    let mut both = writing();
    let image = desk.open("image", both.read(true));
    image.set_len(1 << 20).unwrap();
    desk.succeeds("add-fd", json!({"fdset-id": 1}), Some(&image));
    let node = json!({"driver": "file", "node-name": "n", "filename": "/dev/fdset/1"});
    desk.succeeds("blockdev-add", node, None);
    desk.succeeds("remove-fd", json!({"fdset-id": 1}), None);
    let sets = desk.succeeds("query-fdsets", json!({}), None);
    assert_eq!(sets, json!([{"fdset-id": 1, "fds": []}]));
    let create = json!({"driver": "qcow2", "file": "n", "size": 1 << 20});
    desk.succeeds("blockdev-create", json!({"job-id": "j", "options": create}), None);
    let written = std::fs::read(desk.directory.join("image")).unwrap();
    assert!(written.starts_with(b"QFI\xfb"), "{:?}", &written[..8]);
    desk.succeeds("blockdev-del", json!({"node-name": "n"}), None);
    assert_eq!(desk.succeeds("query-fdsets", json!({}), None), json!([]));
}

/// Dumps and migrations go to descriptors.
#[test]
fn state_goes_to_descriptors() {
    let mut desk = Desk::new("state");
    let dump = desk.open("dump", &writing());
    desk.succeeds("getfd", json!({"fdname": "d"}), Some(&dump));
    let command = json!({"paging": false, "protocol": "fd:d"});
    desk.succeeds("dump-guest-memory", command, None);
    let mut head = [0; 4];
    let written = desk.open("dump", OpenOptions::new().read(true));
    (&written).read_exact(&mut head).unwrap();
    assert_eq!((&head, written.metadata().unwrap().len()), (b"\x7fELF", 1 << 30));

    let (mut ours, theirs) = UnixStream::pair().unwrap();
    desk.succeeds("getfd", json!({"fdname": "m"}), Some(&File::from(OwnedFd::from(theirs))));
    desk.succeeds("migrate", json!({"uri": "fd:m"}), None);
    let status = desk.succeeds("query-migrate", json!({}), None);
    assert_eq!(status["status"], "completed");
    ours.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"QEVM");
}
