//! Drives that `-drive` adds, which commands and queries know by their names.

use qmp_server::{Simulator, SimulatorBuilder};
use serde_json::{Value, json};

use crate::client::{Client, done, event_with};

/// Returns a builder without devices, and with a few images.
fn builder() -> SimulatorBuilder {
    let builder = Simulator::builder().empty().sees_host(false).cpus(1);
    let builder = builder.file("a.raw", "raw", 1 << 20).file("b.raw", "raw", 1 << 20);
    builder.file("a.qcow2", "qcow2", 4 << 20)
}

fn client(drives: &[&str]) -> Client {
    let add = |builder: SimulatorBuilder, drive: &&str| builder.option("drive", drive);
    Client::new(&drives.iter().fold(builder(), add).build())
}

/// Returns the name, the device and the medium of each back end.
fn back_ends(client: &Client) -> Vec<(Value, Value, Value)> {
    let all = client.query("query-block");
    let all = all.as_array().unwrap().iter();
    all.map(|info| (info["device"].clone(), info["qdev"].clone(), info["inserted"]["drv"].clone()))
        .collect()
}

/// They were anonymous back ends of nodes that had the drives' names.
#[test]
fn drives_have_the_names_that_qemu_gives_them() {
    let client = client(&[
        "file=b.raw,format=raw,index=1",
        "file=a.qcow2",
        "media=cdrom,index=2",
        "file=a.raw,format=raw,if=virtio",
        "if=none,id=n0",
        "if=none",
    ]);
    assert_eq!(
        back_ends(&client),
        [
            // The board creates its devices in the order of their places.
            (json!("ide0-hd1"), json!("/machine/unattached/device[5]"), json!("raw")),
            (json!("ide0-hd0"), json!("/machine/unattached/device[4]"), json!("qcow2")),
            (json!("ide1-cd0"), json!("/machine/unattached/device[6]"), json!(null)),
            (
                json!("virtio0"),
                json!("/machine/peripheral-anon/device[0]/virtio-backend"),
                json!("raw")
            ),
            (json!("n0"), json!(null), json!(null)),
            (json!("none1"), json!(null), json!(null)),
        ]
    );
    let empty = json!({"device": "n0", "type": "unknown", "removable": true, "locked": false});
    assert_eq!(client.query("query-block")[4], empty);
    // The devices of the board are objects as well.
    let path = json!({"path": "/machine/unattached/device[4]", "property": "drive"});
    assert_eq!(client.execute("qom-get", path), [json!({"return": "ide0-hd0"})]);
}

#[test]
fn a_command_finds_the_medium_of_a_drive_by_its_name() {
    let builder = builder().option("drive", "file=a.qcow2,if=none,id=d0");
    let builder = builder.option("device", "virtio-blk-pci,drive=d0,id=vb");
    let builder = builder.option("drive", "if=none,id=n0");
    let client = Client::new(&builder.manual_clock().build());
    let size = json!({"device": "d0", "size": 8 << 20});
    assert_eq!(client.execute("block_resize", size), [done()]);
    let block = client.query("query-block");
    assert_eq!(block[0]["inserted"]["image"]["virtual-size"], 8 << 20);
    // The name of a device does not name its drive.
    let size = json!({"device": "vb", "size": 8 << 20});
    let error = "Cannot find device='vb' nor node-name=''";
    assert_eq!(client.error("block_resize", size), error);
    for (drive, error) in [
        ("d0", "Drive 'd0' is already in use by another device"),
        ("n0", "Device needs media, but drive is empty"),
        ("nope", "Property 'virtio-blk-device.drive' can't find value 'nope'"),
    ] {
        let device = json!({"driver": "virtio-blk-pci", "drive": drive});
        assert_eq!(client.error("device_add", device), error);
    }
    let node = json!({"driver": "null-co", "node-name": "d0"});
    let error = "node-name=d0 is conflicting with a device id";
    assert_eq!(client.error("blockdev-add", node), error);
    // A job has the drive's name by default.
    let node = json!({"driver": "null-co", "node-name": "t", "size": 8 << 20});
    assert_eq!(client.execute("blockdev-add", node), [done()]);
    let mirror = json!({"device": "d0", "target": "t", "sync": "full"});
    client.execute("blockdev-mirror", mirror);
    assert_eq!(client.query("query-jobs")[0]["id"], "d0");
}

