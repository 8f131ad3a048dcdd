//! Devices, the balloon, network back ends and objects.

use qmp_server::Simulator;
use serde_json::{Value, json};

use crate::client::{Client, done, event_with};

#[test]
fn a_removed_virtio_device_causes_two_events() {
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
        "Bus 'ide.1' does not support hotplugging"
    );
    // Added again, with properties that the schema does not list.
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
fn a_paused_guest_reacts_once_it_runs() {
    let client = Client::new(&Simulator::builder().paused(true).build());
    assert_eq!(client.execute("device_del", json!({"id": "net0"})), [done()]);
    assert_eq!(
        client.error("device_del", json!({"id": "net0"})),
        "Device net0 is already in the process of unplug"
    );
    assert_eq!(client.execute("balloon", json!({"value": 512 << 20})), [done()]);
    assert_eq!(client.query("query-balloon"), json!({"actual": 1 << 30}));
    let messages = client.execute("cont", json!({}));
    let names: Vec<&Value> = messages.iter().map(|message| &message["event"]).collect();
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
fn the_guest_follows_the_balloon() {
    let client = Client::new(&Simulator::builder().memory(256 << 20).build());
    let changed = event_with("BALLOON_CHANGE", json!({"actual": 64 << 20}));
    assert_eq!(client.execute("balloon", json!({"value": 64 << 20})), [done(), changed]);
    assert_eq!(client.error("balloon", json!({"value": 0})), "Parameter 'value' expects a size");
    client.execute("device_del", json!({"id": "balloon0"}));
    let replies = client.execute("query-balloon", json!({}));
    assert_eq!(replies[0]["error"]["class"], "DeviceNotActive");
}

#[test]
fn objects_and_network_back_ends_are_added_and_removed() {
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
