//! Serving over sockets, and how connections end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use qmp_server::{CloseReason, Limits};
use support::{NEGOTIATE, server, server_with};

const DEADLINE: Duration = Duration::from_secs(10);

/// A client that reads lines from a blocking stream.
struct Client<S>(BufReader<S>);

impl<S: Read> Client<S> {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Reads everything up to the end of the connection.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        // Reading may fail if the connection was reset.
        let _ = self.0.read_to_string(&mut rest);
        rest
    }
}

fn tcp(address: std::net::SocketAddr) -> Client<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    Client(BufReader::new(stream))
}

#[cfg(unix)]
fn unix(stream: UnixStream) -> Client<UnixStream> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    Client(BufReader::new(stream))
}

#[test]
fn several_clients_are_served_over_tcp_until_one_quits() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server();
    let serving = server.clone();
    let thread = thread::spawn(move || serving.serve_tcp(&listener));
    let (mut one, mut other) = (tcp(address), tcp(address));
    for client in [&mut one, &mut other] {
        assert!(client.line().starts_with(r#"{"QMP": "#));
        client.0.get_mut().write_all(NEGOTIATE).unwrap();
        assert_eq!(client.line(), r#"{"return": {}}"#);
    }
    one.0.get_mut().write_all(b"{'execute': 'emit', 'arguments': {'length': 3}}").unwrap();
    assert!(other.line().contains(r#""data": {"text": "xxx"}"#));
    other.0.get_mut().write_all(b"{'execute': 'quit', 'id': 'q'}").unwrap();
    thread.join().unwrap().unwrap();
    // All clients are served to the end before `serve_tcp` returns.
    assert_eq!(server.connection_count(), 0);
    assert_eq!(other.line(), r#"{"return": {}, "id": "q"}"#);
    assert_eq!(other.rest(), "");
    assert!(one.line().contains("EMITTED"));
    assert_eq!(one.rest(), "{\"return\": {}}\r\n");
}

#[cfg(unix)]
#[test]
fn serve_unix_returns_when_the_server_ends() {
    let directory = std::env::temp_dir().join(format!("qmp-server-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("qmp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = server();
    let serving = server.clone();
    let thread = thread::spawn(move || serving.serve_unix(&listener));
    let mut client = unix(UnixStream::connect(&path).unwrap());
    assert!(client.line().starts_with(r#"{"QMP": "#));
    server.end();
    assert_eq!(client.rest(), "");
    thread.join().unwrap().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

#[cfg(unix)]
#[test]
fn a_client_that_shuts_down_writing_still_gets_its_replies() {
    let mut stream = server().connect_unix().unwrap();
    stream.write_all(NEGOTIATE).unwrap();
    stream.write_all(b"{'execute': 'query-name', 'id': 1}").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let all = unix(stream).rest();
    assert!(all.ends_with("{\"return\": {}, \"id\": 1}\r\n"), "{all}");
}

#[cfg(unix)]
#[test]
fn a_client_that_never_reads_is_disconnected() {
    let mut limits = Limits::default();
    limits.output_bytes = 100_000;
    let server = server_with(limits);
    let (idle, end) = UnixStream::pair().unwrap();
    let (sender, reason) = mpsc::channel();
    let serving = server.clone();
    thread::spawn(move || sender.send(serving.serve(end).unwrap()).unwrap());
    (&idle).write_all(NEGOTIATE).unwrap();
    let busy = server.connect();
    busy.receive(NEGOTIATE);
    // The buffers of the socket fill up before the limit is reached.
    let start = Instant::now();
    let closed = loop {
        busy.receive(b"{'execute': 'emit', 'arguments': {'length': 10000}}");
        drop(busy.take_output());
        if let Ok(closed) = reason.try_recv() {
            break closed;
        }
        assert!(start.elapsed() < DEADLINE, "the client is still connected");
    };
    assert!(matches!(closed, CloseReason::OutputOverflow(_)), "{closed}");
    let text = closed.to_string();
    let bytes =
        text.strip_prefix("the client left ").and_then(|text| text.strip_suffix(" bytes unread"));
    assert!(bytes.unwrap().parse::<usize>().unwrap() >= 100_000, "{text}");
    assert_eq!(server.connection_count(), 1);
}

#[cfg(unix)]
#[test]
fn a_client_that_sends_without_reading_does_not_block_others() {
    let mut limits = Limits::default();
    limits.output_bytes = 50_000;
    let server = server_with(limits);
    let mut stalled = server.connect_unix().unwrap();
    stalled.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    stalled.write_all(NEGOTIATE).unwrap();
    let request = b"{'execute': 'query-name', 'id': 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'}\n";
    let mut sent = 0;
    while stalled.write_all(request).is_ok() {
        sent += 1;
        assert!(sent < 1_000_000, "the server does not stop reading");
    }
    let mut other = unix(server.connect_unix().unwrap());
    assert!(other.line().starts_with(r#"{"QMP": "#));
}

#[cfg(unix)]
#[test]
fn held_events_are_delivered_without_further_activity() {
    let server = server();
    let mut client = unix(server.connect_unix().unwrap());
    client.line();
    client.0.get_mut().write_all(NEGOTIATE).unwrap();
    client.line();
    let start = Instant::now();
    for text in ["first", "second", "third"] {
        server.with_machine(|(), context| {
            context.emit(&support::Watchdog { text: text.to_owned() });
        });
    }
    assert!(client.line().contains("first"));
    assert!(client.line().contains("third"));
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
}

#[cfg(unix)]
#[test]
fn connections_without_io_need_no_threads() {
    let server = server();
    let connections: Vec<_> = (0..10_000).map(|_| server.connect()).collect();
    for connection in &connections {
        connection.receive(NEGOTIATE);
        assert!(connection.take_output().ends_with(b"{\"return\": {}}\r\n"));
    }
    connections[0].receive(b"{'execute': 'emit', 'arguments': {'length': 1}}");
    assert!(connections.iter().all(|connection| connection.has_output()));
    drop(connections);
    assert_eq!(server.connection_count(), 0);
}
