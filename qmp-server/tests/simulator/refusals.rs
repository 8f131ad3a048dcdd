//! The simulated machine refuses what QEMU refuses, in the same words, and accepts what QEMU accepts.

use qmp_server::Simulator;
use serde_json::{Value, json};

use crate::client::{Client, done};

/// Executes commands, with the texts of their errors; `None` for those that succeed.
fn check(client: &Client, cases: &[(&str, Value, Option<&str>)]) {
    for (command, arguments, error) in cases {
        let messages = client.execute(command, arguments.clone());
        let reply = messages.iter().find(|message| message.get("event").is_none()).unwrap();
        assert_eq!(reply["error"]["desc"].as_str(), *error, "{command} {arguments}");
    }
}

fn device(driver: &str, property: &str, value: impl Into<Value>) -> Value {
    json!({"driver": driver, property: value.into()})
}

#[test]
fn properties_are_checked_against_those_of_the_device() {
    let client = Client::new(&Simulator::new());
    let add = "device_add";
    check(
        &client,
        &[
            (
                add,
                device("virtio-rng-pci", "nope", 1),
                Some("Property 'virtio-rng-pci.nope' not found"),
            ),
            (
                add,
                device("virtio-net-pci", "mac", "zz"),
                Some("Property 'virtio-net-device.mac' doesn't take value 'zz'"),
            ),
            (
                add,
                device("virtio-net-pci", "vectors", "abc"),
                Some("Parameter 'vectors' expects uint64"),
            ),
            (
                add,
                device("virtio-net-pci", "vectors", -1),
                Some("Parameter 'vectors' expects uint32_t"),
            ),
            (
                add,
                device("virtio-net-pci", "speed", 1_u64 << 40),
                Some("Parameter 'speed' expects int32_t"),
            ),
            (
                add,
                device("virtio-net-pci", "csum", 1),
                Some("Invalid parameter type for 'csum', expected: boolean"),
            ),
            (
                add,
                device("virtio-net-pci", "disable-legacy", "x"),
                Some("Parameter 'disable-legacy' does not accept value 'x'"),
            ),
            (
                add,
                device("virtio-blk-pci", "drive", "nope"),
                Some("Property 'virtio-blk-device.drive' can't find value 'nope'"),
            ),
            (add, device("virtio-blk-pci", "iothread", "nope"), Some("Device 'nope' not found")),
            (
                add,
                device("virtio-rng-pci", "rng", "iothread0"),
                Some("Invalid parameter type for 'rng', expected: rng-backend"),
            ),
            (
                add,
                device("virtio-rng-pci", "addr", "5"),
                Some(
                    "PCI: slot 5 function 0 not available for virtio-rng-pci, in use by virtio-balloon-pci,id=balloon0",
                ),
            ),
            (add, device("virtio-rng-pci", "id", "1 x"), Some("Invalid qdev ID '1 x'")),
            (
                add,
                device("virtio-device", "id", "x"),
                Some("Parameter 'driver' expects a non-abstract device type"),
            ),
            (
                add,
                device("i440FX", "id", "x"),
                Some("Parameter 'driver' expects a pluggable device type"),
            ),
            (
                add,
                device("usb-tablet", "id", "x"),
                Some("No 'usb-bus' bus found for device 'usb-tablet'"),
            ),
        ],
    );
}

#[test]
fn devices_that_qemu_accepts_are_accepted() {
    let client = Client::new(&Simulator::new());
    for (driver, id, more) in [
        ("qemu-xhci", "usb0", json!({})),
        ("usb-tablet", "tablet0", json!({"bus": "usb0.0"})),
        ("virtio-serial", "serial0", json!({})),
        ("virtserialport", "port0", json!({"bus": "serial0.0", "name": "org.qemu.guest_agent.0"})),
        ("virtio-scsi-pci", "scsi0", json!({})),
        ("virtio-net-pci", "nic1", json!({"speed": -1, "addr": -1})),
    ] {
        let mut arguments = json!({"driver": driver, "id": id});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(client.execute("device_add", arguments), [done()], "{driver}");
    }
    let stats = json!({"path": "balloon0", "property": "guest-stats"});
    let stats = client.execute("qom-get", stats);
    assert_eq!(stats[0]["return"]["stats"]["stat-free-memory"], u64::MAX);
    let poll = json!({"path": "/objects/iothread0", "property": "poll-max-ns"});
    assert_eq!(client.execute("qom-get", poll), [json!({"return": 32768})]);
    let reset = client.execute("human-monitor-command", json!({"command-line": "system_reset"}));
    assert_eq!(reset[0]["event"], "RESET");
    // QEMU takes negative numbers as large ones.
    let huge = json!({"driver": "null-co", "node-name": "n", "latency-ns": -5});
    assert_eq!(client.error("blockdev-add", huge), "latency-ns is invalid");
}

