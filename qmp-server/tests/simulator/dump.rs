//! Dumps of the guest's memory.

use qmp_server::Simulator;
use serde_json::{Value, json};

use crate::client::{Client, done, event, event_with};

fn client() -> Client {
    Client::new(&Simulator::builder().memory(1 << 20).sees_host(false).build())
}

fn arguments(more: &Value) -> Value {
    let mut arguments = json!({"paging": false, "protocol": "file:dump"});
    let more = more.as_object().unwrap().clone();
    arguments.as_object_mut().unwrap().extend(more);
    arguments
}

#[test]
fn a_dump_that_qemu_refuses_is_refused_in_its_words() {
    let client = Client::new(&Simulator::builder().memory(1 << 20).build());
    for (more, error) in [
        (json!({"protocol": "x:y"}), "parameter 'protocol' must start with 'file:' or 'fd:'"),
        (json!({"begin": 0}), "Parameter 'length' is missing"),
        (json!({"length": 1}), "Parameter 'begin' is missing"),
        (
            json!({"format": "kdump-zlib", "begin": 0, "length": 1}),
            "kdump-compressed format doesn't support paging or filter",
        ),
        (json!({"format": "win-dmp"}), "win-dump: no vmcoreinfo note from the guest"),
        (json!({"format": "kdump-lzo"}), "kdump-lzo is not available now"),
        (json!({"format": "kdump-raw-snappy"}), "kdump-snappy is not available now"),
        (json!({"protocol": "fd:nope"}), "File descriptor named 'nope' has not been found"),
        (
            json!({"protocol": "file:/nope/x"}),
            "Could not create '/nope/x': No such file or directory",
        ),
    ] {
        assert_eq!(client.error("dump-guest-memory", arguments(&more)), error);
    }
    let cpu = json!({"val": 0, "size": 1, "filename": "m", "cpu-index": 7});
    let error = "Parameter 'cpu-index' expects a CPU number";
    assert_eq!(client.error("memsave", cpu), error);
    let missing = |file: &str| json!({"val": 0, "size": 1, "filename": file});
    for command in ["memsave", "pmemsave"] {
        let error = "Could not open '/nope/x': No such file or directory";
        assert_eq!(client.error(command, missing("/nope/x")), error);
    }
    let error = "Could not create '/nope/x': No such file or directory";
    let replies = client.execute("xen-save-devices-state", json!({"filename": "/nope/x"}));
    assert_eq!(replies.last().unwrap()["error"]["desc"], error);
}

/// `query-dump` said `none` for ever, so a client that waited by asking waited for ever.
#[test]
fn a_detached_dump_is_completed_after_the_reply() {
    let client = client();
    let result =
        |status: &str, bytes: u64| json!({"status": status, "completed": bytes, "total": bytes});
    assert_eq!(client.query("query-dump"), result("none", 0));
    let completed = event_with("DUMP_COMPLETED", json!({"result": result("completed", 1 << 20)}));
    let dump = |more: Value| client.execute("dump-guest-memory", arguments(&more));
    assert_eq!(dump(json!({})), [event("STOP"), completed.clone(), event("RESUME"), done()]);
    assert_eq!(
        dump(json!({"detach": true, "format": "kdump-zlib"})),
        [done(), event("STOP"), completed, event("RESUME")]
    );
    assert_eq!(client.query("query-dump"), result("completed", 1 << 20));
    let memory = json!({"val": 0, "size": 1, "filename": "m"});
    assert_eq!(client.execute("pmemsave", memory), [done()]);
}
