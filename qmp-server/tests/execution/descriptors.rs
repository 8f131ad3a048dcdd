//! File descriptors that arrive with commands.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use crate::vmm::Front;

/// Returns an unlinked file of the given size.
fn file(size: usize) -> File {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(format!("qmp-server-{process}-{count}"));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    std::fs::remove_file(&path).unwrap();
    file.as_mut().unwrap().write_all(&vec![0; size]).unwrap();
    file.unwrap()
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or_default()
}

const TAKE_ONE: &str = "{'execute': 'take-one', 'arguments': {'name': 'x'}}";
const TAKE_ALL: &str = "{'execute': 'take-all'}";

#[test]
fn descriptors_belong_to_the_command_that_asks_for_them() {
    let (one, two, three) = (file(1), file(2), file(3));
    for front in Front::all() {
        let server = front.server();
        let mut client = front.connect(&server).negotiated();
        let none = json!({"error": {"class": "GenericError", "desc": "no descriptor for x"}});
        // With their command.
        client.send_with(TAKE_ONE, &[&one]);
        assert_eq!(client.read(), json!({"return": 1}), "{}", front.name);
        // They are taken once.
        client.send(TAKE_ONE);
        assert_eq!(client.read(), none);
        // Several: `getfd` takes the first, and the others are closed.
        client.send_with(TAKE_ONE, &[&two, &one]);
        assert_eq!(client.read(), json!({"return": 2}));
        client.send(TAKE_ONE);
        assert_eq!(client.read(), none);
        client.send_with(TAKE_ALL, &[&three, &one, &two]);
        assert_eq!(client.read(), json!({"return": ["3", "1", "2"]}));
        // A command that does not ask for them leaves them to the next.
        client.send_with("{'execute': 'ping'}", &[&three]);
        assert_eq!(client.read(), json!({"return": {}}));
        client.send(TAKE_ONE);
        assert_eq!(client.read(), json!({"return": 3}));
        // Those that no command has taken are replaced.
        client.send_with("{'execute': 'ping'}", &[&three, &two]);
        assert_eq!(client.read(), json!({"return": {}}));
        client.send_with(TAKE_ALL, &[&one]);
        assert_eq!(client.read(), json!({"return": ["1"]}));
        // With the first byte, before the command is complete.
        client.send_with("{'execute': ", &[&two]);
        client.send("'take-one', 'arguments': {'name': 'x'}}");
        assert_eq!(client.read(), json!({"return": 2}));
    }
}

/// Commands that wait keep their descriptors, although others have arrived.
#[test]
fn descriptors_of_waiting_commands_are_not_replaced() {
    let (one, two) = (file(1), file(2));
    for front in Front::all() {
        let mut client = front.connect(&front.server()).with_oob();
        client.send("{'execute': 'sleep', 'arguments': {'ms': 100}}");
        client.send_with(TAKE_ONE, &[&one]);
        client.send_with(TAKE_ONE, &[&two]);
        client.send(TAKE_ONE);
        assert_eq!(client.read(), json!({"return": {}}));
        assert_eq!(client.read(), json!({"return": 1}), "{}", front.name);
        assert_eq!(client.read(), json!({"return": 2}), "{}", front.name);
        assert_eq!(client.read()["error"]["desc"], "no descriptor for x");
    }
}

#[test]
fn descriptors_that_no_command_takes_are_closed() {
    let file = file(1);
    for front in Front::all() {
        let mut client = front.connect(&front.server()).negotiated();
        client.time("ping");
        let before = open_descriptors();
        for _ in 0..100 {
            client.send_with("{'execute': 'ping'}", &[&file, &file]);
            assert_eq!(client.read(), json!({"return": {}}));
        }
        // Other tests of this process open files, too.
        let after = open_descriptors();
        assert!(after < before + 100, "{}: {before}, then {after}", front.name);
    }
}

#[test]
fn handlers_know_their_client() {
    for front in Front::all() {
        let server = front.server();
        let mut numbers = Vec::new();
        for _ in 0..2 {
            let mut client = front.connect(&server).negotiated();
            let reply = client.execute("who-am-i", "{}");
            numbers.push(reply["return"]["number"].as_u64().unwrap());
            #[cfg(target_os = "linux")]
            if front.name == "tokio" {
                assert_eq!(reply["return"]["process"], std::process::id());
            }
        }
        assert_ne!(numbers[0], numbers[1]);
    }
}