#[test]
fn files_formats_and_servers_have_to_exist() {
    let builder = Simulator::builder().manual_clock().sees_host(false);
    let builder = builder.file("raw", "raw", 1 << 20);
    let client = Client::new(&builder.file("small", "qcow2", 4096).build());
    let add = "blockdev-add";
    let file = |name: &str| json!({"driver": "file", "filename": name});
    let over =
        |driver: &str, name: &str| json!({"driver": driver, "node-name": "n", "file": file(name)});
    let server = json!({"type": "unix", "path": "/no/such/socket"});
    check(
        &client,
        &[
            (
                add,
                over("raw", "/no/such/file"),
                Some("Could not open '/no/such/file': No such file or directory"),
            ),
            (add, over("qcow2", "raw"), Some("Image is not in qcow2 format")),
            (
                add,
                json!({"driver": "nbd", "node-name": "n", "server": server}),
                Some("Failed to connect to '/no/such/socket': No such file or directory"),
            ),
            (
                add,
                json!({"driver": "raw", "node-name": "n", "file": file("raw"), "size": 2 << 20}),
                Some(
                    "The sum of offset (0) and size (2097152) has to be smaller or equal to the  actual size of the containing file (1048576)",
                ),
            ),
            (add, json!({"driver": "null-co", "node-name": "#x"}), Some("Invalid node-name: '#x'")),
            (
                add,
                json!({"driver": "null-co", "node-name": "n".repeat(32)}),
                Some("Node name too long"),
            ),
            (add, over("qcow2", "small"), None),
            (
                "object-add",
                json!({"qom-type": "iothread", "id": "1 x"}),
                Some("Parameter 'id' expects an identifier"),
            ),
            (
                "netdev_add",
                json!({"type": "user", "id": "1 x"}),
                Some("Parameter 'id' expects an identifier"),
            ),
            (
                "netdev_add",
                json!({"type": "tap", "id": "t", "fd": "nope"}),
                Some("File descriptor named 'nope' has not been found"),
            ),
            (
                "blockdev-create",
                json!({"job-id": "1 j", "options": file("x")}),
                Some("Parameter 'options.size' is missing"),
            ),
        ],
    );
    // A job that must fail carries its error.
    let options = json!({"driver": "qcow2", "file": "nope", "size": 1 << 20});
    client.execute("blockdev-create", json!({"job-id": "j", "options": options}));
    let job = client.query("query-jobs")[0].clone();
    assert_eq!(job["error"], "Cannot find device='nope' nor node-name='nope'");
}

#[test]
fn object_properties_have_types_and_ranges() {
    let client = Client::new(&Simulator::new());
    let set = |path: &str, name: &str, value: Value| json!({"path": path, "property": name, "value": value});
    let io = "/objects/iothread0";
    check(
        &client,
        &[
            ("qom-set", set(io, "nope", json!(1)), Some("Property 'iothread.nope' not found")),
            (
                "qom-set",
                set(io, "poll-max-ns", json!("x")),
                Some("Invalid parameter type for 'poll-max-ns', expected: integer"),
            ),
            (
                "qom-set",
                set(io, "poll-max-ns", json!(-1)),
                Some("poll-max-ns value must be in range [0, 9223372036854775807]"),
            ),
            ("qom-set", set(io, "poll-max-ns", json!(5)), None),
            (
                "qom-set",
                set("net0", "mac", json!("x")),
                Some(
                    "Attempt to set property 'mac' on anonymous device (type 'virtio-net-device') after it was realized",
                ),
            ),
            ("qom-set", set("net0", "bootindex", json!(5)), None),
            (
                "qom-set",
                set("/machine", "type", json!("x")),
                Some("Property 'pc-i440fx-11.1-machine.type' is not writable"),
            ),
        ],
    );
}

/// An image can name itself as its backing file.
#[cfg(unix)]
#[test]
fn an_image_that_backs_itself_is_refused() {
    let path = std::env::temp_dir().join(format!("qmp-loop-{}", std::process::id()));
    let name = path.display().to_string();
    let client = Client::new(&Simulator::new());
    let file = json!({"driver": "file", "node-name": "f", "filename": name});
    let create = json!({"driver": "file", "filename": name, "size": 0});
    client.execute("blockdev-create", json!({"job-id": "a", "options": create}));
    assert_eq!(client.execute("blockdev-add", file), [done()]);
    let create = json!({"driver": "qcow2", "file": "f", "size": 1 << 20, "backing-file": name, "backing-fmt": "qcow2"});
    client.execute("blockdev-create", json!({"job-id": "b", "options": create}));
    let image = json!({"driver": "qcow2", "node-name": "q", "file": "f"});
    let error = client.error("blockdev-add", image);
    assert!(error.ends_with("nodes are nested more than 64 levels deep"), "{error}");
    assert_eq!(client.query("query-named-block-nodes").as_array().unwrap().len(), 5);
    std::fs::remove_file(path).unwrap();
}