#[test]
fn a_drive_goes_with_its_device() {
    let builder = builder().option("drive", "file=a.qcow2,if=none,id=d0");
    let builder = builder.option("device", "virtio-blk-pci,drive=d0,id=vb");
    let client = Client::new(&builder.build());
    client.execute("device_del", json!({"id": "vb"}));
    assert_eq!(back_ends(&client), []);
    assert_eq!(client.query("query-named-block-nodes"), json!([]));
}

#[test]
fn media_are_ejected_by_the_name_of_the_drive() {
    let client = client(&[
        "file=a.raw,format=raw,media=cdrom",
        "file=b.raw,format=raw,if=none,id=u0,node-name=un",
        "file=a.qcow2,index=1",
    ]);
    let error = "Node un is in use";
    assert_eq!(client.error("blockdev-del", json!({"node-name": "un"})), error);
    let moved = |open: bool| {
        let id = "/machine/unattached/device[4]";
        event_with("DEVICE_TRAY_MOVED", json!({"device": "ide0-cd0", "id": id, "tray-open": open}))
    };
    let eject = |name: &str| client.execute("eject", json!({"device": name}));
    assert_eq!(eject("ide0-cd0"), [moved(true), done()]);
    // A drive without a device has no tray.
    assert_eq!(eject("u0"), [done()]);
    let none = json!(null);
    assert!(back_ends(&client).iter().take(2).all(|(_, _, medium)| *medium == none));
    let error = "Device 'ide0-hd1' is not removable";
    assert_eq!(client.error("eject", json!({"device": "ide0-hd1"})), error);
    assert_eq!(client.error("eject", json!({"device": "nope"})), "Device 'nope' not found");
    // The format of the new medium is found out. It was reported as that of the file.
    let change = json!({"device": "ide0-cd0", "filename": "b.raw"});
    assert_eq!(client.execute("blockdev-change-medium", change), [moved(false), done()]);
    let change = json!({"device": "u0", "filename": "a.raw"});
    assert_eq!(client.execute("blockdev-change-medium", change), [done()]);
    assert!(back_ends(&client).iter().take(2).all(|(_, _, medium)| *medium == "raw"));
    let close = json!({"id": "/machine/unattached/device[4]"});
    let error = "Tray of device '/machine/unattached/device[4]' is not open";
    assert_eq!(client.error("blockdev-remove-medium", close), error);
}

#[test]
fn a_floppy_drive_has_no_tray() {
    let client = client(&["file=a.raw,format=raw,if=floppy"]);
    let block = client.query("query-block");
    assert_eq!((block[0].get("tray_open"), block[0].get("io-status")), (None, None));
    assert_eq!(client.execute("eject", json!({"device": "floppy0"})), [done()]);
}

#[test]
fn the_info_of_a_drive_has_its_name_and_its_nodes() {
    let client = client(&["file=a.qcow2,if=none,id=d0,node-name=nn", "if=none,id=n0"]);
    let line = json!({"command-line": "info block"});
    let text = "d0 (nn): a.qcow2 (qcow2)\r\n    Removable device: not locked, tray closed\r\n    \
                Cache mode:       writeback\r\n\r\nn0: [not inserted]\r\n    Removable device: not \
                locked, tray closed\r\n";
    assert_eq!(client.execute("human-monitor-command", line), [json!({"return": text})]);
    let stats = client.query("query-blockstats");
    assert_eq!((&stats[0]["device"], &stats[0]["node-name"]), (&json!("d0"), &json!("nn")));
    assert_eq!((&stats[1]["device"], stats[1].get("qdev")), (&json!("n0"), None));
}

#[test]
fn the_options_of_a_drive_reach_its_nodes() {
    let client = client(&[
        "file=a.qcow2,if=none,cache=none,detect-zeroes=on,discard=unmap,werror=stop,aio=threads",
        "file=a.raw,format=raw,if=none,readonly=on,file.locking=off,throttling.bps-total=1",
        "if=none,file.driver=null-co,format=raw,cache=unsafe",
        "if=none,driver=null-co,size=1M,read-zeroes=on",
    ]);
    let block = client.query("query-block");
    let inserted = |at: usize| &block[at]["inserted"];
    let cache =
        |direct: bool, flush: bool| json!({"writeback": true, "direct": direct, "no-flush": flush});
    assert_eq!(inserted(0)["cache"], cache(true, false));
    assert_eq!((&inserted(0)["detect_zeroes"], &inserted(0)["ro"]), (&json!("on"), &json!(false)));
    assert_eq!((&inserted(1)["drv"], &inserted(1)["ro"]), (&json!("raw"), &json!(true)));
    assert_eq!(inserted(2)["cache"], cache(false, true));
    assert_eq!(inserted(3)["image"]["virtual-size"], 1 << 20);
}

