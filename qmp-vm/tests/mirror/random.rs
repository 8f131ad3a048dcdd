//! Random operations on a machine, from a seed.

use serde_json::{Value, json};

/// A generator of numbers (SplitMix64): the same seed gives the same operations.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }

    /// Returns one of a few names, so that operations meet each other.
    fn name(&mut self, prefix: &str, count: u64) -> String {
        format!("{prefix}{}", self.below(count))
    }

    fn flip(&mut self) -> bool {
        self.one_in(2)
    }
}

/// A command with its arguments.
pub struct Operation {
    pub command: &'static str,
    pub arguments: Value,
}

fn op(command: &'static str, arguments: Value) -> Operation {
    Operation { command, arguments }
}

/// Returns the next operation. `files` is a prefix of paths for images.
pub fn operation(random: &mut Random, files: &str) -> Operation {
    match random.below(22) {
        0..=2 => add_node(random, files),
        3 => op("blockdev-del", json!({"node-name": random.name("n", 6)})),
        4 => snapshot(random, files),
        5 => bitmap(random),
        6 | 7 => start_job(random),
        8..=10 => {
            let command = random.of(&[
                "job-cancel",
                "job-complete",
                "job-dismiss",
                "job-dismiss",
                "job-finalize",
                "job-pause",
                "job-resume",
            ]);
            op(command, json!({"id": random.name("j", 3)}))
        }
        11 | 12 => add_device(random),
        13 => {
            let prefix = random.of(&["disk", "port", "kbd", "dimm", "pci"]);
            op("device_del", json!({"id": random.name(prefix, 2)}))
        }
        14 => add_object(random),
        15 => {
            let prefix = random.of(&["iot", "mem", "tg"]);
            op("object-del", json!({"id": random.name(prefix, 3)}))
        }
        16 => chardev(random),
        17 => export(random),
        18 => op(random.of(&["stop", "cont", "cont", "cont", "system_reset"]), json!({})),
        19 => migration(random),
        20 => {
            let up = random.flip();
            op("set_link", json!({"name": "net0", "up": up}))
        }
        _ => {
            let mib = 16 + random.below(40);
            op("balloon", json!({"value": mib << 20}))
        }
    }
}

fn add_node(random: &mut Random, files: &str) -> Operation {
    let name = random.name("n", 6);
    let arguments = match random.below(4) {
        0 => json!({"driver": "null-co", "node-name": name, "size": 1 << 20}),
        1 => json!({"driver": "raw", "node-name": name, "size": 1 << 19,
            "file": {"driver": "null-co", "size": 1 << 20}}),
        2 => json!({"driver": "copy-on-read", "node-name": name, "file": random.name("n", 6)}),
        _ => json!({"driver": "raw", "node-name": name,
            "file": {"driver": "file", "filename": format!("{files}{}.raw", random.below(3))}}),
    };
    op("blockdev-add", arguments)
}

fn snapshot(random: &mut Random, files: &str) -> Operation {
    let overlay = random.name("n", 6);
    let file = format!("{files}{}.qcow2", random.below(4));
    op(
        "blockdev-snapshot-sync",
        json!({"node-name": random.name("n", 6), "snapshot-node-name": overlay,
            "snapshot-file": file, "format": "qcow2"}),
    )
}

fn bitmap(random: &mut Random) -> Operation {
    let command = random.of(&[
        "block-dirty-bitmap-add",
        "block-dirty-bitmap-add",
        "block-dirty-bitmap-remove",
        "block-dirty-bitmap-clear",
    ]);
    op(command, json!({"node": random.name("n", 6), "name": random.name("b", 2)}))
}

fn start_job(random: &mut Random) -> Operation {
    let (id, device, target) = (random.name("j", 3), random.name("n", 6), random.name("n", 6));
    let (finalize, dismiss) = (random.flip(), random.flip());
    let mut arguments = json!({"job-id": id, "device": device, "auto-finalize": finalize,
        "auto-dismiss": dismiss});
    let command =
        random.of(&["blockdev-mirror", "blockdev-backup", "block-stream", "block-commit"]);
    if matches!(command, "blockdev-mirror" | "blockdev-backup") {
        arguments["target"] = target.into();
        arguments["sync"] = "full".into();
    }
    if random.one_in(3) {
        // Slow enough that the operations that follow meet it.
        arguments["speed"] = (1 << 18).into();
    }
    op(command, arguments)
}

fn add_device(random: &mut Random) -> Operation {
    let number = random.below(2);
    let node = random.name("n", 6);
    let arguments = match random.below(6) {
        0 => json!({"driver": "scsi-hd", "id": format!("disk{number}"), "bus": "scsi.0",
            "drive": node}),
        1 => json!({"driver": "virtserialport", "id": format!("port{number}"),
            "chardev": random.name("c", 3)}),
        2 => json!({"driver": "usb-kbd", "id": format!("kbd{number}")}),
        3 => json!({"driver": "pc-dimm", "id": format!("dimm{number}"),
            "memdev": random.name("mem", 3)}),
        4 => json!({"driver": "virtio-rng-pci", "id": format!("pci{number}")}),
        _ => json!({"driver": "virtio-blk-pci", "id": format!("pci{number}"), "drive": node,
            "share-rw": true}),
    };
    op("device_add", arguments)
}

fn add_object(random: &mut Random) -> Operation {
    let arguments = match random.below(3) {
        0 => json!({"qom-type": "iothread", "id": random.name("iot", 3)}),
        1 => json!({"qom-type": "memory-backend-ram", "id": random.name("mem", 3),
            "size": 128 << 20}),
        _ => json!({"qom-type": "throttle-group", "id": random.name("tg", 3)}),
    };
    op("object-add", arguments)
}

fn chardev(random: &mut Random) -> Operation {
    let id = random.name("c", 3);
    if random.one_in(3) {
        return op("chardev-remove", json!({"id": id}));
    }
    let backend = match random.flip() {
        true => json!({"type": "null", "data": {}}),
        false => json!({"type": "ringbuf", "data": {"size": 4096}}),
    };
    op("chardev-add", json!({"id": id, "backend": backend}))
}

fn export(random: &mut Random) -> Operation {
    let id = random.name("e", 3);
    match random.below(6) {
        0 => op("nbd-server-stop", json!({})),
        1 => {
            let address = json!({"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}});
            op("nbd-server-start", json!({"addr": address}))
        }
        2 => op("block-export-del", json!({"id": id})),
        _ => {
            let (node, name) = (random.name("n", 6), id.clone());
            op(
                "block-export-add",
                json!({"type": "nbd", "id": id, "node-name": node, "name": name}),
            )
        }
    }
}

fn migration(random: &mut Random) -> Operation {
    match random.below(5) {
        0 => op("migrate", json!({"uri": "exec:cat >/dev/null"})),
        1 => op("migrate", json!({"uri": "tcp:127.0.0.1:1"})),
        2 => op("migrate_cancel", json!({})),
        _ => {
            let on = random.flip();
            let capability = json!({"capability": "events", "state": on});
            op("migrate-set-capabilities", json!({"capabilities": [capability]}))
        }
    }
}
