//! The simulated virtual machine, as a client sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod block;
mod changes;
mod client;
mod clock;
mod descriptors;
mod devices;
mod drives;
mod dump;
mod graph;
mod human;
mod migration;
mod refusals;
mod run_state;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use qmp_server::Simulator;
use serde_json::{Value, json};

use crate::client::{Client, event};
use crate::support::lines;

#[test]
fn a_person_can_use_it_with_telnet() {
    let connection = Simulator::new().connection();
    let greeting = lines(&connection.take_output()).remove(0);
    assert_eq!(
        greeting,
        r#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": "simulated machine"}, "capabilities": ["oob"]}}"#
    );
    // Formatted as a person would type it, with the line ends of telnet.
    connection.receive(b"{ \"execute\": \"qmp_capabilities\" }\r\n");
    assert_eq!(lines(&connection.take_output()), [r#"{"return": {}}"#]);
    connection.receive(b"{ \"execute\": \"query-version\" }\r\n");
    assert_eq!(
        lines(&connection.take_output()),
        [
            r#"{"return": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": "simulated machine"}}"#
        ]
    );
    connection.receive(b"{ \"execute\": }\r\n");
    assert_eq!(
        lines(&connection.take_output()),
        [
            r#"{"error": {"class": "GenericError", "desc": "3:14: JSON parse error, expecting value"}}"#
        ]
    );
}

#[test]
fn every_query_succeeds() {
    let client = Client::new(&Simulator::new());
    let commands = client.query("query-commands");
    let names: Vec<&str> =
        commands.as_array().unwrap().iter().map(|info| info["name"].as_str().unwrap()).collect();
    assert!(names.len() > 50, "{names:?}");
    for name in names.iter().filter(|name| name.starts_with("query-")) {
        match *name {
            // QEMU refuses these on such a machine, too.
            "query-cpu-model-baseline"
            | "query-cpu-model-comparison"
            | "query-firmware-log"
            | "query-gic-capabilities"
            | "query-hv-balloon-status-report"
            | "query-rocker"
            | "query-s390x-cpu-polarization"
            | "query-sev-attestation-report"
            | "query-sev-capabilities"
            | "query-sev-launch-measure"
            | "query-sgx"
            | "query-sgx-capabilities"
            | "query-vm-generation-id" => {}
            "query-cpu-model-expansion" => {
                let model = json!({"type": "static", "model": {"name": "qemu64"}});
                assert!(client.execute(name, model)[0].get("return").is_some());
            }
            "query-stats" => {
                let replies = client.execute(name, json!({"target": "vm"}));
                assert!(replies[0].get("return").is_some());
            }
            name => drop(client.query(name)),
        }
    }
    for name in [
        "query-version",
        "query-commands",
        "query-status",
        "query-name",
        "query-uuid",
        "query-kvm",
        "query-cpus-fast",
        "query-memory-size-summary",
        "query-block",
        "query-blockstats",
        "query-named-block-nodes",
        "query-chardev",
        "query-pci",
        "query-mice",
        "query-vnc",
        "query-balloon",
        "query-migrate",
        "query-machines",
        "query-current-machine",
        "query-target",
        "query-jobs",
        "query-rx-filter",
        "query-iothreads",
        "query-hotpluggable-cpus",
        "query-qmp-schema",
        "query-fdsets",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn introspection_lists_exactly_the_simulated_commands() {
    let client = Client::new(&Simulator::new());
    let names = |infos: Value, wanted: fn(&Value) -> bool| {
        let infos = infos.as_array().unwrap().clone();
        let mut names: Vec<String> = infos
            .iter()
            .filter(|info| wanted(info))
            .map(|info| info["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let schema = client.query("query-qmp-schema");
    assert_eq!(
        names(schema.clone(), |info| info["meta-type"] == "command"),
        names(client.query("query-commands"), |_| true)
    );
    let events = names(schema, |info| info["meta-type"] == "event");
    assert!(events.contains(&"BALLOON_CHANGE".to_owned()), "{events:?}");
    assert!(!events.contains(&"COLO_EXIT".to_owned()), "{events:?}");
}

#[test]
fn all_objects_are_reachable_from_the_root() {
    let client = Client::new(&Simulator::new());
    let mut paths = vec!["/".to_owned()];
    let mut objects = 0;
    while let Some(path) = paths.pop() {
        let replies = client.execute("qom-list", json!({"path": path}));
        for property in replies[0]["return"].as_array().unwrap_or_else(|| panic!("{replies:?}")) {
            if property["type"].as_str().unwrap().starts_with("child<") {
                // Each is derived from the state, so it is there.
                paths.push(format!(
                    "{}/{}",
                    path.trim_end_matches('/'),
                    property["name"].as_str().unwrap()
                ));
            }
            let get = json!({"path": path, "property": property["name"]});
            assert!(client.execute("qom-get", get)[0].get("return").is_some());
        }
        objects += 1;
    }
    // The root, the machine, seven containers, CPUs, devices with three back ends, three objects
    // and a character device.
    assert_eq!(objects, 1 + 1 + 7 + 2 + 5 + 3 + 3 + 1);
    assert_eq!(
        client.error("qom-get", json!({"path": "/machine", "property": "x"})),
        "Property 'pc-i440fx-11.1-machine.x' not found"
    );
    assert_eq!(client.error("qom-list", json!({"path": "/nope"})), "Device '/nope' not found");
}

#[test]
fn some_human_monitor_commands_are_simulated() {
    let client = Client::new(&Simulator::builder().name("demo").build());
    for (line, text) in [
        ("info status", "VM status: running\r\n"),
        ("info name", "demo\r\n"),
        ("info kvm", "kvm support: disabled\r\n"),
        ("nope", "unknown command: 'nope'\r\n"),
        ("info nope", "unknown command: 'info nope'\r\n"),
        ("", ""),
    ] {
        let replies = client.execute("human-monitor-command", json!({"command-line": line}));
        assert_eq!(replies, [json!({"return": text})], "{line}");
    }
    let replies = client.execute("human-monitor-command", json!({"command-line": "stop"}));
    assert_eq!(replies, [event("STOP"), json!({"return": ""})]);
}
