//! Devices that are plugged in step by step.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use qmp_client::qmp::commands::{DeviceAdd, NetdevAdd, ObjectAdd};
use qmp_client::qmp::types::{
    MemoryBackendProperties, Netdev, NetdevTapOptions, NetdevType, ObjectOptions,
    ObjectOptionsQomType,
};
use qmp_client::{Error, Options};
use qmp_vm::{NicNames, Workflows};
use serde_json::{Value, json};

use crate::peer::Peer;
use crate::{play, play_blocking, play_with};

/// The deadline of each command, which is expected to pass.
const WITHIN: Duration = Duration::from_secs(2);

fn files(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| File::open("/dev/null").unwrap().into()).collect()
}

fn tap(names: &NicNames) -> NetdevAdd {
    let tap = NetdevTapOptions::new().fds(names.queues.as_str());
    NetdevAdd::new(Netdev::new("net1", NetdevType::Tap(tap.vhostfds(names.vhost.as_str()))))
}

fn card() -> DeviceAdd {
    DeviceAdd::new("virtio-net-pci").id("nic1").property("netdev", "net1")
}

fn obeys(peer: &mut Peer, name: &str) -> Value {
    let command = peer.command();
    assert_eq!(command["execute"], name, "{command}");
    peer.succeed(&command["id"], json!({}));
    command["arguments"].clone()
}

fn refuses(peer: &mut Peer, name: &str) {
    let id = peer.expect(name);
    let error = json!({"class": "GenericError", "desc": "no"});
    peer.send(&json!({"error": error, "id": id}).to_string());
}

/// QEMU hangs: `netdev_add` cost its deadline, and then each of the descriptors cost another one.
/// They are closed when QEMU goes on, and nothing waits for that.
#[test]
fn a_qemu_that_hangs_costs_one_deadline() {
    let script = |peer: &mut Peer| {
        (0..6).for_each(|_| drop(obeys(peer, "getfd")));
        let names = peer.command();
        assert_eq!(names["arguments"]["fds"], "queue-net1-0:queue-net1-1:queue-net1-2");
        assert_eq!(names["arguments"]["vhostfds"], "vhost-net1-0:vhost-net1-1:vhost-net1-2");
        let mut closed: Vec<_> = (0..6)
            .map(|_| peer.command()["arguments"]["fdname"].as_str().unwrap().to_owned())
            .collect();
        closed.sort_unstable();
        assert_eq!((&*closed[0], &*closed[5]), ("queue-net1-0", "vhost-net1-2"));
    };
    let check = |begin: Instant, error: Error| {
        assert_eq!((error.is_timeout(), error.command()), (true, Some("netdev_add")), "{error:?}");
        let took = begin.elapsed();
        assert!(took >= WITHIN && took < 2 * WITHIN, "{took:?}");
    };
    play_with(
        &Options::new().calls_within(WITHIN),
        script,
        async |client| {
            let begin = Instant::now();
            let plugged = client.plug_nic("net1", files(3), files(3), tap, card()).await;
            check(begin, plugged.unwrap_err());
        },
        |client| {
            let begin = Instant::now();
            let plugged = client.plug_nic("net1", files(3), files(3), tap, card());
            check(begin, plugged.unwrap_err());
        },
    );
}

/// QEMU hangs after it has refused a step: undoing the others has one deadline for all of them.
#[test]
fn undoing_costs_one_deadline() {
    let script = |peer: &mut Peer| {
        (0..3).for_each(|_| drop(obeys(peer, "getfd")));
        refuses(peer, "netdev_add");
        (0..3).for_each(|_| drop(peer.expect("closefd")));
    };
    let options = Options::new().calls_within(WITHIN);
    let check = |error: Error| assert_eq!(error.server().unwrap().desc, "no");
    play_with(
        &options,
        script,
        async |client| {
            check(client.plug_nic("net1", files(3), [], tap, card()).await.unwrap_err());
        },
        |client| {
            let begin = Instant::now();
            check(client.plug_nic("net1", files(3), [], tap, card()).unwrap_err());
            let took = begin.elapsed();
            assert!(took >= WITHIN && took < 2 * WITHIN, "{took:?}");
        },
    );
}

