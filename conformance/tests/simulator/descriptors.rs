//! Asks what can be done with descriptors of each kind.

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use conformance::Scratch;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use crate::machines::{Answer, Client, prepare, qemu_img, same_release};

/// The kinds of descriptors, with the other end of those that have one.
fn kinds(scratch: &Scratch) -> Vec<(&'static str, File, Option<File>)> {
    let path = scratch.file("zero");
    let open = |options: &mut OpenOptions| options.open(&path).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    vec![
        ("to read", open(OpenOptions::new().read(true)), None),
        ("to write", open(OpenOptions::new().write(true)), None),
        ("to read and write", open(OpenOptions::new().read(true).write(true)), None),
        ("device", null, None),
        ("socket", File::from(OwnedFd::from(ours)), Some(File::from(OwnedFd::from(theirs)))),
    ]
}

/// Commands that use a descriptor by its name `f`. Each is asked twice, because the first time uses
/// up the descriptor.
fn by_name() -> Vec<Value> {
    let command = |name: &str, arguments: Value| json!({"execute": name, "arguments": arguments});
    let address = json!({"type": "fd", "data": {"str": "f"}});
    let chardev = |mut data: Value| {
        data["addr"] = address.clone();
        json!({"id": "c", "backend": {"type": "socket", "data": data}})
    };
    vec![
        command("netdev_add", json!({"type": "socket", "id": "n", "fd": "f"})),
        command("netdev_add", json!({"type": "tap", "id": "n", "fd": "f"})),
        command("netdev_add", json!({"type": "tap", "id": "n", "fds": "f:g"})),
        command("netdev_add", json!({"type": "tap", "id": "n", "fd": "f", "vhostfd": "g"})),
        command("chardev-add", chardev(json!({"server": false}))),
        command("chardev-add", chardev(json!({"server": false, "wait": false}))),
        command("chardev-add", chardev(json!({"server": true, "wait": false}))),
        command("nbd-server-start", json!({"addr": address})),
        command("add_client", json!({"protocol": "vnc", "fdname": "f"})),
        command("closefd", json!({"fdname": "f"})),
    ]
}

/// Commands that use a descriptor by the path of its set.
fn by_path() -> Vec<Value> {
    let command = |name: &str, arguments: Value| json!({"execute": name, "arguments": arguments});
    let node = |driver: &str, options: Value| {
        let mut node = json!({"driver": driver, "node-name": "n", "filename": "/dev/fdset/1"});
        node.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        command("blockdev-add", node)
    };
    vec![
        node("file", json!({})),
        node("file", json!({"read-only": true})),
        node("file", json!({"auto-read-only": true})),
        command("screendump", json!({"filename": "/dev/fdset/1"})),
        command("pmemsave", json!({"val": 0, "size": 4096, "filename": "/dev/fdset/1"})),
        command("remove-fd", json!({"fdset-id": 1})),
    ]
}

/// Replaces the number of a descriptor, which depends on the process.
fn without_number(mut answer: Answer) -> Answer {
    if let Some((_, desc)) = &mut answer.error {
        if let Some((begin, rest)) = desc.clone().split_once(" FD ") {
            *desc = format!("{begin} FD{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
    }
    answer
}

fn send(client: &mut Client, command: &Value, file: &File) {
    let fds = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let text = command.to_string();
    let bytes = [IoSlice::new(text.as_bytes())];
    sendmsg(client.stream.get_ref(), &bytes, &mut control, SendFlags::empty()).unwrap();
    let reply = client.receive(&mut Vec::new()).unwrap();
    assert!(reply.get("error").is_none(), "{reply}");
}

/// Returns the answers, each with its question.
fn answers(mut client: Client, scratch: &Scratch) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    let mut ask = |client: &mut Client, kind: &str, question: &Value| {
        let answer = without_number(client.ask(question, false).unwrap());
        answers.push((format!("{kind}: {question}"), answer));
    };
    let getfd = |name: &str| json!({"execute": "getfd", "arguments": {"fdname": name}});
    let add = json!({"execute": "add-fd", "arguments": {"fdset-id": 1}});
    let cleanup = [
        json!({"execute": "netdev_del", "arguments": {"id": "n"}}),
        json!({"execute": "chardev-remove", "arguments": {"id": "c"}}),
        json!({"execute": "nbd-server-stop"}),
        json!({"execute": "closefd", "arguments": {"fdname": "g"}}),
        json!({"execute": "blockdev-del", "arguments": {"node-name": "n"}}),
        json!({"execute": "remove-fd", "arguments": {"fdset-id": 1}}),
    ];
    for (kind, file, _other) in kinds(scratch) {
        for question in by_name() {
            send(&mut client, &getfd("f"), &file);
            send(&mut client, &getfd("g"), &file);
            let questions = [&question, &question].into_iter().chain(&cleanup);
            questions.for_each(|question| ask(&mut client, kind, question));
        }
        for question in by_path() {
            send(&mut client, &add, &file);
            let questions = [&question].into_iter().chain(&cleanup);
            questions.for_each(|question| ask(&mut client, kind, question));
        }
    }
    answers
}

/// Whether a descriptor is a file, a socket or a device, what it allows, and whether it has been used.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn descriptors_are_used_as_qemu_uses_them() {
    let Some(qemu) = same_release() else {
        println!("the QEMU that the simulated machine stands for is not installed");
        return;
    };
    let scratch = Scratch::new();
    prepare(&scratch, &qemu_img(&qemu));
    let expected = answers(Client::of_qemu(&qemu, &scratch), &scratch);
    let got = answers(Client::of_simulator(), &scratch);
    assert_eq!(expected.len(), got.len());
    println!("{} questions", expected.len());
    let pairs = expected.iter().zip(&got).filter(|(expected, got)| expected != got);
    let differences: Vec<String> = pairs
        .map(|((question, expected), (_, got))| {
            format!("{question}\n  QEMU:      {expected:?}\n  simulated: {got:?}")
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
