//! The simulated machine, as a client sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use qmp_server::{Connection, Machine, Simulator};
use qmp_types::qmp::types::RunState;
use serde_json::{Value, json};
use support::{NEGOTIATE, lines};

/// A client that has negotiated.
struct Client(Connection<Machine>);

impl Client {
    fn new(simulator: &Simulator) -> Self {
        let connection = simulator.connection();
        connection.receive(NEGOTIATE);
        drop(connection.take_output());
        Self(connection)
    }

    /// Everything that there is to read.
    fn read(&self) -> Vec<Value> {
        let lines = lines(&self.0.take_output());
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Executes a command, and tells what came: events by name and data, the reply.
    fn execute(&self, command: &str, arguments: Value) -> Vec<Value> {
        let message = json!({"execute": command, "arguments": arguments});
        self.0.receive(message.to_string().as_bytes());
        self.read().into_iter().map(without_time).collect()
    }

    fn query(&self, command: &str) -> Value {
        let replies = self.execute(command, json!({}));
        assert_eq!(replies.len(), 1, "{command}: {replies:?}");
        replies[0].get("return").unwrap_or_else(|| panic!("{command}: {}", replies[0])).clone()
    }

    fn error(&self, command: &str, arguments: Value) -> String {
        let replies = self.execute(command, arguments);
        replies[0]["error"]["desc"].as_str().unwrap_or_else(|| panic!("{replies:?}")).to_owned()
    }
}

fn without_time(mut message: Value) -> Value {
    if let Some(time) = message.as_object_mut().unwrap().remove("timestamp") {
        assert!(time["seconds"].as_i64().unwrap() > 1_700_000_000, "{time}");
    }
    message
}

fn done() -> Value {
    json!({"return": {}})
}

fn event(name: &str) -> Value {
    json!({"event": name})
}

fn event_with(name: &str, data: Value) -> Value {
    json!({"event": name, "data": data})
}

#[test]
fn by_hand_it_is_used_as_qmp_ever_was() {
    let connection = Simulator::new().connection();
    let greeting = lines(&connection.take_output()).remove(0);
    assert_eq!(
        greeting,
        r#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": "simulated machine"}, "capabilities": ["oob"]}}"#
    );
    // As a telnet client sends it.
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
fn every_query_is_answered() {
    let client = Client::new(&Simulator::new());
    let commands = client.query("query-commands");
    let names: Vec<&str> =
        commands.as_array().unwrap().iter().map(|info| info["name"].as_str().unwrap()).collect();
    assert!(names.len() > 50, "{names:?}");
    for name in names.iter().filter(|name| name.starts_with("query-")) {
        client.query(name);
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
fn introspection_lists_what_is_handled_and_nothing_else() {
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
    assert!(!events.contains(&"MIGRATION".to_owned()), "{events:?}");
}

#[test]
fn it_stops_and_goes_on() {
    let client = Client::new(&Simulator::new());
    assert_eq!(client.execute("stop", json!({})), [event("STOP"), done()]);
    assert_eq!(client.query("query-status"), json!({"running": false, "status": "paused"}));
    // Nothing happens, so nothing is told.
    assert_eq!(client.execute("stop", json!({})), [done()]);
    assert_eq!(client.execute("cont", json!({})), [event("RESUME"), done()]);
    assert_eq!(client.execute("cont", json!({})), [done()]);
    let reset = json!({"guest": false, "reason": "host-qmp-system-reset"});
    let replies = client.execute("system_reset", json!({}));
    assert_eq!(replies, [event_with("RESET", reset), done()]);
    assert_eq!(
        client.error("system_wakeup", json!({})),
        "Unable to wake up: guest is not in suspended state"
    );
}

#[test]
fn the_power_button_ends_a_guest_that_obeys() {
    let simulator = Simulator::new();
    let client = Client::new(&simulator);
    let shutdown = event_with("SHUTDOWN", json!({"guest": true, "reason": "guest-shutdown"}));
    let replies = client.execute("system_powerdown", json!({}));
    assert_eq!(replies, [event("POWERDOWN"), done(), shutdown.clone()]);
    assert!(simulator.server().has_ended() && client.0.closed().is_some());

    let simulator = Simulator::builder().guest_obeys_powerdown(false).build();
    let client = Client::new(&simulator);
    let replies = client.execute("system_powerdown", json!({}));
    assert_eq!(replies, [event("POWERDOWN"), done()]);
    assert_eq!(simulator.run_state(), RunState::Running);

    let simulator = Simulator::builder().stays_after_shutdown(true).build();
    let client = Client::new(&simulator);
    let replies = client.execute("system_powerdown", json!({}));
    assert_eq!(replies, [event("POWERDOWN"), done(), shutdown, event("STOP")]);
    assert_eq!(simulator.run_state(), RunState::Shutdown);
    assert_eq!(client.error("cont", json!({})), "Resetting the Virtual Machine is required");
    assert_eq!(client.execute("system_reset", json!({})).len(), 2);
    assert_eq!(client.execute("cont", json!({})), [event("RESUME"), done()]);
}

#[test]
fn quit_ends_it_for_everybody() {
    let simulator = Simulator::new();
    let (client, other) = (Client::new(&simulator), Client::new(&simulator));
    let shutdown = event_with("SHUTDOWN", json!({"guest": false, "reason": "host-qmp-quit"}));
    assert_eq!(client.execute("quit", json!({})), [shutdown.clone(), done()]);
    assert_eq!(other.read().into_iter().map(without_time).collect::<Vec<_>>(), [shutdown]);
    assert!(client.0.closed().is_some() && other.0.closed().is_some());
}

#[test]
fn the_watchdog_does_what_was_set() {
    for (action, state, events) in [
        ("pause", RunState::Watchdog, ["WATCHDOG", "STOP"].as_slice()),
        ("none", RunState::Running, &["WATCHDOG"]),
        ("reset", RunState::Running, &["WATCHDOG", "RESET"]),
        ("shutdown", RunState::Running, &["WATCHDOG", "POWERDOWN", "SHUTDOWN"]),
        ("poweroff", RunState::Running, &["WATCHDOG"]),
    ] {
        let simulator = Simulator::new();
        let client = Client::new(&simulator);
        client.execute("watchdog-set-action", json!({"action": action}));
        simulator.fire_watchdog();
        let told: Vec<Value> = client.read();
        let told: Vec<&str> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(told, events, "{action}");
        assert_eq!(simulator.run_state(), state, "{action}");
        let ended = matches!(action, "shutdown" | "poweroff");
        assert_eq!(simulator.server().has_ended(), ended, "{action}");
    }
}

#[test]
fn a_guest_that_sleeps_is_woken() {
    let simulator = Simulator::new();
    let client = Client::new(&simulator);
    simulator.suspend_guest();
    assert_eq!(without_time(client.read().remove(0)), event("SUSPEND"));
    assert_eq!(client.query("query-status"), json!({"running": false, "status": "suspended"}));
    assert_eq!(client.execute("cont", json!({})), [done()]);
    assert_eq!(client.execute("system_wakeup", json!({})), [event("WAKEUP"), done()]);
    assert_eq!(simulator.run_state(), RunState::Running);
}

#[test]
fn a_device_that_goes_is_told_of_twice() {
    let client = Client::new(&Simulator::new());
    let deleted = |data: Value| event_with("DEVICE_DELETED", data);
    let path = "/machine/peripheral/net0";
    assert_eq!(
        client.execute("device_del", json!({"id": "net0"})),
        [
            done(),
            deleted(json!({"path": format!("{path}/virtio-backend")})),
            deleted(json!({"device": "net0", "path": path})),
        ]
    );
    assert_eq!(client.error("device_del", json!({"id": "net0"})), "Device 'net0' not found");
    assert_eq!(
        client.error("device_del", json!({"id": "cd0"})),
        "Device 'ide-cd' does not support hotplugging"
    );
    // It comes back, with properties that the schema does not list.
    let nic = json!({"driver": "virtio-net-pci", "id": "net0", "netdev": "net0-host", "mac": "52:54:00:00:00:01"});
    assert_eq!(client.execute("device_add", nic.clone()), [done()]);
    assert_eq!(client.error("device_add", nic), "Duplicate device ID 'net0'");
    let filters = client.query("query-rx-filter");
    assert_eq!(filters[0]["main-mac"], "52:54:00:00:00:01");
    assert_eq!(
        client.execute("qom-get", json!({"path": path, "property": "mac"})),
        [json!({"return": "52:54:00:00:00:01"})]
    );
    assert_eq!(
        client.error("device_add", json!({"driver": "nope"})),
        "'nope' is not a valid device model name"
    );
}

#[test]
fn a_guest_that_does_not_run_releases_nothing() {
    let client = Client::new(&Simulator::builder().paused(true).build());
    assert_eq!(client.execute("device_del", json!({"id": "net0"})), [done()]);
    assert_eq!(
        client.error("device_del", json!({"id": "net0"})),
        "Device net0 is already in the process of unplug"
    );
    assert_eq!(client.execute("balloon", json!({"value": 512 << 20})), [done()]);
    assert_eq!(client.query("query-balloon"), json!({"actual": 1 << 30}));
    let told: Vec<Value> = client.execute("cont", json!({}));
    let names: Vec<&Value> = told.iter().map(|message| &message["event"]).collect();
    assert_eq!(
        names,
        [
            &json!("RESUME"),
            &json!("BALLOON_CHANGE"),
            &json!("DEVICE_DELETED"),
            &json!("DEVICE_DELETED"),
            &Value::Null
        ]
    );
    assert_eq!(client.query("query-balloon"), json!({"actual": 512 << 20}));
}

#[test]
fn the_balloon_follows() {
    let client = Client::new(&Simulator::builder().memory(256 << 20).build());
    let changed = event_with("BALLOON_CHANGE", json!({"actual": 64 << 20}));
    assert_eq!(client.execute("balloon", json!({"value": 64 << 20})), [done(), changed]);
    assert_eq!(client.error("balloon", json!({"value": 0})), "Parameter 'value' expects a size");
    client.execute("device_del", json!({"id": "balloon0"}));
    let replies = client.execute("query-balloon", json!({}));
    assert_eq!(replies[0]["error"]["class"], "DeviceNotActive");
}

#[test]
fn block_nodes_come_and_go_in_order() {
    let client = Client::new(&Simulator::new());
    let overlay = json!({
        "driver": "qcow2", "node-name": "overlay", "backing": "disk0",
        "file": {"driver": "file", "filename": "overlay.qcow2"},
    });
    assert_eq!(client.execute("blockdev-add", overlay.clone()), [done()]);
    assert_eq!(client.error("blockdev-add", overlay), "Duplicate nodes with node-name='overlay'");
    let nodes = client.query("query-named-block-nodes");
    let node =
        nodes.as_array().unwrap().iter().find(|node| node["node-name"] == "overlay").unwrap();
    assert_eq!(node["image"]["virtual-size"], 8_u64 << 30);
    assert_eq!((&node["file"], &node["drv"]), (&json!("overlay.qcow2"), &json!("qcow2")));
    for (arguments, error) in [
        (json!({"node-name": "nope"}), "Failed to find node with node-name='nope'"),
        (json!({"node-name": "disk0"}), "Node disk0 is in use"),
        (json!({"node-name": "disk0-file"}), "Block device disk0-file is in use"),
        (json!({"node-name": "#block100"}), "Node #block100 is not owned by the monitor"),
    ] {
        assert_eq!(client.error("blockdev-del", arguments), error);
    }
    assert_eq!(client.execute("blockdev-del", json!({"node-name": "overlay"})), [done()]);
    let nodes = client.query("query-named-block-nodes");
    assert_eq!(nodes.as_array().unwrap().len(), 3);
    // Nothing is left of a node that failed.
    let nested = json!({"driver": "raw", "node-name": "r", "file": {"driver": "file", "filename": "a"}, "size": 1});
    assert_eq!(client.execute("blockdev-add", nested), [done()]);
    let broken = json!({"driver": "qcow2", "node-name": "q", "file": {"driver": "file", "filename": "b"}, "backing": "nope"});
    assert_eq!(
        client.error("blockdev-add", broken),
        "Cannot find device='nope' nor node-name='nope'"
    );
    let nodes = client.query("query-named-block-nodes");
    assert_eq!(nodes.as_array().unwrap().len(), 5);
}

#[test]
fn a_drive_is_opened_once() {
    let client = Client::new(&Simulator::new());
    let moved = json!({"device": "", "id": "cd0", "tray-open": true});
    let replies = client.execute("eject", json!({"id": "cd0"}));
    assert_eq!(replies, [event_with("DEVICE_TRAY_MOVED", moved), done()]);
    assert_eq!(client.execute("eject", json!({"id": "cd0"})), [done()]);
    let block = client.query("query-block");
    assert_eq!((&block[1]["tray_open"], block[1].get("inserted")), (&json!(true), None));
    assert_eq!(client.error("eject", json!({})), "Need exactly one of 'device' and 'id'");
    assert_eq!(client.execute("blockdev-del", json!({"node-name": "cd0-medium"})), [done()]);
}

#[test]
fn an_image_is_created_by_a_job() {
    let client = Client::new(&Simulator::new());
    let options = json!({"driver": "file", "filename": "new.img", "size": 1 << 20});
    let replies = client.execute("blockdev-create", json!({"job-id": "j", "options": options}));
    let status =
        |status: &str| event_with("JOB_STATUS_CHANGE", json!({"id": "j", "status": status}));
    assert_eq!(
        replies,
        [
            status("created"),
            status("running"),
            done(),
            status("waiting"),
            status("pending"),
            status("concluded"),
        ]
    );
    assert_eq!(client.query("query-jobs")[0]["status"], "concluded");
    assert_eq!(client.execute("job-dismiss", json!({"id": "j"})), [status("null"), done()]);
    assert_eq!(client.error("job-dismiss", json!({"id": "j"})), "Job not found");
}

#[test]
fn objects_and_networks_come_and_go() {
    let client = Client::new(&Simulator::new());
    let iothread = json!({"qom-type": "iothread", "id": "io1", "poll-max-ns": 1000});
    assert_eq!(client.execute("object-add", iothread.clone()), [done()]);
    assert_eq!(
        client.error("object-add", iothread),
        "attempt to add duplicate property 'io1' to object (type 'container')"
    );
    assert_eq!(client.query("query-iothreads")[1]["poll-max-ns"], 1000);
    let path = json!({"path": "/objects/io1", "property": "poll-max-ns", "value": 5});
    assert_eq!(client.execute("qom-set", path), [done()]);
    assert_eq!(client.query("query-iothreads")[1]["poll-max-ns"], 5);
    assert_eq!(client.execute("object-del", json!({"id": "io1"})), [done()]);
    assert_eq!(client.error("object-del", json!({"id": "io1"})), "object 'io1' not found");
    let netdev = json!({"type": "user", "id": "n1"});
    assert_eq!(client.execute("netdev_add", netdev.clone()), [done()]);
    assert_eq!(client.error("netdev_add", netdev), "Duplicate ID 'n1'");
    assert_eq!(client.execute("set_link", json!({"name": "n1", "up": false})), [done()]);
    assert_eq!(client.execute("netdev_del", json!({"id": "n1"})), [done()]);
    assert_eq!(
        client.error("set_link", json!({"name": "n1", "up": true})),
        "Device 'n1' not found"
    );
    assert_eq!(
        client.error("getfd", json!({"fdname": "fd"})),
        "No file descriptor supplied via SCM_RIGHTS"
    );
}

#[test]
fn the_tree_can_be_walked() {
    let client = Client::new(&Simulator::new());
    let mut paths = vec!["/".to_owned()];
    let mut objects = 0;
    while let Some(path) = paths.pop() {
        let replies = client.execute("qom-list", json!({"path": path}));
        for property in replies[0]["return"].as_array().unwrap_or_else(|| panic!("{replies:?}")) {
            if property["type"].as_str().unwrap().starts_with("child<") {
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
    // The root, the machine, four containers; CPUs, devices, an object.
    assert_eq!(objects, 1 + 1 + 4 + 2 + 5 + 1);
    assert_eq!(
        client.error("qom-get", json!({"path": "/machine", "property": "x"})),
        "Property 'pc-i440fx-11.1-machine.x' not found"
    );
    assert_eq!(client.error("qom-list", json!({"path": "/nope"})), "Device '/nope' not found");
}

#[test]
fn the_human_monitor_answers_a_little() {
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

#[test]
fn hostile_nesting_is_refused() {
    let client = Client::new(&Simulator::new());
    let mut node = json!({"driver": "file", "filename": "x"});
    for _ in 0..400 {
        node = json!({"driver": "raw", "file": node});
    }
    node["node-name"] = "deep".into();
    let replies = client.execute("blockdev-add", node);
    assert!(
        replies[0]["error"]["desc"].as_str().unwrap().contains("48 levels deep"),
        "{replies:?}"
    );
}
