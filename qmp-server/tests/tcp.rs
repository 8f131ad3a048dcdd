//! Serving over TCP, on any system. `.ci/without-unix` runs these tests as on one without Unix sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use qmp_server::{Context, MachineHandle, Reply, Router, Server};
use qmp_types::{Empty, Version};
use support::{MigratePause, NEGOTIATE, QueryName};

const DEADLINE: Duration = Duration::from_secs(10);

struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

/// Returns a server with a command `query-name` that is answered by another thread, and a client of it.
fn late(negotiation: &[u8]) -> (Server<()>, Client) {
    let router = Router::new()
        .unchecked()
        .deferred(|_: &MachineHandle<()>, _: QueryName, reply: Reply<QueryName>| {
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                reply.send(Ok(Empty {}));
            });
        })
        .command(|(): &mut (), _: MigratePause, _: &mut Context| {
            // More than threads have that only read or write.
            assert_eq!(std::hint::black_box([1_u8; 512 << 10])[0], 1);
            Ok(Empty {})
        });
    let server = Server::new(Version::default(), router, ()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut client = Client(BufReader::new(stream));
    server.spawn(listener.accept().unwrap().0).unwrap();
    client.line();
    client.send(negotiation);
    assert_eq!(client.line(), r#"{"return": {}}"#);
    (server, client)
}

/// Where one thread read and another one wrote, the latter also executed commands, with a smaller stack.
/// With out-of-band execution, more is read while commands wait.
#[test]
fn commands_that_have_waited_have_stack_enough() {
    const OUT_OF_BAND: &[u8] = b"{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}";
    for negotiation in [NEGOTIATE, OUT_OF_BAND] {
        let (_server, mut client) = late(negotiation);
        let commands = b"{'execute': 'query-name'} {'execute': 'migrate-pause'}";
        client.send(commands);
        for _ in 0..2 {
            assert_eq!(client.line(), r#"{"return": {}}"#);
        }
    }
}

/// A thread that waited for room did not learn that another one had processed the part of a command that
/// had arrived with the one before.
#[test]
fn the_rest_of_a_command_is_read_after_a_late_reply() {
    let (_server, mut client) = late(NEGOTIATE);
    for _ in 0..20 {
        client.send(b"{'execute': 'query-name'} {'exec");
        assert_eq!(client.line(), r#"{"return": {}}"#);
        client.send(b"ute': 'migrate-pause'}");
        assert_eq!(client.line(), r#"{"return": {}}"#);
    }
}
