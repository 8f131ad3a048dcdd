//! Changes to open nodes and to jobs, in the words of QEMU for what it refuses.

use qmp_server::Simulator;
use serde_json::json;

use crate::client::{Client, done, event_with};

#[test]
fn changes_that_a_node_does_not_allow_are_refused() {
    let client = Client::new(&Simulator::builder().empty().build());
    for name in ["s", "t"] {
        let node = json!({"driver": "null-co", "node-name": name, "size": 1 << 20});
        assert_eq!(client.execute("blockdev-add", node), [done()]);
    }
    let unnamed = "Cannot find device='' nor node-name=''";
    let missing = "Failed to find node with node-name='x'";
    let no_backing = "not allowing backing file change on an image without a backing file";
    for (command, arguments, error) in [
        (
            "block_resize",
            json!({"node-name": "s", "size": -1}),
            "Parameter 'size' expects a >0 size",
        ),
        (
            "block_resize",
            json!({"node-name": "s", "size": 1 << 21}),
            "Image format driver does not support resize",
        ),
        ("block_resize", json!({"size": 1}), unnamed),
        (
            "block-set-write-threshold",
            json!({"node-name": "x", "write-threshold": 1}),
            "Device 'x' not found",
        ),
        (
            "x-blockdev-set-iothread",
            json!({"node-name": "s", "iothread": "x"}),
            "Cannot find iothread x",
        ),
        ("x-blockdev-set-iothread", json!({"node-name": "x", "iothread": null}), missing),
        ("blockdev-set-active", json!({"node-name": "x", "active": true}), missing),
        ("blockdev-reopen", json!({"options": [{"driver": "null-co"}]}), "node-name not specified"),
        ("blockdev-reopen", json!({"options": [{"driver": "null-co", "node-name": "x"}]}), missing),
        (
            "change-backing-file",
            json!({"device": "s", "image-node-name": "x", "backing-file": "y"}),
            "Cannot find device='' nor node-name='x'",
        ),
        (
            "change-backing-file",
            json!({"device": "s", "image-node-name": "t", "backing-file": "y"}),
            no_backing,
        ),
    ] {
        assert_eq!(client.error(command, arguments), error, "{command}");
    }
    for (command, arguments) in [
        ("block-set-write-threshold", json!({"node-name": "s", "write-threshold": 9})),
        ("blockdev-set-active", json!({"node-name": "s", "active": true})),
        ("blockdev-set-active", json!({"active": true})),
        ("x-blockdev-set-iothread", json!({"node-name": "s", "iothread": null})),
    ] {
        assert_eq!(client.execute(command, arguments), [done()], "{command}");
    }
    let nodes = client.query("query-named-block-nodes");
    let thresholds: Vec<u64> = nodes
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["write_threshold"].as_u64().unwrap())
        .collect();
    assert_eq!(thresholds, [0, 9]);
}

#[test]
fn a_backing_file_is_renamed_in_its_own_chain_alone() {
    let builder = Simulator::builder().empty().sees_host(false);
    let builder = builder.file("a", "qcow2", 1 << 20).file("b", "qcow2", 1 << 20);
    let builder = builder.file("c", "raw", 1 << 20).file("d", "raw", 1 << 20);
    let client = Client::new(&builder.build());
    for (name, file, backing) in [("one", "a", "c"), ("two", "b", "d")] {
        let backing = json!({"driver": "raw", "file": {"driver": "file", "filename": backing}});
        let file = json!({"driver": "file", "filename": file});
        let node = json!({"driver": "qcow2", "node-name": name, "file": file, "backing": backing});
        assert_eq!(client.execute("blockdev-add", node), [done()]);
    }
    let change =
        |image: &str| json!({"device": "one", "image-node-name": image, "backing-file": "z"});
    let error = "'one' and image file are not in the same chain";
    assert_eq!(client.error("change-backing-file", change("two")), error);
    assert_eq!(client.execute("change-backing-file", change("one")), [done()]);
    let nodes = client.query("query-named-block-nodes");
    let node = nodes.as_array().unwrap().iter().find(|node| node["node-name"] == "one").unwrap();
    assert_eq!(node["image"]["backing-filename"], "z");
}

#[test]
fn a_paused_job_stands_by_until_it_is_resumed() {
    let client = Client::new(&Simulator::builder().empty().build());
    for name in ["s", "t"] {
        let node = json!({"driver": "null-co", "node-name": name, "size": 1 << 20});
        assert_eq!(client.execute("blockdev-add", node), [done()]);
    }
    let mirror = json!({"job-id": "j", "device": "s", "target": "t", "sync": "full"});
    client.execute("blockdev-mirror", mirror);
    let status =
        |status: &str| event_with("JOB_STATUS_CHANGE", json!({"id": "j", "status": status}));
    let run = |command: &str| client.execute(command, json!({"device": "j"}));
    let speed = |speed: i64| json!({"device": "j", "speed": speed});
    let error = "Parameter 'speed' expects a non-negative value";
    assert_eq!(client.error("block-job-set-speed", speed(-1)), error);
    assert_eq!(client.execute("block-job-set-speed", speed(5000)), [done()]);
    let line = json!({"command-line": "info block-jobs"});
    let text = "Type mirror, device j: Completed 1048576 of 1048576 bytes, speed limit 5000 \
                bytes/s\r\n";
    assert_eq!(client.execute("human-monitor-command", line), [json!({"return": text})]);
    assert_eq!(run("block-job-pause"), [done(), status("standby")]);
    assert_eq!(client.error("block-job-pause", json!({"device": "j"})), "Job is already paused");
    assert_eq!(run("block-job-resume"), [done(), status("ready")]);
    let error = "Can't resume a job that was not paused";
    assert_eq!(client.error("block-job-resume", json!({"device": "j"})), error);
    let change = |id: &str| json!({"id": id, "type": "mirror", "copy-mode": "background"});
    assert_eq!(client.execute("block-job-change", change("j")), [done()]);
    // A mirror that is cancelled when it is ready completes without its target.
    let cancelled = run("block-job-cancel");
    assert_eq!(cancelled[0], done());
    let completed = cancelled.iter().find(|message| message["event"] == "BLOCK_JOB_COMPLETED");
    assert!(completed.is_some_and(|event| event["data"].get("error").is_none()), "{cancelled:?}");
    assert_eq!(client.query("query-named-block-nodes").as_array().unwrap().len(), 2);
    for command in ["block-job-cancel", "block-job-pause"] {
        assert_eq!(client.error(command, json!({"device": "j"})), "Block job 'j' not found");
    }
    assert_eq!(client.error("block-job-change", change("j")), "Block job 'j' not found");
    assert_eq!(client.error("job-complete", json!({"id": "j"})), "Job not found");
    let options = json!({"driver": "file", "filename": "cr", "size": 512});
    let fresh = Client::new(&Simulator::builder().empty().sees_host(false).build());
    fresh.execute("blockdev-create", json!({"job-id": "c", "options": options}));
    assert_eq!(
        fresh.error("job-cancel", json!({"id": "c"})),
        "Job 'c' in state 'concluded' cannot accept command verb 'cancel'"
    );
    assert_eq!(fresh.error("block-job-change", change("c")), "Block job 'c' not found");
}
