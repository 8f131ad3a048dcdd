//! Events, and out-of-band commands.

use qmp_server::Limits;
use qmp_vm::proxy::{Access, ProxyOptions};

use super::support::{Monitor, Raw, eventually};

fn event(name: &str) -> String {
    format!(
        r#"{{"timestamp": {{"seconds": 1, "microseconds": 2}}, "event": "{name}", "data": {{"z": 1.50, "a": 1}}}}"#
    )
}

#[test]
fn a_client_gets_the_events_that_it_wants() {
    let (monitor, proxy) = Monitor::new();
    let mut all = Raw::connect(&proxy, Access::new());
    let mut some = Raw::connect(&proxy, Access::new().events(|name| name.starts_with("JOB_")));
    let mut none = Raw::over(proxy.connect(Access::new()).unwrap());
    for name in ["STOP", "JOB_STATUS_CHANGE", "X_UNKNOWN"] {
        monitor.send(&event(name));
        assert_eq!(all.line(), event(name));
    }
    assert_eq!(some.line(), event("JOB_STATUS_CHANGE"));
    assert!(some.is_quiet());
    assert!(none.is_quiet(), "not negotiated");
}

/// A client that does not read gets disconnected; the others get every event.
#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let mut limits = Limits::default();
    limits.output_bytes = 256 << 10;
    let (monitor, proxy) = Monitor::with_proxy(ProxyOptions::new().limits(limits));
    let mut reader = Raw::connect(&proxy, Access::new());
    let _slow = Raw::connect(&proxy, Access::new());
    assert_eq!(proxy.counts().clients, 2);
    let mut events = 0;
    while proxy.counts().slow_clients == 0 {
        for _ in 0..100 {
            monitor.send(&event("STOP"));
        }
        for _ in 0..100 {
            assert_eq!(reader.line(), event("STOP"));
        }
        events += 100;
        assert!(events < 100_000, "the slow client is still connected");
    }
    eventually("the slow client is still counted", || proxy.counts().clients == 1);
    println!("disconnected after {events} unread events");
}

/// An out-of-band command passes those that wait, of this client and of others, where both sides have
/// enabled it.
#[test]
fn an_out_of_band_command_overtakes() {
    let (monitor, proxy) = Monitor::new();
    let mut oob = Raw::with_oob(&proxy);
    let mut others: Vec<_> = (0..20).map(|_| Raw::connect(&proxy, Access::new())).collect();
    oob.send(r#"{"execute": "slow", "id": "slow"}"#);
    let slow = monitor.command();
    others.iter().for_each(|client| client.send(r#"{"execute": "also-slow"}"#));
    let waiting: Vec<_> = (0..7).map(|_| monitor.command()).collect();
    assert!(monitor.is_quiet(), "more than eight are in flight");
    oob.send(r#"{"exec-oob": "migrate-pause", "id": "fast"}"#);
    let fast = monitor.command();
    assert!(fast.starts_with(r#"{"exec-oob":"migrate-pause""#), "{fast}");
    monitor.answer(&fast, "{}");
    assert_eq!(oob.line(), r#"{"return": {}, "id": "fast"}"#);
    monitor.answer(&slow, "1");
    assert_eq!(oob.line(), r#"{"return": 1, "id": "slow"}"#);
    waiting.iter().for_each(|command| monitor.answer(command, "2"));
    for _ in 0..13 {
        monitor.answer(&monitor.command(), "2");
    }
    for client in &mut others {
        assert_eq!(client.line(), r#"{"return": 2}"#);
    }
    let reply = others[0].ask(r#"{"exec-oob": "migrate-pause"}"#);
    assert!(reply.contains("'exec-oob' is unexpected"), "{reply}");
    // The proxy has not enabled it.
    let mut client = Raw::over(proxy.connect(Access::new()).unwrap());
    let reply =
        client.ask(r#"{"execute": "qmp_capabilities", "arguments": {"enable": ["later"]}}"#);
    assert!(reply.contains("error"), "{reply}");
}

/// The poller is told that a client is not to be read only if the client sends something during its
/// command, and that it is to be read again afterwards.
#[test]
fn a_client_that_sends_more_during_its_command_is_read_after_it() {
    let (monitor, proxy) = Monitor::new();
    let mut client = Raw::connect(&proxy, Access::new());
    client.send(r#"{"execute": "first"}"#);
    for number in 0..3 {
        let command = monitor.command();
        client.send(&format!(r#"{{"execute": "next-{number}"}}"#));
        assert!(monitor.is_quiet());
        monitor.answer(&command, &number.to_string());
        assert_eq!(client.line(), format!(r#"{{"return": {number}}}"#));
    }
    let last = monitor.command();
    assert!(last.contains("next-2"), "{last}");
    monitor.answer(&last, "3");
    assert_eq!(client.line(), r#"{"return": 3}"#);
}

/// One command of each client is on its way: a client with many waits for its own.
#[test]
fn clients_take_turns() {
    let (monitor, proxy) = Monitor::new();
    let flood = Raw::connect(&proxy, Access::new());
    flood.send(&r#"{"execute": "flood"}"#.repeat(1000));
    let mut pending = vec![monitor.command()];
    assert!(monitor.is_quiet());
    let mut polite = Raw::connect(&proxy, Access::new());
    for turn in 0..20 {
        polite.send(r#"{"execute": "polite"}"#);
        let mut before = 0;
        loop {
            let command = monitor.command();
            if command.contains("polite") {
                monitor.answer(&command, "{}");
                break;
            }
            before += 1;
            pending.push(command);
        }
        assert!(before <= 1, "{before} commands of the flood came before turn {turn}");
        assert_eq!(polite.line(), r#"{"return": {}}"#);
        if let Some(command) = pending.pop() {
            monitor.answer(&command, "{}");
        }
    }
}