/// A client could add things until the memory was full.
#[test]
fn there_is_room_for_a_number_of_things_of_each_kind() {
    type Arguments = fn(String) -> Value;
    let client = Client::new(&Simulator::builder().sees_host(false).build());
    // With the number of those that exist.
    let added: [(&str, usize, &str, Arguments); 8] = [
        ("network backends", 1, "netdev_add", |id| json!({"type": "user", "id": id})),
        (
            "character devices",
            1,
            "chardev-add",
            |id| json!({"id": id, "backend": {"type": "null", "data": {}}}),
        ),
        ("objects", 1, "object-add", |id| json!({"qom-type": "iothread", "id": id})),
        ("devices", 6, "device_add", |id| json!({"driver": "scsi-cd", "bus": "scsi.0", "id": id})),
        ("dirty bitmaps", 0, "block-dirty-bitmap-add", |id| json!({"node": "disk0", "name": id})),
        (
            "snapshots",
            0,
            "blockdev-snapshot-internal-sync",
            |id| json!({"device": "disk0", "name": id}),
        ),
        ("jobs", 0, "blockdev-create", |id| {
            let image = json!({"driver": "file", "filename": format!("/{id}"), "size": 1});
            json!({"job-id": id, "options": image})
        }),
        (
            "block exports",
            0,
            "block-export-add",
            |id| json!({"type": "nbd", "id": id, "node-name": "disk0", "name": id}),
        ),
    ];
    let address = json!({"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}});
    client.execute("nbd-server-start", address);
    client.execute("device_add", json!({"driver": "virtio-scsi-pci", "id": "scsi"}));
    for (kind, exist, command, arguments) in added {
        let error = format!("Too many {kind}: the simulated machine has at most 1000");
        let mut refused = None;
        let mut count = exist;
        while refused.is_none() {
            let messages = client.execute(command, arguments(format!("t{count}")));
            let mut errors =
                messages.iter().filter_map(|message| message["error"]["desc"].as_str());
            refused = errors.next().map(str::to_owned);
            count += usize::from(refused.is_none());
        }
        assert_eq!((count, refused), (1000, Some(error)), "{command}");
    }
    // Two of the files exist from the start.
    let jobs = client.query("query-jobs");
    let failed = jobs.as_array().unwrap().iter().filter(|job| job.get("error").is_some());
    let errors: Vec<_> = failed.map(|job| job["error"].as_str().unwrap()).collect();
    let error = |id| format!("Could not create '/{id}': No space left on device");
    assert_eq!(errors, [error("t999"), error("t998")]);
    // A snapshot of the same name is replaced.
    let save = |tag: &str| {
        let line = format!("savevm {tag}");
        client.execute("human-monitor-command", json!({"command-line": line})).pop().unwrap()
    };
    assert_eq!(save("t0"), json!({"return": ""}));
    assert_eq!(
        save("new"),
        json!({"return": "Error: Too many snapshots: the simulated machine has at most 1000\r\n"})
    );
}

/// The author of a machine knows its size.
#[test]
fn a_machine_is_built_with_any_number_of_things() {
    let netdev = |at: usize| json!({"type": "user", "id": format!("n{at}")});
    let ring = |at: usize| json!({"id": format!("c{at}"), "backend": {"type": "ringbuf", "data": {"size": 8 << 20}}});
    let mut builder = Simulator::builder();
    for at in 0..1001 {
        builder = builder.netdev(netdev(at));
    }
    for at in 0..3 {
        builder = builder.chardev(ring(at));
    }
    let client = Client::new(&builder.build());
    let error = client.error("netdev_add", netdev(1001));
    assert_eq!(error, "Too many network backends: the simulated machine has at most 1000");
}

/// A few large arguments took as much memory as many things.
#[test]
fn arguments_that_are_kept_have_a_limit() {
    let client = Client::new(&Simulator::new());
    let secret = |size: usize| json!({"qom-type": "secret", "id": "s", "data": "x".repeat(size)});
    let too_large = |name: &str| {
        format!("The arguments of {name} are too large: the simulated machine keeps 64 KiB")
    };
    let (error, large) = (too_large("object-add"), 64 << 10);
    let device = json!({"driver": "scsi-cd", "bus": "scsi.0", "id": "x".repeat(large)});
    let paths = json!({"paths": vec!["/machine"; 2000]});
    let numbers = json!({"qom-type": "memory-backend-ram", "id": "m", "size": 1,
                         "host-nodes": vec![0; large / 8]});
    let snapshot = |name: &str| {
        json!({"type": "blockdev-snapshot-internal-sync",
               "data": {"device": "disk0", "name": name}})
    };
    let actions = |names: [&str; 2]| json!({"actions": names.map(snapshot)});
    let name = "x".repeat(large / 2);
    let action = too_large("blockdev-snapshot-internal-sync");
    let ring = json!({"id": "r", "backend": {"type": "ringbuf", "data": {"size": 1 << 20}}});
    check(
        &client,
        &[
            ("object-add", secret(large), Some(&error)),
            ("object-add", numbers, Some(&error)),
            ("object-add", secret(large - 1000), None),
            ("device_add", device, Some(&too_large("device_add"))),
            ("qom-list-get", paths, None),
            ("transaction", actions(["a", &"x".repeat(large)]), Some(&action)),
            ("transaction", actions([&name, &format!("{name}x")]), None),
            ("chardev-add", ring, None),
            ("ringbuf-write", json!({"device": "r", "data": "x".repeat(2 * large)}), None),
        ],
    );
}

#[test]
fn ring_buffers_share_their_memory() {
    let client = Client::new(&Simulator::new());
    let ring =
        |id: &str| json!({"id": id, "backend": {"type": "ringbuf", "data": {"size": 8 << 20}}});
    let full = "Failed to add chardev 'c': the simulated machine keeps at most 16 MiB";
    let add = "chardev-add";
    check(&client, &[(add, ring("a"), None), (add, ring("b"), None), (add, ring("c"), Some(full))]);
    check(&client, &[("chardev-remove", json!({"id": "a"}), None), (add, ring("c"), None)]);
    // One that is replaced does not count.
    check(&client, &[("chardev-change", ring("c"), None)]);
}

/// A NIC without `id` could not be unplugged from the network, and had no name in replies.
#[test]
fn a_nic_without_id_has_a_name_in_the_network() {
    let client = Client::new(&Simulator::new());
    let nic = |driver: &str| ("device_add", json!({"driver": driver}), None);
    check(&client, &[nic("virtio-net-pci"), nic("e1000"), nic("virtio-net-pci")]);
    let link = |name: &str| ("set_link", json!({"name": name, "up": false}));
    for name in ["virtio-net-pci.1", "virtio-net-pci.2", "e1000.0", "net0"] {
        let (command, arguments) = link(name);
        check(&client, &[(command, arguments, None)]);
    }
    for name in ["virtio-net-pci.0", "virtio-net-pci.3", "e1000.1", ""] {
        let (command, arguments) = link(name);
        let error = format!("Device '{name}' not found");
        check(&client, &[(command, arguments, Some(&error))]);
    }
    let filters = client.query("query-rx-filter");
    let names: Vec<_> = filters.as_array().unwrap().iter().map(|nic| nic["name"].clone()).collect();
    assert_eq!(names, ["net0", "virtio-net-pci.1", "virtio-net-pci.2"]);
    let last = |at: usize| filters[at]["main-mac"].as_str().unwrap().rsplit(':').next();
    assert_eq!([0, 1, 2].map(last), [Some("56"), Some("57"), Some("59")], "{filters}");
    let unnamed = "invalid net client name: ";
    check(&client, &[("query-rx-filter", json!({"name": ""}), Some(unnamed))]);
}

/// NICs beyond those for which there are addresses had one that QEMU never gives.
#[test]
fn nics_get_the_addresses_that_qemu_gives() {
    let client = Client::new(&Simulator::new());
    let add = |nic: Value| assert_eq!(client.execute("device_add", nic), [done()]);
    let last = || {
        let filters = client.query("query-rx-filter");
        let last = filters.as_array().unwrap().last().unwrap();
        last["main-mac"].as_str().unwrap().to_owned()
    };
    for (given, expected) in [
        ("52-54:00-AB-cd-12", "52:54:00:ab:cd:12"),
        ("00:00:00:00:00:00", "52:54:00:12:34:57"),
        ("52:54:00:12:34:FE", "52:54:00:12:34:fe"),
    ] {
        add(json!({"driver": "virtio-net-pci", "mac": given}));
        assert_eq!(last(), expected);
    }
    let addresses = (10..32).flat_map(|slot| (1..8).map(move |function| (slot, function)));
    for (slot, function) in addresses {
        add(json!({"driver": "virtio-net-pci", "addr": format!("{slot:x}.{function}")}));
    }
    assert_eq!(last(), "52:54:00:12:34:f1");
    for slot in 10..32 {
        add(json!({"driver": "virtio-net-pci", "addr": format!("{slot:x}")}));
    }
    assert_eq!(last(), "52:54:00:12:34:ff");
}
