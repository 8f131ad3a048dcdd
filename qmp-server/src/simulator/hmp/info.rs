//! The topics of `info`.

use qmp_types::qmp::types::{JobType, RunState};

use crate::simulator::block::node::Node;
use crate::simulator::identity::version;
use crate::simulator::machine::Machine;

const TOPICS: [&str; 21] = [
    "balloon",
    "block",
    "block-jobs",
    "chardev",
    "cpus",
    "iothreads",
    "kvm",
    "mice",
    "migrate",
    "name",
    "network",
    "pci",
    "qtree",
    "registers",
    "snapshots",
    "spice",
    "status",
    "usb",
    "uuid",
    "version",
    "vnc",
];

/// Returns the list of topics.
pub(super) fn topics() -> String {
    TOPICS.iter().map(|topic| format!("info {topic}\r\n")).collect()
}

impl Machine {
    pub(super) fn human_info(&mut self, topic: &str) -> Option<String> {
        let line = |text: String| format!("{text}\r\n");
        Some(match topic {
            "balloon" => match self.check_balloon() {
                Ok(()) => line(format!("balloon: actual={}", self.balloon >> 20)),
                Err(error) => line(format!("Error: {}", error.desc)),
            },
            "block" => self.info_block(),
            "block-jobs" => self.info_jobs(),
            "chardev" => {
                let all = self.chardevs.iter();
                all.map(|chardev| format!("{}: filename={}\r\n", chardev.id, chardev.filename))
                    .collect()
            }
            "cpus" => self.info_cpus(),
            "iothreads" => self.info_iothreads(),
            "kvm" => line("kvm support: disabled".to_owned()),
            "mice" => self.info_mice(),
            "migrate" => self.info_migration(),
            "name" => line(self.name.clone().unwrap_or_default()),
            "network" => self.info_network(),
            "pci" => self.info_pci(),
            "qtree" => self.info_tree(),
            "registers" => registers(),
            "snapshots" => line(concat!("There is", " no snapshot available.").to_owned()),
            "spice" => line("Server: disabled".to_owned()),
            "status" if self.is_running() => line("VM status: running".to_owned()),
            "status" if self.state == RunState::Paused => line("VM status: paused".to_owned()),
            "status" => line(format!("VM status: paused ({})", self.state)),
            "usb" => self.info_usb(),
            "uuid" => line(self.uuid.clone()),
            "version" => line(format!("{}{}", version().qemu, version().package)),
            "vnc" => line("None".to_owned()),
            _ => return None,
        })
    }

    fn info_block(&self) -> String {
        let drives = self.block_back_ends().map(|back_end| {
            let name = match (back_end.name, back_end.medium, back_end.qdev()) {
                ("", Some(node), _) => node.name.clone(),
                ("", None, qdev) => qdev.unwrap_or_default(),
                (name, Some(node), _) => format!("{name} ({})", node.name),
                (name, None, _) => name.to_owned(),
            };
            let what = back_end.medium.map_or_else(|| "[not inserted]".to_owned(), describe);
            let mut text = format!("{name}: {what}\r\n");
            if let Some(qdev) = back_end.qdev() {
                text += &format!("    Attached to:      {qdev}\r\n");
            }
            if back_end.is_removable() {
                let is_open = back_end.device.is_some_and(|device| device.tray_open);
                let tray = if is_open { "open" } else { "closed" };
                text += &format!("    Removable device: not locked, tray {tray}\r\n");
            }
            if back_end.medium.is_some() {
                text += "    Cache mode:       writeback\r\n";
            }
            text
        });
        drives.collect::<Vec<_>>().join("\r\n")
    }

    fn info_jobs(&self) -> String {
        let jobs = self.jobs.iter().filter(|job| job.is_block_job());
        let text: String = jobs
            .map(|job| {
                let what = match &job.kind {
                    JobType::Stream => "Streaming device".to_owned(),
                    kind => format!("Type {kind}, device"),
                };
                format!(
                    "{what} {}: Completed {} of {} bytes, speed limit {} bytes/s\r\n",
                    job.id, job.offset, job.length, job.speed
                )
            })
            .collect();
        if text.is_empty() { "No active jobs\r\n".to_owned() } else { text }
    }

    fn info_cpus(&self) -> String {
        let model = self.cpus.model.trim_end_matches("-x86_64-cpu");
        let cpus = (0..self.cpus.boot).map(|index| {
            let mark = if index == 0 { '*' } else { ' ' };
            format!("{mark} CPU #{index}: thread_id={} model={model}\r\n", 1000 + index)
        });
        cpus.collect()
    }