#[test]
fn places_of_drives_are_limited_and_used_once() {
    let refused = |machine: &str, drives: &[&str]| {
        let start = Simulator::builder().machine_type(machine).sees_host(false);
        let start = start.file("a.raw", "raw", 1 << 20).file("b.raw", "raw", 1 << 20);
        let add = |builder: SimulatorBuilder, drive: &&str| builder.option("drive", drive);
        drives.iter().fold(start, add).error().map(|error| error.desc.clone())
    };
    let (a, b) = ("file=a.raw,format=raw", "file=b.raw,format=raw");
    for (machine, second, error) in [
        ("pc", "", ""),
        ("pc", ",index=0", "drive with bus=0, unit=0 (index=0) exists"),
        ("pc", ",bus=0,unit=0", "drive with bus=0, unit=0 (index=-1) exists"),
        ("pc", ",unit=3", "unit 3 too big (max is 1)"),
        ("pc", ",index=9", "machine type does not support if=ide,bus=4,unit=1"),
        ("pc", ",if=virtio,bus=0,index=2", ""),
        ("pc", ",if=virtio,bus=1,index=2", "index cannot be used with bus and unit"),
        ("q35", ",index=5", ""),
        ("q35", ",index=6", "machine type does not support if=ide,bus=6,unit=0"),
        ("none", ",if=ide", "machine type does not support if=ide,bus=0,unit=0"),
        ("none", ",if=pflash", "machine type does not support if=pflash,bus=0,unit=0"),
        ("none", "", ""),
    ] {
        let found = refused(machine, &[a, &format!("{b}{second}")]);
        assert_eq!(found.as_deref().unwrap_or_default(), error, "{machine} {second}");
    }
    for (drives, error) in [
        (["id=x,if=none", "id=x,if=none"], "Duplicate ID 'x' for drive"),
        (["id=none1,if=none", "if=none"], "Device with id 'none1' already exists"),
        (
            ["id=x,if=none", "id=d0,if=none,file=a.raw,format=raw,node-name=d0"],
            "Device name 'd0' conflicts with an existing node name",
        ),
    ] {
        assert_eq!(refused("pc", &drives).unwrap(), error);
    }
}

