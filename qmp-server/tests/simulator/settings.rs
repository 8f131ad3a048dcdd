//! The builder: machine types, parts, and commands that are replaced, refused or missing.

use std::time::{Duration, Instant};

use qmp_server::Simulator;
use qmp_types::qmp::commands::{BlockdevDel, QueryName, QueryStatus};
use qmp_types::qmp::events::BlockIoError;
use qmp_types::qmp::types::NameInfo;
use qmp_types::{ErrorClass, QmpError};
use serde_json::json;

use crate::client::{Client, done, event};

#[test]
fn a_machine_is_built_from_parts() {
    let simulator = Simulator::builder()
        .machine_type("q35")
        .sees_host(false)
        .cpus(1)
        .max_cpus(3)
        .memory(64 << 20)
        .memory_slots(1, 1 << 30)
        .file("disk.img", "qcow2", 4 << 20)
        .blockdev(json!({"driver": "qcow2", "node-name": "disk",
            "file": {"driver": "file", "filename": "disk.img"}}))
        .object(json!({"qom-type": "memory-backend-ram", "id": "more", "size": 128 << 20}))
        .device(json!({"driver": "virtio-blk-pci", "id": "blk", "drive": "disk"}))
        .build();
    let client = Client::new(&simulator);
    assert_eq!(
        client.execute("qom-get", json!({"path": "/machine", "property": "type"})),
        [json!({"return": "pc-q35-11.1-machine"})]
    );
    assert_eq!(client.query("query-block")[0]["inserted"]["image"]["virtual-size"], 4 << 20);
    let slot = client.query("query-hotpluggable-cpus")[0].clone();
    assert_eq!(slot.get("qom-path"), None);
    let mut cpu = slot["props"].clone();
    cpu["driver"] = slot["type"].clone();
    cpu["id"] = "cpu2".into();
    assert_eq!(client.execute("device_add", cpu.clone()), [done()]);
    assert_eq!(client.query("query-cpus-fast").as_array().unwrap().len(), 2);
    cpu["id"] = "again".into();
    assert_eq!(client.error("device_add", cpu), "CPU[1] with APIC ID 2 exists");
    let module = json!({"driver": "pc-dimm", "id": "dimm", "memdev": "more"});
    assert_eq!(client.execute("device_add", module), [done()]);
    assert_eq!(client.query("query-memory-size-summary")["plugged-memory"], 128 << 20);
    assert_eq!(client.query("query-memory-devices")[0]["data"]["size"], 128 << 20);
}

#[test]
fn a_part_that_qemu_would_refuse_is_an_error() {
    let device = json!({"driver": "virtio-blk-pci", "drive": "nope"});
    let error = Simulator::builder().device(device).try_build().unwrap_err();
    assert_eq!(error.desc, "Property 'virtio-blk-device.drive' can't find value 'nope'");
    let error = Simulator::builder().machine_type("nope").try_build().unwrap_err();
    assert_eq!(error.desc, "unsupported machine type: \"nope\"");
}

#[test]
fn commands_are_replaced_refused_and_removed() {
    let refused = QmpError::new(ErrorClass::GenericError, "disk is on fire");
    let simulator = Simulator::builder()
        .command(|_, _: QueryName, _| Ok(NameInfo::new().name("mine")))
        .refuse::<BlockdevDel>(refused)
        .without::<QueryStatus>()
        .build();
    let client = Client::new(&simulator);
    assert_eq!(client.query("query-name")["name"], "mine");
    let node = json!({"node-name": "disk0"});
    assert_eq!(client.error("blockdev-del", node), "disk is on fire");
    let replies = client.execute("query-status", json!({}));
    assert_eq!(replies[0]["error"]["class"], "CommandNotFound");
}

#[test]
fn the_guest_panics_as_the_action_says() {
    let simulator = Simulator::new();
    let client = Client::new(&simulator);
    client.execute("set-action", json!({"panic": "pause"}));
    simulator.panic_guest();
    let messages: Vec<_> = client.read().into_iter().map(crate::client::without_time).collect();
    assert_eq!(messages[0]["event"], "GUEST_PANICKED");
    assert_eq!(messages[0]["data"]["action"], "pause");
    assert_eq!(messages[1], event("STOP"));
    assert_eq!(client.query("query-status")["status"], "guest-panicked");
}

#[test]
fn a_test_emits_events_and_fails_jobs() {
    let simulator = Simulator::builder().manual_clock().disk_speed(1).build();
    let client = Client::new(&simulator);
    let error: BlockIoError = serde_json::from_value(json!({
        "qom-path": "/machine/peripheral/disk0-device", "device": "", "node-name": "disk0",
        "operation": "write", "action": "report", "reason": "No space left on device",
    }))
    .unwrap();
    simulator.emit(&error);
    assert_eq!(client.read()[0]["event"], "BLOCK_IO_ERROR");
    let target = json!({"driver": "null-co", "node-name": "copy", "size": 8_u64 << 30});
    client.execute("blockdev-add", target);
    let job = json!({"job-id": "job", "device": "disk0", "target": "copy", "sync": "full",
        "auto-dismiss": false});
    client.execute("blockdev-backup", job);
    assert!(!simulator.fail_job("nope", "x"));
    assert!(simulator.fail_job("job", "Input/output error"));
    assert_eq!(client.read().len(), 3);
    assert_eq!(client.query("query-jobs")[0]["error"], "Input/output error");
    assert_eq!(client.query("query-jobs")[0]["status"], "concluded");
}

#[test]
fn a_delayed_command_holds_up_only_its_client() {
    let simulator = Simulator::builder().delay::<QueryName>(Duration::from_secs(1)).build();
    let slow = simulator.connection();
    slow.receive(
        b"{'execute': 'qmp_capabilities'} {'execute': 'query-name', 'id': 1}
          {'execute': 'query-status', 'id': 2}",
    );
    drop(slow.take_output());
    let other = Client::new(&simulator);
    assert_eq!(other.query("query-status")["status"], "running");
    assert!(slow.take_output().is_empty());
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut output = Vec::new();
    while !String::from_utf8_lossy(&output).contains("\"id\": 2") {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
        output.extend(slow.take_output());
    }
    let output = String::from_utf8(output).unwrap();
    assert!(output.find("\"id\": 1") < output.find("\"id\": 2"), "{output}");
    assert!(output.contains("\"id\": 1"), "{output}");
}
