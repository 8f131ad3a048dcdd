//! The human monitor's `info`, whose text programs read as well.

use qmp_server::Simulator;
use serde_json::json;

use crate::client::Client;

fn info(client: &Client, topic: &str) -> String {
    let line = json!({"command-line": format!("info {topic}")});
    let replies = client.execute("human-monitor-command", line);
    let reply = replies.last().unwrap();
    reply["return"].as_str().unwrap_or_else(|| panic!("{replies:?}")).to_owned()
}

#[test]
fn a_machine_with_devices_is_described_in_qemus_words() {
    let builder = Simulator::builder().empty().name("demo").sees_host(false);
    let builder =
        builder.uuid("3f5d9a4e-0a3b-4c2e-9a54-1f5ad2d3c001").memory(256 << 20).paused(true);
    let builder = [
        ("object", "iothread,id=io1"),
        ("netdev", "user,id=n1"),
        ("netdev", "user,id=n2"),
        ("chardev", "null,id=c1"),
        ("device", "virtio-net-pci,netdev=n1,id=nic1,mac=52:54:00:12:34:77"),
        ("device", "virtio-balloon-pci"),
        ("device", "qemu-xhci,id=usb"),
        ("device", "usb-tablet,bus=usb.0,id=tab"),
        ("device", "ide-cd,id=cd0"),
    ]
    .into_iter()
    .fold(builder, |builder, (option, argument)| builder.option(option, argument));
    let client = Client::new(&builder.build());
    for (topic, text) in [
        ("balloon", "balloon: actual=256\r\n"),
        (
            "block",
            "cd0: [not inserted]\r\n    Attached to:      cd0\r\n    Removable device: not locked, \
             tray closed\r\n",
        ),
        ("block-jobs", "No active jobs\r\n"),
        ("mice", "  Mouse #3: QEMU HID Tablet (absolute)\r\n* Mouse #2: QEMU PS/2 Mouse\r\n"),
        ("migrate", ""),
        ("name", "demo\r\n"),
        ("snapshots", concat!("There is", " no snapshot available.\r\n")),
        ("spice", "Server: disabled\r\n"),
        ("status", "VM status: paused (prelaunch)\r\n"),
        ("usb", "  Device 0.0, Port 1, Speed 480 Mb/s, Product QEMU USB Tablet, ID: tab\r\n"),
        ("uuid", "3f5d9a4e-0a3b-4c2e-9a54-1f5ad2d3c001\r\n"),
        ("version", "11.1.0simulated machine\r\n"),
        ("vnc", "None\r\n"),
    ] {
        assert_eq!(info(&client, topic), text, "{topic}");
    }
    let network = info(&client, "network");
    let nic = "nic1: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:77\r\n \\ n1: ";
    assert!(network.starts_with(nic) && network.contains("\r\nn2: index=0,type=user"), "{network}");
    let iothreads = info(&client, "iothreads");
    assert!(iothreads.starts_with("io1:\r\n  thread_id="), "{iothreads}");
    assert!(iothreads.contains("\r\n  poll-max-ns=32768\r\n"), "{iothreads}");
    let chardevs = info(&client, "chardev");
    assert!(chardevs.contains("c1: filename=null\r\n"), "{chardevs}");
    let cpus = info(&client, "cpus");
    let lines: Vec<&str> = cpus.lines().collect();
    assert!(lines[0].starts_with("* CPU #0: thread_id="), "{cpus}");
    assert!(lines[1].starts_with("  CPU #1: thread_id=") && lines[1].ends_with(" model=qemu64"));
    let devices = info(&client, "pci");
    let nic = "Ethernet controller: PCI device 1af4:1000\r\n      id \"nic1\"\r\n";
    assert!(devices.contains(nic), "{devices}");
    assert!(info(&client, "qtree").contains("dev: usb-tablet, id \"tab\"\r\n"));
    assert!(info(&client, "registers").starts_with("\r\nCPU#0\r\nEAX=00000000 "));
}

#[test]
fn the_info_follows_jobs_migrations_and_pauses() {
    let client = Client::new(&Simulator::builder().manual_clock().build());
    assert_eq!(info(&client, "balloon"), "balloon: actual=1024\r\n");
    client.execute("stop", json!({}));
    assert_eq!(info(&client, "status"), "VM status: paused\r\n");
    let node = json!({"driver": "null-co", "node-name": "t", "size": 8_u64 << 30});
    client.execute("blockdev-add", node);
    let mirror = json!({"job-id": "j", "device": "disk0", "target": "t", "sync": "full"});
    client.execute("blockdev-mirror", mirror);
    let jobs = "Type mirror, device j: Completed 8589934592 of 8589934592 bytes, speed limit 0 \
                bytes/s\r\n";
    assert_eq!(info(&client, "block-jobs"), jobs);
    client.execute("migrate", json!({"uri": "tcp:127.0.0.1:1"}));
    let migration = info(&client, "migrate");
    assert!(migration.starts_with("Status: \t\t"), "{migration}");
    // No balloon, and no argument of the topic.
    let bare = Client::new(&Simulator::builder().empty().build());
    let text = info(&bare, "balloon");
    assert!(text.starts_with("Error: No balloon device"), "{text}");
}