    fn info_iothreads(&self) -> String {
        let infos = self.query_iothreads();
        let infos = infos.as_array().into_iter().flatten();
        let text = infos.map(|info| {
            let id = info["id"].as_str().unwrap_or_default();
            let names = ["poll-max-ns", "poll-grow", "poll-shrink", "poll-weight", "aio-max-batch"];
            let values = names.map(|name| format!("  {name}={}\r\n", info[name]));
            format!("{id}:\r\n  thread_id={}\r\n{}", info["thread-id"], values.concat())
        });
        text.collect()
    }

    fn info_mice(&self) -> String {
        let mice = self.query_mice();
        let mice = mice.as_array().into_iter().flatten().map(|mouse| {
            let mark = if mouse["current"] == true { '*' } else { ' ' };
            let kind = if mouse["absolute"] == true { " (absolute)" } else { "" };
            let name = mouse["name"].as_str().unwrap_or_default();
            format!("{mark} Mouse #{}: {name}{kind}\r\n", mouse["index"])
        });
        mice.collect()
    }

    fn info_migration(&self) -> String {
        let info = self.query_migration();
        let Some(status) = info["status"].as_str() else { return String::new() };
        match info["error-desc"].as_str() {
            Some(error) => format!("Status: \t\t{status} ({error})\r\n"),
            None => format!("Status: \t\t{status}\r\n"),
        }
    }

    fn info_network(&self) -> String {
        let mut text = String::new();
        let plugged = |id: &str| self.devices.iter().any(|nic| nic.string("netdev") == Some(id));
        for nic in self.devices.iter().filter(|device| device.is_nic()) {
            let mac = nic.string("mac").unwrap_or_default();
            let (name, model) = (&nic.network_name, &nic.driver);
            text += &format!("{name}: index=0,type=nic,model={model},macaddr={mac}\r\n");
            let netdev = nic.string("netdev");
            if let Some(peer) = self.netdevs.iter().find(|peer| Some(peer.id.as_str()) == netdev) {
                text += &format!(" \\ {}: index=0,type={},\r\n", peer.id, peer.kind);
            }
        }
        for netdev in self.netdevs.iter().filter(|netdev| !plugged(&netdev.id)) {
            text += &format!("{}: index=0,type={},\r\n", netdev.id, netdev.kind);
        }
        text
    }

    fn info_pci(&self) -> String {
        let buses = self.query_pci();
        let devices = buses.as_array().into_iter().flatten();
        let devices = devices.filter_map(|bus| bus["devices"].as_array()).flatten();
        let text = devices.map(|device| {
            let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
            format!(
                "  Bus  0, device {:3}, function {}:\r\n    {}: PCI device {:04x}:{:04x}\r\n      \
                 id \"{}\"\r\n",
                number(&device["slot"]),
                number(&device["function"]),
                device["class_info"]["desc"].as_str().unwrap_or("Class"),
                number(&device["id"]["vendor"]),
                number(&device["id"]["device"]),
                device["qdev_id"].as_str().unwrap_or_default(),
            )
        });
        text.collect()
    }

    fn info_tree(&self) -> String {
        let mut text = "bus: main-system-bus\r\n  type System\r\n".to_owned();
        for device in &self.devices {
            text += &format!("  dev: {}, id \"{}\"\r\n", device.driver, device.name());
            for (name, value) in &device.properties {
                text += &format!("    {name} = {value}\r\n");
            }
        }
        text
    }

    fn info_usb(&self) -> String {
        let devices = self.devices.iter().filter(|device| device.model.bus == Some("usb-bus"));
        let text: String = devices
            .map(|device| {
                let port = device.string("port").unwrap_or("1");
                let (product, speed) = product(&device.driver);
                let id = device.id.as_ref().map(|id| format!(", ID: {id}")).unwrap_or_default();
                format!("  Device 0.0, Port {port}, Speed {speed} Mb/s, Product {product}{id}\r\n")
            })
            .collect();
        text
    }
}

/// Returns the name that a USB device of a model tells the guest, and its speed in Mb/s.
fn product(model: &str) -> (&str, u32) {
    match model {
        "usb-hub" => ("QEMU USB Hub", 12),
        "usb-kbd" => ("QEMU USB Keyboard", 480),
        "usb-mouse" => ("QEMU USB Mouse", 480),
        "usb-storage" => ("QEMU USB MSD", 5000),
        "usb-tablet" => ("QEMU USB Tablet", 480),
        model => (model, 480),
    }
}

fn describe(node: &Node) -> String {
    let mode = if node.read_only { ", read-only" } else { "" };
    format!("{} ({}{mode})", node.filename, node.driver)
}

/// Returns the registers of a CPU after a reset.
fn registers() -> String {
    "\r\nCPU#0\r\nEAX=00000000 EBX=00000000 ECX=00000000 EDX=00000000\r\nESI=00000000 EDI=00000000 \
     EBP=00000000 ESP=00000000\r\nEIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 \
     HLT=0\r\n"
        .to_owned()
}
