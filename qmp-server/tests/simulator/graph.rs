//! The block graph, which no client can make a cycle of, or deeper than the stack.

use qmp_server::{Simulator, SimulatorBuilder};
use serde_json::{Value, json};

use crate::client::{Client, done};

/// Returns a builder without devices, and with images `a`, `b` and `c`.
fn builder() -> SimulatorBuilder {
    let builder = Simulator::builder().empty().sees_host(false).cpus(1);
    ["a", "b", "c"].into_iter().fold(builder, |builder, name| builder.file(name, "qcow2", 1 << 20))
}

/// Returns the arguments that add an image as the node that has its name.
fn image(name: &str, backing: Option<&str>) -> Value {
    let file = json!({"driver": "file", "filename": name, "node-name": format!("{name}-file")});
    json!({"driver": "qcow2", "node-name": name, "file": file, "backing": backing})
}

/// Reads everything that reports on the graph.
fn reports(client: &Client) {
    for command in ["query-block", "query-blockstats", "query-named-block-nodes"] {
        client.query(command);
    }
    let of_nodes = client.execute("query-blockstats", json!({"query-nodes": true}));
    assert!(of_nodes[0]["return"].is_array(), "{of_nodes:?}");
}

fn cycle(backing: &str, parent: &str) -> String {
    format!("Making '{backing}' a backing child of '{parent}' would create a cycle")
}

/// Such a node ended the process when its statistics were queried.
#[test]
fn a_node_does_not_back_itself() {
    let client = Client::new(&Simulator::new());
    let options =
        json!({"driver": "qcow2", "node-name": "disk0", "file": "disk0-file", "backing": "disk0"});
    let error = client.error("blockdev-reopen", json!({"options": [options]}));
    assert_eq!(error, cycle("disk0", "disk0"));
    reports(&client);

    let client = Client::new(&builder().build());
    assert_eq!(client.execute("blockdev-add", image("a", None)), [done()]);
    let snapshot = json!({"node": "a", "overlay": "a"});
    assert_eq!(client.error("blockdev-snapshot", snapshot.clone()), cycle("a", "a"));
    let actions = json!({"actions": [{"type": "blockdev-snapshot", "data": snapshot}]});
    assert_eq!(client.error("transaction", actions), cycle("a", "a"));
    reports(&client);
}

#[test]
fn a_node_is_not_backed_by_one_above_it() {
    let drive = "file=a,format=qcow2,if=none,id=d0,node-name=a,file.node-name=a-file";
    let client = Client::new(&builder().option("drive", drive).build());
    assert_eq!(client.execute("blockdev-add", image("b", Some("a"))), [done()]);
    assert_eq!(client.execute("blockdev-add", image("c", None)), [done()]);
    let reopen = |changes: &[(&str, &str)]| {
        let options = changes.iter().map(|(name, backing)| {
            json!({"driver": "qcow2", "node-name": name, "file": format!("{name}-file"), "backing": backing, "read-only": false})
        });
        client.execute("blockdev-reopen", json!({"options": options.collect::<Value>()}))
    };
    let refused = |changes: &[(&str, &str)]| {
        let replies = reopen(changes);
        replies[0]["error"]["desc"].as_str().unwrap_or_else(|| panic!("{replies:?}")).to_owned()
    };
    assert_eq!(refused(&[("a", "b")]), cycle("b", "a"));
    // Each of the changes is possible alone, and none is made.
    assert_eq!(refused(&[("a", "c"), ("c", "b")]), cycle("b", "c"));
    // The name of a drive is that of its medium.
    assert_eq!(refused(&[("a", "d0")]), cycle("a", "a"));
    assert_eq!(reopen(&[("a", "c")]), [done()]);
    assert_eq!(refused(&[("c", "b")]), cycle("b", "c"));
    reports(&client);
}

#[test]
fn a_mirror_replaces_no_node_below_its_target() {
    let client = Client::new(&builder().build());
    let source = json!({"driver": "null-co", "node-name": "s", "size": 1 << 20});
    for node in [source, image("a", None), image("b", Some("a"))] {
        assert_eq!(client.execute("blockdev-add", node), [done()]);
    }
    let over = json!({"driver": "raw", "node-name": "r", "file": {"driver": "raw", "node-name": "m",
        "file": {"driver": "null-co", "node-name": "n", "size": 1 << 20}}});
    assert_eq!(client.execute("blockdev-add", over), [done()]);
    let mirror = |target: &str, replaces: &str| {
        let sync = json!({"job-id": "j", "device": "s", "sync": "full"});
        let mut mirror = sync.as_object().unwrap().clone();
        mirror.insert("target".to_owned(), target.into());
        mirror.insert("replaces".to_owned(), replaces.into());
        client.error("blockdev-mirror", mirror.into())
    };
    assert_eq!(mirror("b", "a"), "Node 'a' is busy: node is used as backing hd of 'b'");
    assert_eq!(
        mirror("r", "n"),
        "Cannot replace 'n' by a node mirrored from 's', because it cannot be guaranteed that doing \
         so would not lead to an abrupt change of visible data"
    );
    reports(&client);
}

