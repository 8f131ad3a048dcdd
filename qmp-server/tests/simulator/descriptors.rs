//! File descriptors that clients pass to the machine.
#![cfg(unix)]

use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

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