fn slots(peer: &mut Peer, slots: &Value) {
    let id = peer.expect("query-hotpluggable-cpus");
    peer.succeed(&id, slots.clone());
}

/// The slots are filled from the first one on, which QEMU lists last. What identifies them is passed
/// on, also if it is newer than this crate.
#[test]
fn a_cpu_is_plugged_into_the_first_free_slot() {
    let slot = |number: u32, path: Option<&str>| {
        let mut slot = json!({"type": "cpu", "vcpus-count": 1,
            "props": {"core-id": number, "shelf-id": {"of": "a newer release"}}});
        if let Some(path) = path {
            slot["qom-path"] = path.into();
        }
        slot
    };
    let some = json!([slot(3, None), slot(2, None), slot(1, Some("/machine/cpu"))]);
    let none = json!([slot(1, Some("/machine/cpu"))]);
    let script = |peer: &mut Peer| {
        slots(peer, &some);
        let device = obeys(peer, "device_add");
        let newer = json!({"of": "a newer release"});
        assert_eq!(device, json!({"driver": "cpu", "id": "c", "core-id": 2, "shelf-id": newer}));
        slots(peer, &none);
        slots(peer, &some);
        refuses(peer, "device_add");
        slots(peer, &json!([{"vcpus-count": 1}]));
    };
    play(script, async |client| {
        let slot = client.plug_cpu("c").await.unwrap().unwrap();
        assert_eq!(slot.props.core_id, Some(2));
        assert_eq!(client.plug_cpu("c").await.unwrap(), None);
        assert_eq!(client.plug_cpu("c").await.unwrap_err().command(), Some("device_add"));
        let error = client.plug_cpu("c").await.unwrap_err();
        assert_eq!(error.command(), Some("query-hotpluggable-cpus"));
    });
    play_blocking(script, |client| {
        let slot = client.plug_cpu("c").unwrap().unwrap();
        assert_eq!((slot.type_.as_str(), slot.props.core_id), ("cpu", Some(2)));
        assert_eq!(client.plug_cpu("c").unwrap(), None);
        assert_eq!(client.plug_cpu("c").unwrap_err().command(), Some("device_add"));
        let error = client.plug_cpu("c").unwrap_err();
        assert_eq!(error.command(), Some("query-hotpluggable-cpus"));
    });
}

/// Memory is freed if its device is refused. Memory that could not be created is not ours.
#[test]
fn memory_is_plugged_in_or_freed() {
    let script = |peer: &mut Peer| {
        assert_eq!(obeys(peer, "object-add")["id"], "memory1");
        assert_eq!(obeys(peer, "device_add")["memdev"], "memory1");
        obeys(peer, "object-add");
        refuses(peer, "device_add");
        assert_eq!(obeys(peer, "object-del"), json!({"id": "memory1"}));
        refuses(peer, "object-add");
        peer.status();
    };
    let backend = || {
        let ram = ObjectOptionsQomType::MemoryBackendRam(MemoryBackendProperties::new(1 << 30));
        ObjectAdd::new(ObjectOptions::new(ram, "memory1"))
    };
    let dimm = || DeviceAdd::new("pc-dimm").id("dimm1").property("memdev", "memory1");
    let status = || qmp_client::Raw::<Value>::new("query-status");
    play(script, async |client| {
        client.plug_memory("memory1", backend(), dimm()).await.unwrap();
        for failed in ["device_add", "object-add"] {
            let error = client.plug_memory("memory1", backend(), dimm()).await.unwrap_err();
            assert_eq!(error.command(), Some(failed));
        }
        client.execute(status()).await.unwrap();
    });
    play_blocking(script, |client| {
        client.plug_memory("memory1", backend(), dimm()).unwrap();
        for failed in ["device_add", "object-add"] {
            let error = client.plug_memory("memory1", backend(), dimm()).unwrap_err();
            assert_eq!(error.command(), Some(failed));
        }
        client.execute(status()).unwrap();
    });
}