/// The mirror's target was put below itself when the source had got a parent below the target.
#[test]
fn a_job_that_completes_makes_no_cycle() {
    let client = Client::new(&builder().build());
    for node in [image("a", None), image("b", None)] {
        assert_eq!(client.execute("blockdev-add", node), [done()]);
    }
    let mirror = json!({"job-id": "j", "device": "a", "target": "b", "sync": "full"});
    client.execute("blockdev-mirror", mirror);
    assert_eq!(client.execute("blockdev-add", image("c", Some("a"))), [done()]);
    let options = json!({"driver": "qcow2", "node-name": "b", "file": "b-file", "backing": "c"});
    assert_eq!(client.execute("blockdev-reopen", json!({"options": [options]})), [done()]);
    client.execute("job-complete", json!({"id": "j"}));
    assert_eq!(client.query("query-jobs"), json!([]));
    reports(&client);
}

#[test]
fn a_node_and_its_child_have_different_names() {
    let client = Client::new(&builder().build());
    let child = json!({"driver": "null-co", "node-name": "n"});
    let node = json!({"driver": "raw", "node-name": "n", "file": child});
    let error = "Duplicate nodes with node-name='n'";
    assert_eq!(client.error("blockdev-add", node), error);
    assert_eq!(client.query("query-named-block-nodes"), json!([]));
}

/// The reports were nested as deep as the chain, which overflows the stack at some length.
#[test]
fn reports_of_a_long_chain_can_be_read() {
    let builder = builder().option("drive", "file=a,format=qcow2,if=none,id=d0");
    let client = Client::new(&builder.option("device", "virtio-blk-pci,drive=d0,id=vb").build());
    for at in 0..200 {
        let name = format!("n{at}");
        let snapshot =
            json!({"device": "d0", "snapshot-file": name, "snapshot-node-name": name.as_str()});
        assert_eq!(client.execute("blockdev-snapshot-sync", snapshot), [done()]);
    }
    let block = client.query("query-block");
    assert_eq!(block[0]["inserted"]["backing_file_depth"], 200);
    for report in [block, client.query("query-blockstats")] {
        assert!(serde_json::from_str::<Value>(&report.to_string()).is_ok());
    }
    client.execute("device_del", json!({"id": "vb"}));
    assert_eq!(client.query("query-named-block-nodes"), json!([]));
}

/// A client could add nodes until the memory was full. Each costs more than the one before.
#[test]
fn the_number_of_nodes_is_limited() {
    let error = "Too many block nodes: the simulated machine has at most 1000";
    let client = Client::new(&builder().build());
    let null = |name: &str| json!({"driver": "null-co", "node-name": name});
    // Each is an image and its file, and some are on top of another.
    for at in 0..499 {
        let file = json!({"driver": "file", "filename": "a", "read-only": true});
        let backing = Some(at).filter(|at| at % 10 > 0).map(|at| format!("n{}", at - 1));
        let name = format!("n{at}");
        let node = json!({"driver": "qcow2", "node-name": name, "file": file, "backing": backing, "read-only": true});
        assert_eq!(client.execute("blockdev-add", node), [done()], "{at}");
    }
    assert_eq!(client.execute("blockdev-add", null("x")), [done()]);
    // The child still fits, and is removed again.
    let pair = json!({"driver": "raw", "node-name": "y", "file": {"driver": "null-co"}});
    assert_eq!(client.error("blockdev-add", pair.clone()), error);
    assert_eq!(client.execute("blockdev-add", null("y")), [done()]);
    assert_eq!(client.error("blockdev-add", null("z")), error);
    assert_eq!(client.query("query-named-block-nodes").as_array().unwrap().len(), 1000);
    reports(&client);
    for name in ["x", "y"] {
        assert_eq!(client.execute("blockdev-del", json!({"node-name": name})), [done()]);
    }
    assert_eq!(client.execute("blockdev-add", pair), [done()]);
}
