//! `qmp info` and the servers that it must get along with.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use qmp_server::Simulator;
use serde_json::{Value, json};
use support::{Directory, QMP, VM_INFO, run};

/// Changes the reply to a command; `None` drops it.
type Change = fn(command: &str, reply: Value) -> Option<Value>;

/// Starts a server that relays to a simulated machine and changes the replies.
fn serve(path: &str, change: Change) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let simulator = Simulator::new();
        for client in listener.incoming().flatten() {
            let machine = simulator.connect().unwrap();
            std::thread::spawn(move || relay(client, machine, change));
        }
    });
}

/// Relays a command at a time.
fn relay(client: UnixStream, machine: UnixStream, change: Change) {
    let (mut to_client, mut to_machine) =
        (client.try_clone().unwrap(), machine.try_clone().unwrap());
    let mut replies = BufReader::new(machine).lines().map_while(Result::ok);
    let _ = writeln!(to_client, "{}", replies.next().unwrap());
    for line in BufReader::new(client).lines().map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).unwrap();
        let _ = writeln!(to_machine, "{line}");
        let mut messages =
            replies.by_ref().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let Some(reply) = messages.find(|message| message.get("event").is_none()) else { return };
        if let Some(reply) = change(command["execute"].as_str().unwrap(), reply) {
            let _ = writeln!(to_client, "{reply}");
        }
    }
}

fn names(problems: &Value) -> Vec<&str> {
    problems.as_array().unwrap().iter().map(|problem| problem["query"].as_str().unwrap()).collect()
}

/// One query that was not answered lost the whole report, and so did one odd reply.
#[test]
fn a_bad_reply_costs_its_section() {
    let directory = Directory::new();
    let path = directory.path("socket");
    serve(&path, |command, mut reply| {
        match command {
            "query-block" => return None,
            "query-chardev" => reply["return"] = json!([{"label": 5}]),
            "query-pci" => {
                let id = reply["id"].clone();
                reply = json!({"error": {"class": "GenericError", "desc": "not today"}, "id": id});
            }
            _ => {}
        }
        Some(reply)
    });
    let begin = Instant::now();
    // The other queries are answered by then.
    let ran = run(VM_INFO, &["--timeout", "5", "--json", &path]);
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    let json: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(names(&json["unanswered"]), ["query-block"]);
    assert_eq!(names(&json["undecodable"]), ["query-chardev"]);
    assert!(names(&json["refused"]).contains(&"query-pci"), "{json:#}");
    assert_eq!(json["block"], json!([]));
    assert_eq!(json["state"], "running");
    assert!(!json["cpus"].as_array().unwrap().is_empty());
    let text = run(VM_INFO, &["--timeout", "1", &path]).ok();
    for row in [
        "query-block    no reply   no reply within 1 s\n",
        "query-chardev  odd reply  ",
        "query-pci      refused    not today\n",
    ] {
        assert!(text.contains(row), "{row}: {text}");
    }
}

/// QEMU 0.12 has a version of another form, hardly any queries, and no name for its run state.
#[test]
fn a_server_of_2010() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve_2010(stream));
        }
    });
    let json: Value = serde_json::from_str(&run(VM_INFO, &["--json", &path]).ok()).unwrap();
    assert_eq!(json["version"], "0.12.50");
    assert_eq!((&json["name"], &json["state"]), (&"old".into(), &"running".into()));
    assert_eq!((&json["accelerator"], &json["target"]), (&Value::Null, &Value::Null));
    assert!(json["unsupported"].as_array().unwrap().contains(&"query-block".into()));
    let text = run(VM_INFO, &[&path]).ok();
    assert_eq!(text, "Name   old\nQEMU   0.12.50\nState  running\n");
}

fn serve_2010(mut stream: UnixStream) {
    let version = json!({"qemu": "0.12.50", "package": ""});
    let greeting = json!({"QMP": {"version": version, "capabilities": []}});
    let _ = writeln!(stream, "{greeting}");
    for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).unwrap();
        let name = command["execute"].as_str().unwrap();
        let result = match name {
            "qmp_capabilities" => json!({}),
            "query-name" => json!({"name": "old"}),
            "query-status" => json!({"running": true, "singlestep": false}),
            "query-version" => version.clone(),
            "query-commands" => json!([{"name": "query-name"}]),
            _ => Value::Null,
        };
        let mut reply = json!({"return": result, "id": command["id"]});
        if result.is_null() {
            let desc = format!("The command {name} has not been found");
            let error = json!({"class": "CommandNotFound", "desc": desc, "data": {"name": name}});
            reply = json!({"error": error, "id": command["id"]});
        }
        let _ = writeln!(stream, "{reply}");
    }
}

