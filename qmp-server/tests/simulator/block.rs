//! Block nodes, drives and jobs.

use qmp_server::Simulator;
use serde_json::json;

use crate::client::{Client, done, event_with};

#[test]
fn block_nodes_are_added_and_removed() {
    let builder = Simulator::builder().sees_host(false);
    let builder = builder.file("overlay.qcow2", "qcow2", 8 << 30).file("a", "raw", 1 << 20);
    let client = Client::new(&builder.file("b", "qcow2", 1 << 20).build());
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
        (json!({"node-name": "#block101"}), "Node #block101 is not owned by the monitor"),
    ] {
        assert_eq!(client.error("blockdev-del", arguments), error);
    }
    assert_eq!(client.execute("blockdev-del", json!({"node-name": "overlay"})), [done()]);
    let nodes = client.query("query-named-block-nodes");
    assert_eq!(nodes.as_array().unwrap().len(), 4);
    // A node that cannot be added leaves no inline node.
    let nested = json!({"driver": "raw", "node-name": "r", "file": {"driver": "file", "filename": "a"}, "size": 512});
    assert_eq!(client.execute("blockdev-add", nested), [done()]);
    let broken = json!({"driver": "qcow2", "node-name": "q", "file": {"driver": "file", "filename": "b"}, "backing": "nope"});
    assert_eq!(
        client.error("blockdev-add", broken),
        "Could not open backing file: Cannot find device='nope' nor node-name='nope'"
    );
    let nodes = client.query("query-named-block-nodes");
    assert_eq!(nodes.as_array().unwrap().len(), 6);
}

#[test]
fn ejecting_opens_the_tray_once() {
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
fn a_job_creates_an_image() {
    let client = Client::new(&Simulator::builder().sees_host(false).build());
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
fn deeply_nested_arguments_are_rejected() {
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
