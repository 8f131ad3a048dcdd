//! The same values as arguments of one machine and as commands of another: both have the same nodes,
//! devices, objects and character devices, and both can be unplugged.
//!
//! The tests run with every program that `QMP_TEST_QEMUS` lists, or with the QEMU that `live.rs` uses.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{
    BlockdevAdd, BlockdevDel, ChardevAdd, ChardevRemove, Cont, DeviceAdd, NetdevAdd, NetdevDel,
    ObjectAdd, ObjectDel, QomGet, QomList, QueryBlock, QueryChardev, QueryNamedBlockNodes,
};
use qmp_client::qmp::events::DeviceDeleted;
use qmp_client::qmp::types::*;
use qmp_client::{Error, Options, Raw};
use qmp_vm::{Launch, Launched, Unplugged, Workflows};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn programs() -> Vec<String> {
    let named = std::env::var("QMP_TEST_QEMUS").unwrap_or_default();
    let named: Vec<_> =
        named.split([':', '\n']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if !named.is_empty() {
        return named;
    }
    vec![std::env::var("QMP_TEST_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".to_owned())]
}

fn qemu(program: &str) -> Launch {
    Launch::new(program)
        .machine("pc,accel=tcg")
        .args(["-display", "none", "-nodefaults", "-S", "-m", "64"])
        .options(Options::new().greeting_within(PATIENCE).calls_within(PATIENCE))
}

/// The parts that are plugged.
struct Parts {
    nodes: Vec<BlockdevOptions>,
    netdev: Netdev,
    objects: Vec<ObjectOptions>,
    chardevs: Vec<ChardevAdd>,
    devices: Vec<DeviceAdd>,
}

fn decoded<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn parts(path: &str) -> Parts {
    let chardev = |backend: Value| decoded(json!({"id": "console", "backend": backend}));
    Parts {
        nodes: vec![decoded(json!({
            "driver": "raw", "node-name": "disk", "read-only": true, "cache": {"direct": false},
            "file": {"driver": "null-co", "node-name": "bytes", "size": 1 << 20},
        }))],
        netdev: decoded(json!({
            "type": "user", "id": "net", "ipv6": false, "restrict": true,
            "hostfwd": [{"str": "tcp:127.0.0.1:0-:22"}],
        })),
        objects: vec![
            decoded(json!({"qom-type": "iothread", "id": "io", "poll-max-ns": 12345})),
            decoded(json!({"qom-type": "secret", "id": "sec", "data": "hunter2 it's"})),
            decoded(
                json!({"qom-type": "secret", "id": "sec64", "data": "aHVudGVyMg==", "format": "base64"}),
            ),
        ],
        chardevs: vec![chardev(json!({
            "type": "socket",
            "data": {"addr": {"type": "unix", "data": {"path": path}}, "telnet": true},
        }))],
        devices: vec![
            decoded(json!({
                "driver": "virtio-blk-pci", "id": "d0", "drive": "disk", "iothread": "io",
                "serial": "1e5", "num-queues": 2,
            })),
            decoded(
                json!({"driver": "e1000", "id": "n0", "netdev": "net", "mac": "52:54:00:00:00:01", "romfile": ""}),
            ),
            decoded(json!({"driver": "virtio-serial-pci", "id": "ports", "max_ports": 3})),
            decoded(
                json!({"driver": "virtconsole", "id": "s0", "bus": "ports.0", "chardev": "console"}),
            ),
        ],
    }
}

fn cold(program: &str, parts: &Parts) -> Launched<Client> {
    let mut launch = qemu(program).netdev(&parts.netdev);
    launch = parts.nodes.iter().fold(launch, Launch::blockdev);
    launch = parts.objects.iter().fold(launch, Launch::object);
    launch = parts.chardevs.iter().fold(launch, Launch::chardev);
    launch = parts.devices.iter().fold(launch, Launch::device);
    let line = launch.shell_line();
    assert!(!line.contains("hunter2") && !line.contains("aHVudGVyMg"), "{line}");
    println!("{line}");
    let vm =
        launch.start::<Client>().unwrap_or_else(|error| panic!("{program}: {}", error.report()));
    if cfg!(target_os = "linux") {
        let line = std::fs::read(format!("/proc/{}/cmdline", vm.process().id())).unwrap();
        let line = String::from_utf8_lossy(&line);
        assert!(line.contains("/dev/fd/"), "{line}");
        assert!(!line.contains("hunter2") && !line.contains("aHVudGVyMg"), "{line}");
    }
    vm
}

fn hot(program: &str, parts: &Parts) -> Launched<Client> {
    let vm = qemu(program).start::<Client>().unwrap();
    for object in &parts.objects {
        vm.execute(ObjectAdd::new(object.clone())).unwrap();
    }
    for node in &parts.nodes {
        vm.execute(BlockdevAdd::new(node.clone())).unwrap();
    }
    vm.execute(NetdevAdd::new(parts.netdev.clone())).unwrap();
    for chardev in &parts.chardevs {
        vm.execute(chardev.clone()).unwrap();
    }
    for device in &parts.devices {
        vm.execute(device.clone()).unwrap();
    }
    vm
}

/// Returns all properties of a device or object that do not differ between machines.
fn properties(vm: &Client, path: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for property in vm.execute(QomList::new(path)).unwrap() {
        let kind = property.type_;
        if kind.starts_with("child<") || kind.starts_with("link<") {
            found.insert(property.name, kind.into());
        } else if let Ok(value) = vm.execute(QomGet::new(path, property.name.clone())) {
            found.insert(property.name, value);
        }
    }
    // Secrets come another way; threads differ, and where a slot is free depends on the order.
    for name in
        ["thread-id", "addr", "data", "file", "format", "hotplugged", "realized", "legacy-addr"]
    {
        found.remove(name);
    }
    found
}

fn state(vm: &Client) -> BTreeMap<String, Value> {
    let mut state = BTreeMap::new();
    let mut nodes: Value = vm.execute(Raw::<Value>::new("query-named-block-nodes")).unwrap();
    for node in nodes.as_array_mut().unwrap() {
        let name = node["node-name"].as_str().unwrap().to_owned();
        assert!(!name.starts_with('#'), "{name}");
        state.insert(format!("node {name}"), node.take());
    }
    let block = vm.execute(QueryBlock::new()).unwrap();
    state.insert("block".into(), block.iter().map(|b| b.qdev.clone()).collect());
    let chardevs = vm.execute(QueryChardev::new()).unwrap();
    let console = chardevs.into_iter().find(|chardev| chardev.label == "console").unwrap();
    state.insert("chardev".into(), json!([console.filename, console.frontend_open]));
    for place in ["peripheral/d0", "peripheral/n0", "peripheral/s0", "peripheral/ports"] {
        let path = format!("/machine/{place}");
        state.insert(path.clone(), json!(properties(vm, &path)));
    }
    for object in ["io", "sec", "sec64"] {
        let path = format!("/objects/{object}");
        state.insert(path.clone(), json!(properties(vm, &path)));
    }
    state
}

/// Unplugs everything, and returns how long the node was in use after its device had disappeared.
fn unplug(vm: &Launched<Client>) -> Duration {
    let devices = ["s0", "ports", "d0", "n0"];
    let mut gone = vm.events_of::<DeviceDeleted>().matching(move |it| {
        it.event.device.as_deref().is_some_and(|device| devices.contains(&device))
    });
    // The guest does not run: a machine that is reset releases what it was asked to.
    for device in devices {
        vm.execute(Raw::<Value>::new("device_del").arguments(&json!({"id": device}))).unwrap();
    }
    vm.execute(Cont::new()).unwrap();
    vm.execute(Raw::<Value>::new("system_reset")).unwrap_or_else(|error| {
        panic!("{error}: {:?} {}", vm.process().wait_within(PATIENCE), vm.process().stderr())
    });
    let begin = Instant::now();
    loop {
        let left: Vec<_> = vm.execute(QomList::new("/machine/peripheral")).unwrap();
        if left.iter().all(|item| !item.type_.starts_with("child<")) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The devices have disappeared, and hold what they use until no virtual CPU can reach them: one
    // that computes without a pause delays that, and one that is stopped does not.
    let disappeared = Instant::now();
    vm.execute(Raw::<Value>::new("stop")).unwrap();
    for _ in devices {
        gone.next_within(PATIENCE).unwrap().unwrap();
    }
    let took = disappeared.elapsed();
    // After the events, nothing is in use.
    vm.execute(BlockdevDel::new("disk")).unwrap();
    // Nothing is left to be done, which is not an error.
    assert_eq!(vm.unplug_disk("d0", "disk", PATIENCE).unwrap(), Unplugged::Deleted);
    vm.execute(NetdevDel::new("net")).unwrap();
    vm.execute(ChardevRemove::new("console")).unwrap();
    for object in ["io", "sec", "sec64"] {
        vm.execute(ObjectDel::new(object)).unwrap();
    }
    assert!(vm.execute(QueryNamedBlockNodes::new()).unwrap().is_empty());
    took
}

#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn cold_and_hot_are_the_same() {
    for (number, program) in programs().iter().enumerate() {
        let path = |name| {
            let file = format!("qmp-vm-cold-{}-{number}-{name}, 1", std::process::id());
            std::env::temp_dir().join(file).to_str().unwrap().to_owned()
        };
        let started = cold(program, &parts(&path("c")));
        let plugged = hot(program, &parts(&path("h")));
        let text = |state: BTreeMap<String, Value>, name| {
            let text = serde_json::to_string_pretty(&state).unwrap();
            text.replace(&path(name), "PATH")
        };
        let (one, other) = (text(state(&started), "c"), text(state(&plugged), "h"));
        let lines = one.lines().count();
        for (one, other) in one.lines().zip(other.lines()) {
            assert_eq!(one, other, "{program}");
        }
        assert_eq!(lines, other.lines().count());
        println!("{program}: {lines} lines of state agree");
        let (one, other) = (unplug(&started), unplug(&plugged));
        println!("{program}: devices that have disappeared were deleted in {one:?} and {other:?}");
        started.quit().unwrap();
        plugged.quit().unwrap();
    }
}

/// A secret that reaches QEMU through a pipe opens an encrypted image.
#[test]
#[cfg_attr(not(qemu_img), ignore = "needs QEMU and qemu-img: see live.rs")]
fn secrets_arrive() {
    let phrase = "it's a `$HOME` \\ \"phrase\",\nof two lines";
    for (number, program) in programs().iter().enumerate() {
        let image =
            std::env::temp_dir().join(format!("qmp-vm-luks-{}-{number}", std::process::id()));
        let image = image.to_str().unwrap();
        let create = json!({"qom-type": "secret", "id": "s", "data": phrase}).to_string();
        // Measuring the time fails on a busy host.
        let begin = std::time::Instant::now();
        while !std::process::Command::new(program.replace("qemu-system-x86_64", "qemu-img"))
            .args(["create", "-q", "-f", "luks", "--object", &create])
            .args(["-o", "key-secret=s,iter-time=10", image, "1M"])
            .status()
            .unwrap()
            .success()
        {
            assert!(begin.elapsed() < PATIENCE);
        }
        let encoded = "aXQncyBhIGAkSE9NRWAgXCAicGhyYXNlIiwKb2YgdHdvIGxpbmVz";
        let lines = format!("{}\n{}\n", &encoded[..20], &encoded[20..]);
        for (secret, opens) in [
            (json!({"data": phrase}), true),
            (json!({"data": encoded, "format": "base64"}), true),
            (json!({"data": lines, "format": "base64"}), true),
            (json!({"data": "another"}), false),
        ] {
            let mut secret = secret.as_object().unwrap().clone();
            secret.extend([("qom-type".into(), "secret".into()), ("id".into(), "s".into())]);
            let node: BlockdevOptions = decoded(json!({
                "driver": "luks", "node-name": "n", "key-secret": "s",
                "file": {"driver": "file", "filename": image},
            }));
            let launch = qemu(program).blockdev(&node).object(&decoded(secret.into()));
            match launch.start::<Client>() {
                Ok(vm) => drop((vm.quit().unwrap(), assert!(opens, "{program}"))),
                Err(error) => assert!(!opens, "{program}: {}", error.report()),
            }
        }
        std::fs::remove_file(image).unwrap();
    }
}

/// Every backend that `-chardev` knows, as the command and as the option.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn chardevs_as_options() {
    for (number, program) in programs().iter().enumerate() {
        let directory = std::env::temp_dir();
        let file = directory.join(format!("qmp-vm-chardev-{}-{number}", std::process::id()));
        let file = file.to_str().unwrap();
        let unix = |path: String| json!({"type": "unix", "data": {"path": path}});
        let inet = |port: &str| json!({"type": "inet", "data": {"host": "127.0.0.1", "port": port, "ipv4": true}});
        let backends = [
            json!({"type": "null", "data": {}}),
            json!({"type": "null", "data": {"logfile": format!("{file}, log"), "logappend": true}}),
            json!({"type": "file", "data": {"out": format!("{file},out"), "append": true}}),
            json!({"type": "pty", "data": {}}),
            json!({"type": "ringbuf", "data": {"size": 4096}}),
            json!({"type": "stdio", "data": {"signal": false}}),
            json!({"type": "vc", "data": {"cols": 80, "rows": 25}}),
            json!({"type": "testdev", "data": {}}),
            json!({"type": "udp", "data": {"remote": inet("9"), "local": inet("0")}}),
            json!({"type": "socket", "data": {"addr": unix(format!("{file},s"))}}),
            json!({"type": "socket", "data": {"addr": unix(format!("{file},w")), "websocket": true, "wait": false}}),
            json!({"type": "socket", "data": {"addr": inet("0"), "server": true, "nodelay": true, "telnet": true}}),
        ];
        let shown = |vm: &Client, id: &str| {
            let chardevs = vm.execute(QueryChardev::new()).unwrap();
            let chardev = chardevs.into_iter().find(|chardev| chardev.label == id).unwrap();
            // Ports and terminals differ.
            let name = chardev.filename.split("/dev/pts").next().unwrap().to_owned();
            name.split("127.0.0.1").next().unwrap().to_owned()
        };
        let mut launch = qemu(program);
        for (number, backend) in backends.iter().enumerate() {
            let chardev: ChardevAdd =
                decoded(json!({"id": format!("c{number}"), "backend": backend}));
            launch = launch.chardev(&chardev);
        }
        let started =
            launch.start::<Client>().unwrap_or_else(|e| panic!("{program}: {}", e.report()));
        let plugged = qemu(program).start::<Client>().unwrap();
        for (number, backend) in backends.iter().enumerate() {
            let id = format!("c{number}");
            let mut backend = backend.clone();
            // One machine has the name of the socket already.
            if let Some(path) = backend.pointer_mut("/data/addr/data/path") {
                *path = format!("{}2", path.as_str().unwrap()).into();
            }
            plugged.execute(decoded::<ChardevAdd>(json!({"id": id, "backend": backend}))).unwrap();
            let (one, other) = (shown(&started, &id), shown(&plugged, &id));
            assert_eq!(
                one.replace(",s,", ",s2,").replace(",w,", ",w2,"),
                other,
                "{program} {backend}"
            );
            started.execute(ChardevRemove::new(&*id)).unwrap();
        }
        started.quit().unwrap();
        plugged.quit().unwrap();
        for suffix in [", log", ",out", ",s", ",w", ",s2", ",w2"] {
            let _ = std::fs::remove_file(format!("{file}{suffix}"));
        }
    }
}

