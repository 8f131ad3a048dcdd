//! Writing to clients, and the delays that it must not cause.

use std::thread;
use std::time::{Duration, Instant};

use qmp_server::Limits;
use serde_json::{Value, json};

use crate::vmm::{Client, DEADLINE, Front, Tick, server_with};

/// More events than the buffers of a socket take.
const MANY: u32 = 5_000;

/// Waits for a state, which another thread brings about.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Events are written by the thread that emits them. If a monitor does not read, they wait for it, the
/// emitter goes on, and the others get all of them.
#[test]
fn a_monitor_that_stops_reading_does_not_hold_the_emitter() {
    for front in Front::all() {
        let server = front.server();
        let mut stalled = front.connect(&server).negotiated();
        let mut watcher = front.connect(&server).negotiated();
        let events = server.events();
        let watching = thread::spawn(move || {
            for number in 0..MANY {
                assert_eq!(watcher.read()["data"]["number"], number);
            }
        });
        (0..MANY).for_each(|number| events.emit(&Tick { number }));
        watching.join().unwrap();
        assert!(server.usage().output_bytes > 0, "{}: everything fits", front.name);
        // When it reads again, nothing is missing, and commands are executed.
        stalled.send("{'execute': 'count', 'id': 'late'}");
        for number in 0..MANY {
            assert_eq!(stalled.read()["data"]["number"], number, "{}", front.name);
        }
        assert_eq!(stalled.read()["id"], "late");
        assert_eq!(server.usage().output_bytes, 0);
    }
}

/// A reply and the events around it are written by a thread that does not serve the client.
#[test]
fn a_late_reply_keeps_its_place_between_events() {
    for front in Front::all() {
        let server = front.server();
        for oob in [false, true] {
            let client = front.connect(&server);
            let mut client = if oob { client.with_oob() } else { client.negotiated() };
            for round in 0..200 {
                let number = 2 * round;
                // The second command waits until the first one has been answered.
                client.send(&format!(
                    "{{'execute': 'announce', 'arguments': {{'number': {number}}}, 'id': {round}}} \
                     {{'execute': 'ping', 'id': 'p'}}"
                ));
                let mut messages: Vec<Value> = (0..4).map(|_| client.read()).collect();
                let ping = messages.iter().position(|message| message["id"] == "p").unwrap();
                assert_eq!(messages.remove(ping), json!({"return": {}, "id": "p"}));
                assert!(ping > 1, "the ping has overtaken: {messages:?}");
                assert_eq!(messages[0]["data"]["number"], number, "{} {messages:?}", front.name);
                assert_eq!(messages[1], json!({"return": {}, "id": round}));
                assert_eq!(messages[2]["data"]["number"], number + 1);
            }
        }
    }
}

/// A client whose output is blocked gets the rest while its own command is executed.
#[test]
fn blocked_output_is_sent_during_a_command() {
    for front in Front::all() {
        // In tasks, such a command would hold the client's own task.
        let command = if front.name == "threads" { "hold-machine" } else { "sleep" };
        let server = front.server();
        let mut client = front.connect(&server).negotiated();
        client.send(&format!("{{'execute': '{command}', 'arguments': {{'ms': 20000}}}}"));
        let events = server.events();
        (0..MANY).for_each(|number| events.emit(&Tick { number }));
        // The reply is not among them: the command takes longer, and the test does not wait for it.
        for number in 0..MANY {
            assert_eq!(client.read()["data"]["number"], number, "{}", front.name);
        }
    }
}