/// A program must not have to ask whether a section is there.
#[test]
fn the_json_has_every_section() {
    let directory = Directory::new();
    let path = directory.path("socket");
    // Nothing but the version is known.
    serve(&path, |command, reply| {
        let error = json!({"class": "CommandNotFound", "desc": "no"});
        let id = &reply["id"];
        Some(match command {
            "qmp_capabilities" => reply,
            _ => json!({"error": error, "id": id}),
        })
    });
    let nothing: Value = serde_json::from_str(&run(VM_INFO, &["--json", &path]).ok()).unwrap();
    let full: Value = serde_json::from_str(&run(VM_INFO, &["--json"]).ok()).unwrap();
    let members = |json: &Value| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&nothing), members(&full));
    for (name, section) in nothing.as_object().unwrap() {
        match &full[name] {
            Value::Array(_) => assert!(section.is_array(), "{name}: {section}"),
            _ => assert!(section.is_null() || section.is_string(), "{name}: {section}"),
        }
    }
    // What is documented is printed, and the other way round.
    let readme = include_str!("../README.md");
    for name in members(&full) {
        assert!(readme.contains(&format!("| `{name}` |")), "the README does not describe `{name}`");
    }
}

/// SPICE on a Unix socket has no port, and was left out.
#[test]
fn spice_on_a_unix_socket() {
    let directory = Directory::new();
    let path = directory.path("socket");
    serve(&path, |command, reply| {
        let spice = json!({"enabled": true, "host": "/run/spice.sock", "auth": "none",
            "migrated": false, "compiled-version": "0.15", "mouse-mode": "client", "channels": []});
        let id = &reply["id"];
        Some(match command {
            "query-spice" => json!({"return": spice, "id": id}),
            _ => reply,
        })
    });
    let text = run(VM_INFO, &[&path]).ok();
    assert!(
        text.contains("  spice  unix:/run/spice.sock  0 clients  authentication: none\n"),
        "{text}"
    );
}

#[test]
fn several_machines_are_reported_and_those_that_fail_are_named() {
    let directory = Directory::new();
    let (first, second) = (directory.path("first"), directory.path("second"));
    serve(&first, |_, reply| Some(reply));
    serve(&second, |_, reply| Some(reply));
    let both = run(VM_INFO, &[&first, &second]).ok();
    for path in [&first, &second] {
        assert!(both.contains(&format!("==> {path} <==\nName ")), "{both}");
    }
    let nowhere = directory.path("nowhere");
    let arguments = ["--timeout", "0.5", "--json", &first, &nowhere, &second];
    let ran = run(VM_INFO, &arguments);
    assert!(ran.err.contains(&format!("vm-info: {nowhere}: ")), "{ran:?}");
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.status, 1);
    let machines = json["machines"].as_array().unwrap();
    let addresses: Vec<_> = machines.iter().map(|machine| &machine["address"]).collect();
    assert_eq!(addresses, [&first, &nowhere, &second]);
    assert!(machines[0]["error"].is_null() && machines[0]["report"].is_object());
    assert!(machines[1]["error"].is_string() && machines[1]["report"].is_null());
    run(VM_INFO, &["--timeout", "0.1", &nowhere, &nowhere]).failed(3);
}

/// Each way of failing has an exit status of its own.
#[test]
fn the_exit_status_says_what_failed() {
    let directory = Directory::new();
    let silent = directory.path("silent");
    serve(&silent, |command, reply| (command == "qmp_capabilities").then_some(reply));
    run(VM_INFO, &["--timeout", "0.5", &silent]).failed(4);
    let refusing = directory.path("refusing");
    serve(&refusing, |command, reply| {
        let error = json!({"class": "GenericError", "desc": "no"});
        let id = &reply["id"];
        Some(if command == "query-pci" { json!({"error": error, "id": id}) } else { reply })
    });
    run(VM_INFO, &["--tree", "pci", &refusing]).failed(1);
    run(VM_INFO, &["--timeout", "0.1", "/no/such/socket"]).failed(3);
    run(VM_INFO, &["tcp:localhost"]).failed(2);
}

