//! Clients and monitors that go, hang, or never were.

use std::time::{Duration, Instant};

use qmp_client::Error;
use qmp_server::SocketFile;
use qmp_vm::proxy::{Access, Proxy, ProxyEnd, ProxyOptions};

use super::support::{Monitor, PATIENCE, Raw, eventually};

/// The reply to a client that has gone is never that of another client.
#[test]
fn a_client_that_dies_in_mid_command_harms_nobody() {
    let (monitor, proxy) = Monitor::new();
    let mut other = Raw::connect(&proxy, Access::new());
    for round in 0..20 {
        let dying = Raw::connect(&proxy, Access::new());
        dying.send(r#"{"execute": "dying", "id": 1}"#);
        let dead = monitor.command();
        dying.send(r#"{"execute": "never-sent"}{"execute": "half"#);
        drop(dying);
        eventually("the client is still connected", || proxy.counts().clients == 1);
        other.send(r#"{"execute": "alive", "id": 1}"#);
        let alive = monitor.command();
        assert!(alive.contains("alive"), "{alive}");
        monitor.answer(&dead, "\"dead\"");
        monitor.answer(&alive, &round.to_string());
        assert_eq!(other.line(), format!(r#"{{"return": {round}, "id": 1}}"#));
    }
}

/// A script that closes its sending side waits for its replies.
#[test]
fn a_client_that_only_sends_no_more_gets_its_replies() {
    let (monitor, proxy) = Monitor::new();
    let mut client = Raw::connect(&proxy, Access::new());
    client.send(r#"{"execute": "a"}{"execute": "b"}"#);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    monitor.answer(&monitor.command(), "1");
    monitor.answer(&monitor.command(), "2");
    assert_eq!(
        [client.line(), client.line(), client.line()],
        [r#"{"return": 1}"#, r#"{"return": 2}"#, ""]
    );
}

/// When QEMU dies, each client learns whether its command may have been executed.
#[test]
fn commands_get_an_honest_end_when_the_monitor_ends() {
    let (monitor, proxy) = Monitor::new();
    let mut clients: Vec<_> = (0..10).map(|_| Raw::connect(&proxy, Access::new())).collect();
    clients.iter().for_each(|client| client.send(r#"{"execute": "blockdev-add", "id": 1}"#));
    for _ in 0..8 {
        monitor.command();
    }
    assert!(monitor.is_quiet());
    monitor.close();
    let replies: Vec<_> = clients.iter_mut().map(Raw::line).collect();
    let executed = replies.iter().filter(|reply| reply.contains("may have been executed")).count();
    let not = replies.iter().filter(|reply| reply.contains("has not been executed")).count();
    assert_eq!((executed, not), (8, 2), "{replies:#?}");
    assert!(replies.iter().all(|reply| reply.starts_with(r#"{"id": 1, "error": {"class": "Gen"#)));
    assert!(clients.iter_mut().all(|client| client.line().is_empty()), "disconnected");
    assert!(matches!(proxy.wait(), ProxyEnd::Upstream(_)));
    assert!(proxy.connect(Access::new()).is_err());
}

#[test]
fn quit_is_answered_before_the_end() {
    let (monitor, proxy) = Monitor::new();
    let mut client = Raw::connect(&proxy, Access::new());
    client.send(r#"{"execute": "quit"}"#);
    monitor.answer(&monitor.command(), "{}");
    monitor.close();
    assert_eq!([client.line(), client.line()], [r#"{"return": {}}"#, ""]);
    assert!(matches!(proxy.wait(), ProxyEnd::Quit));
}

/// A monitor that answers nothing: the deadline of each client says so, and late replies are dropped.
#[test]
fn deadlines_speak_where_the_monitor_is_silent() {
    let (monitor, proxy) = Monitor::new();
    let access = Access::new().calls_within(Duration::from_millis(100));
    let mut impatient = Raw::connect(&proxy, access);
    let mut patient = Raw::connect(&proxy, Access::new());
    patient.send(r#"{"execute": "patient"}"#);
    let kept = monitor.command();
    let began = Instant::now();
    let reply = impatient.ask(r#"{"execute": "query-block", "id": 1}"#);
    let desc = "the proxy failed: timed out after 100 ms waiting for the reply to `query-block`; \
                it may still be executed";
    assert!(reply.contains(desc), "{reply}");
    assert!(began.elapsed() >= Duration::from_millis(100));
    let late = monitor.command();
    monitor.answer(&late, "\"late\"");
    impatient.send(r#"{"execute": "query-name", "id": 2}"#);
    monitor.answer(&monitor.command(), "{}");
    assert_eq!(impatient.line(), r#"{"return": {}, "id": 2}"#);
    monitor.answer(&kept, "1");
    assert_eq!(patient.line(), r#"{"return": 1}"#);
}

/// The end of the last handle ends the thread, the clients and the socket file.
#[test]
fn nothing_is_left_when_a_proxy_is_stopped() {
    let path = std::env::temp_dir().join(format!("qmp-proxy-stop-{}", std::process::id()));
    for is_dropped in [false, true] {
        let (monitor, proxy) = Monitor::new();
        proxy.listen(SocketFile::bind(&path, 0o600).unwrap(), Access::new()).unwrap();
        let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let mut client = Raw::over(stream);
        client.ask(r#"{"execute": "qmp_capabilities"}"#);
        client.send(r#"{"execute": "slow"}"#);
        monitor.command();
        if is_dropped {
            drop(proxy);
        } else {
            proxy.stop();
            assert!(matches!(proxy.wait(), ProxyEnd::Stopped));
            assert!(!path.exists());
        }
        let reply = client.line();
        assert!(reply.contains("may have been executed"), "{reply}");
        assert_eq!(client.line(), "");
        eventually("the socket file is left", || !path.exists());
    }
}

/// A function that panics on the thread ends the proxy, and does not leave clients waiting.
#[test]
fn a_filter_that_panics_ends_the_proxy() {
    let (monitor, proxy) = Monitor::new();
    let mut client = Raw::connect(&proxy, Access::new().events(|_| panic!("on purpose")));
    monitor.send(r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#);
    assert_eq!(client.line(), "");
    assert!(matches!(proxy.wait(), ProxyEnd::Panicked));
}

#[test]
fn what_is_not_a_monitor_is_refused() {
    let nowhere = Proxy::connect_to(&"unix:/nonexistent/vm.sock".parse().unwrap()).unwrap_err();
    assert!(nowhere.to_string().contains("cannot connect to unix:/nonexistent/vm.sock"));
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let options = ProxyOptions::new().greeting_within(Duration::from_millis(50));
    assert!(matches!(options.over(theirs), Err(Error::Timeout(_))));
    drop(ours);
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut &ours, b"QEMU 9.1.50 monitor - type 'help'\r\n(qemu) ").unwrap();
    let error = ProxyOptions::new().greeting_within(PATIENCE).over(theirs).unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error}");
}