/// Throttling did not find a drive by its name, and refused histograms of an empty one.
#[test]
fn limits_of_a_drive_are_checked() {
    let builder = builder().option("drive", "file=a.raw,format=raw,media=cdrom");
    let client = Client::new(&builder.option("device", "ide-cd,id=e").build());
    let limits = |more: Value| {
        let mut limits =
            json!({"bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0});
        limits.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        limits
    };
    let throttle = "block_set_io_throttle";
    let out_of_range = "bps/iops/max values must be within [0, 1000000000000000]";
    let both = "bps/iops/max total values and read/write values cannot be used at the same time";
    for (more, error) in [
        (json!({"bps": -1}), out_of_range),
        (json!({"bps": 10_000_000_000_000_000_u64}), out_of_range),
        (json!({"bps": 1, "bps_rd": 1}), both),
        (json!({"iops": 1, "iops_wr": 1}), both),
    ] {
        let mut arguments = limits(more);
        arguments["device"] = "ide0-cd0".into();
        assert_eq!(client.error(throttle, arguments), error);
    }
    let set = limits(json!({"device": "ide0-cd0", "bps": 5}));
    assert_eq!(client.execute(throttle, set), [done()]);
    assert_eq!(client.error(throttle, limits(json!({"id": "e"}))), "Device has no medium");
    assert_eq!(
        client.error(throttle, limits(json!({"device": "nope"}))),
        "Device 'nope' not found"
    );
    assert_eq!(client.error(throttle, limits(json!({}))), "Need exactly one of 'device' and 'id'");
    let histogram = "block-latency-histogram-set";
    for boundaries in [json!([]), json!([5, 3]), json!([0])] {
        let arguments = json!({"id": "e", "boundaries": boundaries});
        let error = "Device 'e' set read boundaries fail";
        assert_eq!(client.error(histogram, arguments), error);
    }
    assert_eq!(client.execute(histogram, json!({"id": "e", "boundaries": [1, 2]})), [done()]);
}

/// Only CDs had one after drives had got names.
#[test]
fn a_removable_disk_has_a_tray() {
    let builder = builder().option("drive", "file=a.raw,format=raw,if=none,id=d0");
    let builder = builder.option("drive", "file=b.raw,format=raw,if=none,id=d1");
    let builder = builder.option("device", "virtio-scsi-pci").option("device", "qemu-xhci");
    let builder = builder.option("device", "scsi-hd,drive=d0,id=s,removable=on");
    let client =
        Client::new(&builder.option("device", "usb-storage,drive=d1,removable=on").build());
    let trays = |client: &Client| {
        let block = client.query("query-block");
        [block[0]["tray_open"].clone(), block[1]["tray_open"].clone()]
    };
    assert_eq!(trays(&client), [json!(false), json!(false)]);
    let moved = json!({"device": "d0", "id": "s", "tray-open": true});
    let ejected = client.execute("eject", json!({"id": "s"}));
    assert_eq!(ejected, [event_with("DEVICE_TRAY_MOVED", moved), done()]);
    assert_eq!(trays(&client), [json!(true), json!(false)]);
}

/// Only a PCI device took its drive with it.
#[test]
fn a_drive_goes_with_a_device_on_any_bus() {
    let builder = builder().option("drive", "file=a.raw,format=raw,if=none,id=d0");
    let builder = builder.option("drive", "file=b.raw,format=raw,if=none,id=d1");
    let builder = builder.option("device", "virtio-scsi-pci").option("device", "qemu-xhci");
    let builder = builder.option("device", "scsi-hd,drive=d0,id=s");
    let client = Client::new(&builder.option("device", "usb-storage,drive=d1,id=u").build());
    for id in ["s", "u"] {
        let path = format!("/machine/peripheral/{id}");
        let deleted = event_with("DEVICE_DELETED", json!({"device": id, "path": path}));
        assert_eq!(client.execute("device_del", json!({"id": id})), [deleted, done()]);
    }
    assert_eq!(back_ends(&client), []);
    assert_eq!(client.query("query-named-block-nodes"), json!([]));
}

/// The devices below the first level stayed, with their drives.
#[test]
fn everything_that_is_plugged_into_a_device_goes_with_it() {
    let builder = builder().option("drive", "file=a.raw,format=raw,if=none,id=d0");
    let builder = builder.option("drive", "file=b.raw,format=raw,if=none,id=d1");
    let builder = builder.option("device", "pci-bridge,id=b,chassis_nr=1");
    let builder = builder.option("device", "virtio-scsi-pci,id=v,bus=b,addr=1");
    let builder = builder.option("device", "scsi-hd,drive=d0,id=s,bus=v.0");
    let builder = builder.option("device", "qemu-xhci").option("device", "usb-bot,id=u");
    let client = Client::new(&builder.option("device", "scsi-hd,drive=d1,id=t,bus=u.0").build());
    let deleted = |id: &str| {
        let messages = client.execute("device_del", json!({"id": id}));
        let ids = messages.iter().map(|message| message["data"]["device"].clone());
        ids.filter(|id| id.is_string()).collect::<Value>()
    };
    assert_eq!(deleted("b"), json!(["s", "v", "b"]));
    assert_eq!(deleted("u"), json!(["t", "u"]));
    assert_eq!(back_ends(&client), []);
    assert_eq!(client.query("query-named-block-nodes"), json!([]));
}

/// Returns a client of a machine whose drive `d0` is being backed up.
fn backed_up(device: &str) -> Client {
    let builder = builder().option("drive", "file=a.raw,format=raw,if=none,id=d0");
    let builder = builder.option("device", "virtio-scsi-pci");
    let builder = builder.option("device", device);
    let builder = builder.option("blockdev", "null-co,node-name=t,size=1048576");
    let client = Client::new(&builder.manual_clock().build());
    let backup = json!({"job-id": "j", "device": "d0", "target": "t", "sync": "none"});
    let messages = client.execute("blockdev-backup", backup);
    assert!(messages.contains(&done()), "{messages:?}");
    client
}

/// The job went on with a node that did not exist.
#[test]
fn a_medium_stays_while_a_job_uses_it() {
    let client = backed_up("scsi-cd,drive=d0,id=c");
    let nodes = client.query("query-named-block-nodes");
    let error = "Node 'd0' is busy: block device is in use by block job: backup";
    let moved = json!({"device": "d0", "id": "c", "tray-open": true});
    let moved = event_with("DEVICE_TRAY_MOVED", moved);
    let refused = |replies: &[Value]| replies.last().unwrap()["error"]["desc"].clone();
    // QEMU opens the tray before it notices.
    let replies = client.execute("eject", json!({"id": "c"}));
    assert_eq!((&replies[0], refused(&replies)), (&moved, json!(error)));
    assert_eq!(client.error("blockdev-remove-medium", json!({"id": "c"})), error);
    let change = json!({"id": "c", "filename": "b.raw", "format": "raw"});
    assert_eq!(client.error("blockdev-change-medium", change), error);
    assert_eq!(client.query("query-named-block-nodes"), nodes);
}

#[test]
fn a_job_is_cancelled_when_its_drive_is_unplugged() {
    let client = backed_up("scsi-hd,drive=d0,id=s");
    let messages = client.execute("device_del", json!({"id": "s"}));
    let told = messages.iter().map(|message| match &message["data"]["status"] {
        Value::Null => message["event"].clone(),
        status => status.clone(),
    });
    let events = ["aborting", "BLOCK_JOB_CANCELLED", "concluded", "null", "DEVICE_DELETED"];
    let mut expected: Vec<Value> = events.into_iter().map(Value::from).collect();
    expected.push(Value::Null);
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(client.query("query-jobs"), json!([]));
    let nodes = client.query("query-named-block-nodes");
    assert_eq!((nodes.as_array().unwrap().len(), &nodes[0]["node-name"]), (1, &json!("t")));
}

/// A mirror that was ready is left as it is, and its target with it.
#[test]
fn a_mirror_that_is_ready_completes_when_its_drive_is_unplugged() {
    let builder = builder().option("drive", "file=a.raw,format=raw,if=none,id=d0");
    let builder = builder.option("device", "virtio-blk-pci,drive=d0,id=v");
    let builder = builder.option("blockdev", "null-co,node-name=t,size=1048576");
    let client = Client::new(&builder.build());
    let mirror = json!({"job-id": "j", "device": "d0", "target": "t", "sync": "full"});
    client.execute("blockdev-mirror", mirror);
    assert_eq!(client.query("query-jobs")[0]["status"], "ready");
    let messages = client.execute("device_del", json!({"id": "v"}));
    let completed = messages.iter().position(|message| message["event"] == "BLOCK_JOB_COMPLETED");
    let deleted = messages.iter().position(|message| message["event"] == "DEVICE_DELETED");
    assert!(completed.is_some() && completed < deleted, "{messages:?}");
    let nodes = client.query("query-named-block-nodes");
    assert_eq!((nodes.as_array().unwrap().len(), &nodes[0]["node-name"]), (1, &json!("t")));
}

/// The old nodes stayed, although nothing could remove them.
#[test]
fn the_old_nodes_of_a_drive_go_when_a_mirror_completes() {
    let builder = builder().option("drive", "file=a.qcow2,if=none,id=d0");
    let builder = builder.option("device", "virtio-blk-pci,drive=d0");
    let builder = builder.option("blockdev", "null-co,node-name=t,size=4194304");
    let client = Client::new(&builder.build());
    let mirror = json!({"job-id": "j", "device": "d0", "target": "t", "sync": "full"});
    client.execute("blockdev-mirror", mirror);
    client.execute("block-job-complete", json!({"device": "j"}));
    assert_eq!(client.query("query-jobs"), json!([]));
    let nodes = client.query("query-named-block-nodes");
    assert_eq!((nodes.as_array().unwrap().len(), &nodes[0]["node-name"]), (1, &json!("t")));
    assert_eq!(client.query("query-block")[0]["inserted"]["node-name"], "t");
}

/// Each new medium was read-only.
#[test]
fn a_changed_medium_is_as_writable_as_the_old_one() {
    let client = client(&[
        "file=a.raw,format=raw,if=none,id=rw",
        "file=a.raw,format=raw,if=none,id=ro,readonly=on",
        "if=none,id=empty",
        "media=cdrom,id=cd",
    ]);
    for name in ["rw", "ro", "empty", "cd"] {
        let change = json!({"device": name, "filename": "b.raw", "format": "raw"});
        let messages = client.execute("blockdev-change-medium", change);
        assert_eq!(messages.last(), Some(&done()), "{name}");
    }
    let block = client.query("query-block");
    let media = block.as_array().unwrap().iter().map(|info| info["inserted"]["ro"].clone());
    assert_eq!(media.collect::<Value>(), json!([false, true, false, true]));
}
