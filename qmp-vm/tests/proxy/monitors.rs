//! Further monitors that clients open.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryStatus;
use qmp_client::socket::send_with_descriptors;
use qmp_client::transport::Unix;
use qmp_client::{Error, Misuse, Options};
use qmp_server::Limits;
use qmp_types::recording::Recorder;
use qmp_vm::Workflows;
use qmp_vm::proxy::{Access, OPEN_MONITOR, Policy, Proxy, ProxyOptions};

use super::support::{Monitor, PATIENCE, Raw, eventually};

fn client(proxy: &Proxy, access: Access) -> Client {
    let stream = proxy.connect(access).unwrap();
    Client::over(Unix::from_stream(stream).unwrap(), &Options::new()).unwrap()
}

/// Runs something while the test is the monitor.
fn meanwhile<T: Send>(run: impl FnOnce() -> T + Send, monitor: impl FnOnce()) -> T {
    std::thread::scope(|scope| {
        let running = scope.spawn(run);
        monitor();
        running.join().unwrap()
    })
}

fn has_none(monitor: &Monitor) {
    let asked = monitor.command();
    assert!(asked.contains("qom-list-types") && asked.contains("monitor-qmp"), "{asked}");
    monitor.answer(&asked, "[]");
}

/// QEMU is asked first, and the proxy serves the monitor if QEMU has none.
#[test]
fn a_client_opens_another() {
    let (monitor, proxy) = Monitor::new();
    let vm = client(&proxy, Access::new());
    let other = meanwhile(|| vm.open_monitor().unwrap(), || has_none(&monitor));
    assert_eq!(proxy.counts().clients, 2);
    let mut events = other.raw_events();
    monitor.send(r#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}"#);
    assert_eq!(&*events.next_within(PATIENCE).unwrap().unwrap().name, "STOP");
    let answer = || {
        let asked = monitor.command();
        monitor.answer(&asked, r#"{"status": "running", "running": true}"#);
    };
    meanwhile(|| other.execute(QueryStatus::new()).unwrap(), answer);
    drop(events);
    drop(other);
    eventually("the monitor is closed", || proxy.counts().clients == 1);
    meanwhile(|| vm.execute(QueryStatus::new()).unwrap(), answer);
}

/// A proxy that restricts or records its clients does so with all of their monitors: QEMU is not asked.
#[test]
fn restrictions_are_inherited() {
    let (monitor, proxy) = Monitor::new();
    let restricted = [
        Access::new().policy(Policy::read_only()),
        Access::new().policy(Policy::everything().deny(["quit"])),
        Access::new().events(|name| name != "STOP"),
        Access::new().calls_within(PATIENCE),
    ];
    for access in restricted {
        let vm = client(&proxy, access);
        let other = vm.open_monitor().unwrap();
        assert_eq!(other.greeting().capabilities, vm.greeting().capabilities);
    }
    for denied in [Policy::nothing(), Policy::everything().deny([OPEN_MONITOR])] {
        let vm = client(&proxy, Access::new().policy(denied.clone()));
        let open = || vm.open_monitor().unwrap_err();
        let asks = denied.allows("qom-list-types");
        let error = if asks { meanwhile(open, || has_none(&monitor)) } else { open() };
        assert!(matches!(error, Error::Misuse(Misuse::OneMonitor)), "{error:?}");
    }
    assert!(monitor.is_quiet());
    // The members are in any order, and the name is in any spelling.
    let mut raw = Raw::connect(&proxy, Access::new().calls_within(PATIENCE));
    let add =
        r#"{"execute": "object-add", "arguments": {"id": "m", "qom-type": "monitor\u002dqmp"}}"#;
    assert!(raw.ask(add).contains("denies it"));
    let mut free = Raw::connect(&proxy, Access::new());
    free.send(add);
    monitor.answer(&monitor.command(), "{}");
    assert!(free.line().contains("return"));
    let recorder = Recorder::new(std::io::sink(), "monitor");
    let (monitor, proxy) = Monitor::with_proxy(ProxyOptions::new().record(recorder));
    let mut recorded = Raw::connect(&proxy, Access::new());
    assert!(recorded.ask(add).contains("denies it"));
    assert!(monitor.is_quiet());
}

fn open(client: &mut Raw, passed: &[OwnedFd]) -> String {
    let command = format!(r#"{{"execute": "{OPEN_MONITOR}"}}"#);
    if passed.is_empty() {
        client.send(&command);
    } else {
        send_with_descriptors(client.stream.as_fd(), command.as_bytes(), passed).unwrap();
    }
    client.line()
}

/// A client may pass anything, nothing, or too much.
#[test]
fn odd_descriptors_do_no_harm() {
    let (monitor, proxy) = Monitor::new();
    let mut raw = Raw::connect(&proxy, Access::new());
    assert!(open(&mut raw, &[]).contains("not 0"));
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    assert!(open(&mut raw, &[null(), null()]).contains("not 2"));
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for odd in [null(), File::open(".").unwrap().into(), tcp.into()] {
        open(&mut raw, &[odd]);
        eventually("the proxy drops it", || proxy.counts().clients == 1);
    }
    // The proxy would talk to itself.
    let (one, other) = UnixStream::pair().unwrap();
    open(&mut raw, &[one.into()]);
    open(&mut raw, &[other.into()]);
    eventually("the proxy ends its conversation", || proxy.counts().clients == 1);
    let own = raw.stream.try_clone().unwrap();
    drop(open(&mut raw, &[own.into()]));
    eventually("the proxy ends its conversation", || proxy.counts().clients <= 1);
    assert!(proxy.ended().is_none() && monitor.is_quiet());
}

/// Both ends of a connection may be passed after each has been sent its negotiation: the proxy would
/// answer its own errors forever.
#[test]
fn a_negotiated_conversation_with_itself_ends() {
    let (monitor, proxy) = Monitor::new();
    let mut raw = Raw::connect(&proxy, Access::new().policy(Policy::read_only()));
    let (one, other) = UnixStream::pair().unwrap();
    for end in [&one, &other] {
        (&*end).write_all(br#"{"execute": "qmp_capabilities"}"#).unwrap();
    }
    assert!(open(&mut raw, &[one.into()]).contains("return"));
    assert!(open(&mut raw, &[other.into()]).contains("return"));
    eventually("the proxy ends its conversation", || proxy.counts().clients == 1);
    assert!(proxy.ended().is_none() && monitor.is_quiet());
}

#[test]
fn there_is_a_limit() {
    let mut limits = Limits::default();
    limits.connections = 2;
    let (_monitor, proxy) = Monitor::with_proxy(ProxyOptions::new().limits(limits));
    let access = || Access::new().calls_within(PATIENCE);
    let vm = client(&proxy, access());
    let other = vm.open_monitor().unwrap();
    let error = vm.open_monitor().unwrap_err();
    assert!(error.report().contains("as many clients as it may have"), "{}", error.report());
    drop(other);
    eventually("the monitor is closed", || proxy.counts().clients == 1);
    drop(vm.open_monitor().unwrap());
}

/// A proxy that is left to its clients ends with the last one, and not before.
#[test]
fn detached() {
    let (monitor, proxy) = Monitor::new();
    let vm = client(&proxy, Access::new().calls_within(PATIENCE));
    proxy.clone().detach();
    let watch = proxy.clone();
    drop(proxy);
    let other = vm.open_monitor().unwrap();
    drop(vm);
    let third = other.open_monitor().unwrap();
    drop(other);
    assert!(watch.ended().is_none());
    let answer = || monitor.answer(&monitor.command(), r#"{"status": "running", "running": true}"#);
    meanwhile(|| third.execute(QueryStatus::new()).unwrap(), answer);
    drop(third);
    eventually("the proxy ends", || watch.ended().is_some());
}