#[test]
fn what_chardev_has_no_words_for_is_refused() {
    for (backend, why) in [
        (
            json!({"type": "socket", "data": {"addr": {"type": "vsock", "data": {"cid": "3", "port": "1"}}}}),
            "vsock",
        ),
        (
            json!({"type": "udp", "data": {"remote": {"type": "unix", "data": {"path": "x"}}}}),
            "`inet` only",
        ),
        (json!({"type": "new-one", "data": {}}), "`new-one` are not known"),
    ] {
        let chardev: ChardevAdd = decoded(json!({"id": "c", "backend": backend}));
        let error = Launch::new("/bin/sh").chardev(&chardev).start::<Client>().unwrap_err();
        assert!(matches!(error, Error::Launch(_)), "{error:?}");
        assert!(error.report().contains(why), "{}", error.report());
    }
    let long = "x".repeat(4000);
    let secret: ObjectOptions = decoded(json!({"qom-type": "secret", "id": "s", "data": long}));
    let error = Launch::new("/bin/sh").object(&secret).start::<Client>().unwrap_err();
    assert!(error.report().contains("`s` is longer"), "{}", error.report());
    assert!(!error.report().contains("xxx"), "{}", error.report());
}

/// `-audiodev`, `-display` and `-compat` take JSON as well.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU: see live.rs")]
fn the_other_options() {
    for program in programs() {
        let vm = qemu(&program)
            .audiodev(&decoded::<Audiodev>(json!({"driver": "none", "id": "snd"})))
            .display(&decoded::<DisplayOptions>(json!({"type": "none"})))
            .compat(&decoded::<CompatPolicy>(json!({"deprecated-input": "reject"})))
            .args(["-device", "ich9-intel-hda", "-device", "hda-duplex,audiodev=snd"])
            .start::<Client>()
            .unwrap_or_else(|error| panic!("{program}: {}", error.report()));
        vm.quit().unwrap();
    }
}