#[test]
fn trees_are_drawn() {
    let block = run(VM_INFO, &["--tree", "block"]).ok();
    let tree =
        "disk0-device  device\n└─ root: disk0  qcow2  8 GiB  disk.qcow2\n   └─ file: disk0-file  ";
    assert!(block.contains(tree), "{block}");
    let pci = run(VM_INFO, &["--tree", "pci"]).ok();
    assert!(pci.starts_with("bus 0\n├─ 00:00.0  8086:1237  Host bridge\n"), "{pci}");
    let qom = run(VM_INFO, &["--tree", "qom"]).ok();
    assert!(qom.contains("│     ├─ disk0-device  virtio-blk-pci"), "{qom}");
    let json: Value =
        serde_json::from_str(&run(VM_INFO, &["--tree", "pci", "--json"]).ok()).unwrap();
    assert_eq!(json[0]["children"][0]["name"], "00:00.0");
    run(VM_INFO, &["--tree", "cpus"]).failed(2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_screenshot_is_a_png() {
    let directory = Directory::new();
    let file = directory.path("screen.png");
    assert_eq!(run(QMP, &["info", "--screenshot", &file]).ok(), "");
    assert!(std::fs::read(&file).unwrap().starts_with(b"\x89PNG\r\n"));
    let err = run(QMP, &["info", "--screenshot", &directory.path("no/such.png")]).failed(1);
    assert!(err.contains("no/such.png"), "{err}");
}

/// A sample of the text format: its name, its labels, and its value.
type Sample = (String, Vec<(String, String)>, f64);

/// Reads the text format strictly, as the format's specification describes it.
fn parse_metrics(text: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut types: HashMap<&str, &str> = HashMap::new();
    let mut seen = HashSet::new();
    let mut current = "";
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split_once(' ').unwrap().0;
            assert!(!types.contains_key(current), "{current} is not in one piece");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(name == current && matches!(kind, "gauge" | "counter"), "{line}");
            types.insert(name, kind);
        } else {
            let (name, rest) = line.split_once('{').unwrap();
            assert!(name == current && types.contains_key(name), "{line}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
            assert_eq!(name.ends_with("_total"), types[name] == "counter", "{line}");
            let (labels, rest) = parse_labels(rest);
            let value = rest.strip_prefix(' ').unwrap().parse().unwrap();
            assert!(seen.insert((name.to_owned(), labels.clone())), "{line} is not unique");
            samples.push((name.to_owned(), labels, value));
        }
    }
    samples
}

/// Reads labels up to the closing brace, and returns what follows.
fn parse_labels(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    escaped @ ('"' | '\\') => escaped,
                    other => panic!("invalid escape: \\{other}"),
                }),
                (_, character) => value.push(character),
            }
        };
        assert!(labels.iter().all(|(other, _)| other != name), "{name} is there twice");
        labels.push((name.to_owned(), value));
        rest = &after[end..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return (labels, rest.strip_prefix('}').unwrap()),
        }
    }
}

#[test]
fn metrics_follow_the_format() {
    let directory = Directory::new();
    let path = directory.path("socket");
    serve(&path, |command, mut reply| {
        if command == "query-name" {
            reply["return"]["name"] = "a \"quoted\" \\ name\nqmp_up{} 7\u{1b}[2J".into();
        }
        Some(reply)
    });
    let nowhere = directory.path("nowhere");
    let ran = run(VM_INFO, &["--metrics", "--timeout", "0.5", &path, &nowhere]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let samples = parse_metrics(&ran.out);
    let up = |address: &str| {
        let labels = vec![("address".to_owned(), address.to_owned())];
        samples.iter().find(|(name, own, _)| name == "qmp_up" && *own == labels).unwrap().2
    };
    assert_eq!((up(&path), up(&nowhere)), (1.0, 0.0));
    let info = samples.iter().find(|sample| sample.0 == "qmp_info").unwrap();
    let name = info.1.iter().find(|label| label.0 == "name").unwrap();
    assert_eq!(name.1, "a \"quoted\" \\ name\nqmp_up{} 7\\u{1b}[2J");
    assert!(samples.iter().any(|sample| sample.0 == "qmp_block_read_bytes_total"));
    // The documentation has a row for each.
    let documented = include_str!("../src/report/metrics.rs");
    for (name, ..) in &samples {
        assert!(documented.contains(&format!("//! | `{name}` |")), "{name}");
    }
}