/// As many commands as there may be threads wait for the machine, and more. One thread is left, which
/// reads and answers what needs no handler.
#[test]
fn blocked_commands_leave_a_thread_for_the_others() {
    let front = &Front::all()[0];
    let server = front.server();
    let mut holder = front.connect(&server).negotiated();
    holder.send("{'execute': 'hold-machine', 'arguments': {'ms': 4000}, 'id': 'h'}");
    let mut waiting: Vec<Client> = (0..24).map(|_| front.connect(&server).negotiated()).collect();
    waiting.iter_mut().for_each(|client| client.send("{'execute': 'touch', 'id': 't'}"));
    // This client connects and negotiates while the others wait.
    let mut late = front.connect(&server).negotiated();
    late.send("{'execute': 'qmp_capabilities'}");
    assert_eq!(late.read()["error"]["class"], "CommandNotFound");
    holder.0.get_ref().set_nonblocking(true).unwrap();
    let mut byte = [0];
    let early = std::io::Read::read(&mut holder.0, &mut byte).unwrap_err();
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock, "the machine is free too early");
    holder.0.get_ref().set_nonblocking(false).unwrap();
    assert_eq!(holder.read()["id"], "h");
    for client in &mut waiting {
        assert_eq!(client.read(), json!({"return": {}, "id": "t"}));
    }
    // One that borrows the machine finds its lane free.
    assert!(late.execute("count", "{}")["return"].as_i64() > Some(24));
}

/// A thread that has executed several commands of a client waits for that client only, and does not
/// ask to be relieved while it executes one. If the command takes long, another thread notices.
#[test]
fn a_slow_command_after_many_quick_ones_can_be_overtaken() {
    for front in Front::all().into_iter().take(1) {
        let server = front.server();
        let mut client = front.connect(&server).with_oob();
        for round in 0..3 {
            for _ in 0..50 {
                client.time("count");
            }
            client.send("{'execute': 'hold-machine', 'arguments': {'ms': 1500}, 'id': 'h'}");
            client.send("{'exec-oob': 'abort', 'id': 'a'}");
            assert_eq!(client.read()["id"], "a", "round {round}");
            assert_eq!(client.read()["id"], "h", "round {round}");
        }
    }
}

/// Whichever way a client leaves, nothing of it stays.
#[test]
fn a_client_that_leaves_while_a_thread_stays_with_it_is_gone() {
    for front in Front::all() {
        let server = front.server();
        for _ in 0..20 {
            let mut client = front.connect(&server).negotiated();
            for _ in 0..10 {
                client.time("count");
            }
            drop(client);
        }
        wait_until("clients stay", || server.usage().connections == 0);
        // The end of the server reaches a client that a thread waits for.
        let mut client = front.connect(&server).negotiated();
        for _ in 0..10 {
            client.time("count");
        }
        server.end();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut client.0, &mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

/// The replies to messages that are not commands used to fill the room for output at once. They were
/// sent, but in a task nothing looked at the remaining messages.
#[test]
fn messages_after_a_full_output_are_answered() {
    const MESSAGES: usize = 2_000;
    for front in Front::all() {
        let mut limits = Limits::default();
        limits.output_bytes = 64 << 10;
        let server = server_with(limits);
        let mut client = front.connect(&server).negotiated();
        client.send(&"1 ".repeat(MESSAGES));
        client.send("{'execute': 'ping', 'id': 'last'}");
        for number in 0..MESSAGES {
            let reply = client.read();
            assert_eq!(reply["error"]["class"], "GenericError", "{} {number}", front.name);
        }
        assert_eq!(client.read(), json!({"return": {}, "id": "last"}), "{}", front.name);
    }
}

/// The events of a slow handler that fill the buffers of its own client's socket used to wait until it
/// was done.
#[test]
fn a_slow_handler_fills_the_socket_of_its_own_client() {
    use std::sync::{Mutex, mpsc};

    use qmp_server::{Context, Router, Server};

    use crate::vmm::Count;

    let (emitted, filled) = mpsc::channel();
    let (go_on, released) = mpsc::channel();
    let released = Mutex::new(released);
    let router = Router::new().unchecked().event::<Tick>().command(
        move |(): &mut (), _: Count, context: &mut Context| {
            let events = context.events();
            (0..MANY).for_each(|number| events.emit(&Tick { number }));
            emitted.send(()).unwrap();
            released.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            Ok(1)
        },
    );
    let server = Server::new(qmp_types::Version::default(), router, ()).unwrap();
    let mut client = Client::new(server.connect_unix().unwrap()).negotiated();
    client.send("{'execute': 'count'}");
    filled.recv_timeout(DEADLINE).unwrap();
    for number in 0..MANY {
        assert_eq!(client.read()["data"]["number"], number);
    }
    go_on.send(()).unwrap();
    assert_eq!(client.read(), json!({"return": 1}));
}
