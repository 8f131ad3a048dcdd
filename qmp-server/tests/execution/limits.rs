//! Limits over all clients.

use std::time::{Duration, Instant};

use qmp_server::{Budgets, CloseReason, Limits, Session};
use qmp_types::{Empty, Greeting, QmpError};
use serde_json::json;

use crate::vmm::{Front, server, server_with};

/// Each level of a message used to cost stack where it was read, written and dropped: 1,000 brackets
/// ended a process with stacks of 2 MiB.
#[test]
fn a_deep_message_needs_no_stack() {
    let deep = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    let objects = |count: usize| format!("{}1{}", "{'a':".repeat(count), "}".repeat(count));
    let work = move || {
        let connection = server().connect();
        connection.receive(b"{'execute': 'qmp_capabilities'}");
        for value in [deep(1000), objects(1000)] {
            for message in [
                format!("{{'execute': 'ping', 'id': {value}}}"),
                format!("{{'execute': 'ping', 'arguments': {{'a': {value}}}}}"),
                format!("{{'execute': 'ping', 'x': {value}}}"),
                format!("{{'execute': {value}}}"),
                format!("{{'a': {value}, 'a': {value}}}"),
                format!("[{value}, {value}]"),
                format!("[{value} {value}"),
                format!("[{value}, \u{1}"),
                "[".repeat(1000),
            ] {
                connection.receive(message.as_bytes());
                connection.receive(b"\xFF\n");
                assert!(connection.take_output().ends_with(b"}\r\n"), "{message}");
            }
        }
        connection.receive(format!("[{}", deep(1000)).as_bytes());
        drop(connection);
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(work);
    thread.unwrap().join().unwrap();
}

/// Arguments are decoded with recursion, which the stacks of the server's threads have to allow.
#[cfg(feature = "simulator")]
#[test]
fn the_deepest_arguments_fit_on_a_stack_of_two_mebibytes() {
    let work = || {
        let connection = qmp_server::Simulator::new().connection();
        connection.receive(b"{'execute': 'qmp_capabilities'}");
        drop(connection.take_output());
        // One level for the arguments.
        let nested = 47;
        let message = format!(
            "{{'execute': 'blockdev-add', 'arguments': {{'driver': 'qcow2', 'file': {}'x'{}}}}}",
            "{'driver': 'raw', 'file': ".repeat(nested),
            "}".repeat(nested)
        );
        connection.receive(message.as_bytes());
        String::from_utf8(connection.take_output()).unwrap()
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work);
    let reply = thread.unwrap().join().unwrap();
    assert!(reply.contains("return") || reply.contains("error"), "{reply}");
    assert!(!reply.contains("levels deep"), "{reply}");
}

/// Eight unfinished strings of 60 MiB used to cost 482 MiB.
#[test]
fn unfinished_messages_of_all_clients_share_a_budget() {
    let server = server();
    let hostile: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let mut peak = 0;
    for connection in &hostile {
        connection.receive(b"{'execute': 'qmp_capabilities'}");
        drop(connection.take_output());
        connection.receive(b"{'execute': '");
        for _ in 0..60 {
            connection.receive(&vec![b'x'; 1 << 20]);
            peak = peak.max(server.usage().input_bytes);
        }
    }
    println!("{} MiB of unfinished messages", peak >> 20);
    assert!((64 << 20..=96 << 20).contains(&peak), "{peak}");
    let rejected = hostile.iter().filter(|connection| connection.has_output()).count();
    assert_eq!(rejected, 7, "one fits");
    // An ordinary command of another client fits, too.
    let other = server.connect();
    other.receive(b"{'execute': 'qmp_capabilities'}");
    drop(other.take_output());
    other.receive(format!("{{'execute': 'ping', 'id': '{}'}}", "x".repeat(500_000)).as_bytes());
    assert!(other.take_output().starts_with(b"{\"return\": {}"));
    // Those that were rejected go on.
    for connection in hostile.iter().filter(|connection| connection.has_output()) {
        let output = String::from_utf8(connection.take_output()).unwrap();
        assert!(output.contains("limit on the memory for unfinished messages"), "{output}");
        connection.receive(b"'}{'execute': 'ping'}");
        assert_eq!(connection.take_output(), b"{\"return\": {}}\r\n");
    }
    drop(hostile);
    assert_eq!(server.usage().input_bytes, 0);
}

/// Commands that wait for their execution used to be counted without being limited.
#[test]
fn waiting_commands_of_all_clients_share_a_budget() {
    let mut limits = Limits::default();
    limits.total_input_bytes = 8 << 10;
    let budgets = Budgets::new(&limits);
    let session = || {
        let mut session = Session::sharing(&budgets, &Greeting::default(), limits.clone());
        session.receive(b"{\"execute\": \"qmp_capabilities\"}\r\n");
        assert!(session.next_request().is_none());
        drop(session.take_output());
        session
    };
    let mut sessions: Vec<Session> = (0..3).map(|_| session()).collect();
    // The first form is read by the fast path, the second one by the parser.
    for message in ["{\"execute\": \"ping\"}\r\n", "{'execute': 'ping'}"] {
        let mut requests = Vec::new();
        for session in &mut sessions {
            session.receive(message.as_bytes());
            requests.extend(session.next_request());
        }
        assert_eq!(requests.len(), 2, "{message}");
        let output = String::from_utf8(sessions[2].take_output()).unwrap();
        assert!(output.contains("limit on the memory for unfinished messages"), "{output}");
        // What is executed no longer counts.
        for (session, request) in sessions.iter_mut().zip(requests) {
            session.reply(request.ticket, &Ok::<_, QmpError>(Empty {}));
            drop(session.take_output());
        }
        let last = &mut sessions[2];
        last.receive(message.as_bytes());
        let request = last.next_request().expect("a command that fits");
        last.reply(request.ticket, &Ok::<_, QmpError>(Empty {}));
        assert_eq!(last.take_output(), b"{\"return\": {}}\r\n");
    }
}

#[test]
fn unread_output_of_all_clients_is_limited() {
    let mut limits = Limits::default();
    limits.total_output_bytes = 1 << 20;
    let server = server_with(limits);
    let idle: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for connection in &idle {
        connection.receive(b"{'execute': 'qmp_capabilities'}");
    }
    let busy = server.connect();
    busy.receive(b"{'execute': 'qmp_capabilities'}");
    let start = Instant::now();
    for number in 0..2000 {
        server.events().emit(&crate::vmm::Tick { number });
        drop(busy.take_output());
    }
    println!("{:?}, emitted in {:?}", server.usage(), start.elapsed());
    // Each may keep 64 KiB, even if all together have reached the limit.
    assert!(server.usage().output_bytes <= (1 << 20) + 20 * (64 << 10));
    busy.receive(b"{'execute': 'ping'}");
    assert_eq!(busy.take_output(), b"{\"return\": {}}\r\n");
    let overflowed = |connection: &&qmp_server::Connection<_>| {
        matches!(connection.closed(), Some(CloseReason::OutputOverflow(_)))
    };
    assert!(idle.iter().filter(overflowed).count() > 0);
}

#[test]
fn connections_are_limited() {
    let mut limits = Limits::default();
    limits.connections = 2;
    let server = server_with(limits);
    let clients = [server.connect(), server.connect()];
    let third = server.connect();
    assert_eq!(third.closed(), Some(CloseReason::ConnectionLimit));
    let text = third.closed().unwrap().to_string();
    assert_eq!(text, "the server accepts no further connections");
    assert_eq!((server.usage().connections, server.usage().rejected), (2, 1));
    drop(clients);
    assert_eq!(server.connect().closed(), None);
}

/// A client that goes away is noticed while its slow command is executed, and its place is free.
#[test]
fn clients_that_go_away_leave_nothing() {
    for front in Front::all() {
        let server = front.server();
        for _ in 0..20 {
            let mut client = front.connect(&server).negotiated();
            client.send("{'execute': 'sleep', 'arguments': {'ms': 100}} {'execute': 'ping'}");
        }
        let start = Instant::now();
        while server.usage().connections > 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", server.usage());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((server.usage().input_bytes, server.usage().output_bytes), (0, 0));
    }
}

#[test]
fn output_is_spread_over_lines_on_request() {
    let router = crate::vmm::router();
    let server = qmp_server::Server::builder(router).pretty(true);
    let server = server.build(crate::vmm::Vm::default()).unwrap();
    let connection = server.connect();
    connection.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'count', 'id': []}");
    let output = String::from_utf8(connection.take_output()).unwrap();
    assert!(output.starts_with("{\r\n    \"QMP\": {\r\n"), "{output}");
    assert!(
        output.ends_with("{\r\n    \"return\": 1,\r\n    \"id\": [\r\n    ]\r\n}\r\n"),
        "{output}"
    );
    let mut messages = serde_json::Deserializer::from_str(&output).into_iter();
    assert_eq!(messages.nth(2).unwrap().ok(), Some(json!({"return": 1, "id": []})));
}
