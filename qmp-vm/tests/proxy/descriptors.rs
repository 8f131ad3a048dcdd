//! File descriptors.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{AddFd, Closefd, Getfd, QueryFdsets, QueryStatus};
use qmp_client::socket::send_with_descriptors;
use qmp_client::transport::Unix;
use qmp_client::{ErrorClass, Options};
use qmp_server::Simulator;
use qmp_vm::proxy::{Access, Policy, Proxy, ProxyOptions};

use super::support::{Monitor, Raw, eventually};

fn client(proxy: &Proxy) -> Client {
    let stream = proxy.connect(Access::new()).unwrap();
    Client::over(Unix::from_stream(stream).unwrap(), &Options::new()).unwrap()
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

/// Sends a command with a descriptor.
fn send(client: &Raw, command: &str) {
    send_with_descriptors(&client.stream, command.as_bytes(), &[null()]).unwrap();
}

/// Checks a proxy on an upstream, in the same way for a simulated machine and for each QEMU.
fn pass(upstream: UnixStream) {
    let proxy = ProxyOptions::new().over(upstream).unwrap();
    let (first, second) = (client(&proxy), client(&proxy));
    let added = first.call(AddFd::new()).with_fd(null()).execute().unwrap();
    let sets = second.execute(QueryFdsets::new()).unwrap();
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0].fdset_id, added.fdset_id);
    second.call(Getfd::new("name")).with_fd(null()).execute().unwrap();
    first.execute(Closefd::new("name")).unwrap();

    // Without a descriptor, none of another client is taken, not even one that QEMU was sent with a
    // command that failed.
    let mut giver = Raw::connect(&proxy, Access::new());
    send(&giver, r#"{"execute": "getfd", "arguments": {"fdname": "0bad"}}"#);
    assert!(giver.line().contains("error"));
    send(&giver, r#"{"execute": "query-status"}"#);
    assert!(giver.line().contains("return"));
    for _ in 0..2 {
        let error = first.execute(Getfd::new("stolen")).unwrap_err();
        assert_eq!(error.class(), Some(&ErrorClass::GenericError));
        assert_eq!(error.server().unwrap().desc, "No file descriptor supplied via SCM_RIGHTS");
    }
    // QEMU takes one that arrived before its command, and so does the proxy.
    assert!(
        giver.ask(r#"{"execute": "getfd", "arguments": {"fdname": "own"}}"#).contains("return")
    );
    first.execute(Closefd::new("own")).unwrap();

    // A command that is denied takes its descriptor with it.
    let strict = Access::new().policy(Policy::everything().deny(["add-fd"]));
    let mut denied = Raw::connect(&proxy, strict);
    send(&denied, r#"{"execute": "add-fd"}"#);
    assert!(denied.line().contains("has been disabled"));
    let reply = denied.ask(r#"{"execute": "getfd", "arguments": {"fdname": "denied"}}"#);
    assert!(reply.contains("No file descriptor"), "{reply}");

    // What was added stays when its client goes.
    drop(first);
    assert_eq!(second.execute(QueryFdsets::new()).unwrap().len(), 1);
}

/// A client that dies before it is answered cannot know the number of its descriptor.
#[test]
fn what_a_client_cannot_have_known_of_is_removed() {
    let (monitor, proxy) = Monitor::new();
    for (command, value, undone) in [
        (
            r#"{"execute": "add-fd"}"#,
            r#"{"fdset-id": 7, "fd": 30}"#,
            r#"{"execute":"remove-fd","arguments":{"fdset-id": 7, "fd": 30},"#,
        ),
        (
            r#"{"execute": "getfd", "arguments": {"fdname": "a\"b"}}"#,
            "{}",
            r#"{"execute":"closefd","arguments":{"fdname": "a\"b"},"#,
        ),
    ] {
        let dying = Raw::connect(&proxy, Access::new());
        send(&dying, command);
        let added = monitor.command();
        drop(dying);
        eventually("the client is still connected", || proxy.counts().clients == 0);
        monitor.answer(&added, value);
        let undo = monitor.command();
        assert!(undo.starts_with(undone), "{undo}");
        monitor.answer(&undo, "{}");
    }
    // Of a client that has been answered, everything stays.
    let mut client = Raw::connect(&proxy, Access::new());
    send(&client, r#"{"execute": "add-fd"}"#);
    monitor.answer(&monitor.command(), r#"{"fdset-id": 8, "fd": 31}"#);
    assert!(client.line().contains("31"));
    drop(client);
    eventually("the client is still connected", || proxy.counts().clients == 0);
    assert!(monitor.is_quiet());
}

#[test]
fn descriptors_pass_to_a_simulated_machine() {
    pass(Simulator::new().connect().unwrap());
}

/// Nothing can be passed over TCP, which is said before the monitor is asked.
#[test]
fn a_proxy_on_tcp_says_that_it_cannot_pass_descriptors() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let simulator = Simulator::new();
    std::thread::spawn(move || simulator.server().serve_tcp(&listener));
    let proxy = Proxy::connect_to(&format!("tcp:{address}").parse().unwrap()).unwrap();
    let client = client(&proxy);
    let error = client.call(AddFd::new()).with_fd(null()).execute().unwrap_err();
    assert!(error.to_string().contains("cannot pass file descriptors"), "{error}");
    client.execute(QueryStatus::new()).unwrap();
}

/// The QEMUs that `QMP_TEST_QEMUS` names, or the one that is installed.
#[cfg_attr(not(qemu), ignore = "requires qemu-system-x86_64")]
#[test]
fn descriptors_pass_to_each_qemu() {
    let qemus = std::env::var("QMP_TEST_QEMUS").or_else(|_| std::env::var("QMP_TEST_QEMU"));
    let qemus = qemus.unwrap_or_else(|_| "qemu-system-x86_64".to_owned());
    for qemu in qemus.split([':', '\n']).filter(|qemu| !qemu.is_empty()) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let vm = std::process::Command::new(qemu)
            .args(["-M", "none", "-display", "none"])
            .args(["-chardev", "socket,id=m,fd=0", "-mon", "chardev=m,mode=control"])
            .stdin(OwnedFd::from(theirs))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let _vm = Vm(vm);
        pass(ours);
        println!("{qemu}: descriptors pass");
    }
}

/// A QEMU, which is killed on drop.
struct Vm(std::process::Child);

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
