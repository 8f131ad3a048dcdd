//! `query-pci`.

use serde_json::{Value, json};

use crate::simulator::machine::Machine;

impl Machine {
    /// Returns the functions that are part of a PC, with their drivers.
    pub(super) fn fixed_functions(&self) -> Vec<((u8, u8), &'static str)> {
        let mut functions = vec![
            ((0, 0), "i440FX"),
            ((1, 0), "PIIX3"),
            ((1, 1), "piix3-ide"),
            ((1, 3), "PIIX4_PM"),
        ];
        if self.has_vga {
            functions.push(((2, 0), "VGA"));
        }
        functions
    }

    pub(in crate::simulator) fn query_pci(&self) -> Value {
        if self.is_none_machine() {
            return json!([]);
        }
        let mut devices: Vec<Value> = self
            .fixed_functions()
            .into_iter()
            .map(|((slot, function), driver)| fixed(slot, function, driver))
            .collect();
        let plugged = self.devices.iter().filter_map(|device| {
            let (slot, function) = device.address?;
            let mut info = json!({
                "bus": 0,
                "slot": slot,
                "function": function,
                "qdev_id": device.id.as_deref().unwrap_or_default(),
                "irq_pin": 1,
                "regions": [],
                "class_info": {"class": 0xFF},
                "id": {"vendor": 0x1AF4, "device": 0x1000},
            });
            if let Some(pci) = &device.model.pci {
                info["irq_pin"] = pci.pin.into();
                info["regions"] = pci.regions.iter().cloned().collect();
                info["class_info"] = json!({"class": pci.class});
                if let Some(desc) = &pci.desc {
                    info["class_info"]["desc"] = desc.as_str().into();
                }
                info["id"] = json!({"vendor": pci.id[0], "device": pci.id[1]});
                if pci.id[2] != 0 {
                    info["id"]["subsystem-vendor"] = pci.id[2].into();
                    info["id"]["subsystem"] = pci.id[3].into();
                }
            }
            if pin(&info) != 0 {
                info["irq"] = 0.into();
            }
            Some(info)
        });
        devices.extend(plugged);
        json!([{"bus": 0, "devices": devices}])
    }
}

fn pin(info: &Value) -> u64 {
    info["irq_pin"].as_u64().unwrap_or_default()
}

fn fixed(slot: u8, function: u8, driver: &str) -> Value {
    let (class, desc, device, pin) = match driver {
        "i440FX" => (0x600, "Host bridge", 0x1237, 0),
        "PIIX3" => (0x601, "ISA bridge", 0x7000, 0),
        "piix3-ide" => (0x101, "IDE controller", 0x7010, 0),
        "PIIX4_PM" => (0x680, "Bridge", 0x7113, 1),
        _ => (0x300, "VGA controller", 0x1111, 0),
    };
    let vendor = if driver == "VGA" { 0x1234 } else { 0x8086 };
    let regions = match driver {
        "piix3-ide" => json!([{"bar": 4, "type": "io", "size": 16, "address": -1}]),
        "VGA" => json!([
            {"bar": 0, "type": "memory", "size": 16 << 20, "address": -1, "prefetch": true,
             "mem_type_64": false},
            {"bar": 2, "type": "memory", "size": 4096, "address": -1, "prefetch": false,
             "mem_type_64": false},
        ]),
        _ => json!([]),
    };
    let mut info = json!({
        "bus": 0,
        "slot": slot,
        "function": function,
        "class_info": {"class": class, "desc": desc},
        "id": {"vendor": vendor, "device": device, "subsystem-vendor": 0x1AF4, "subsystem": 0x1100},
        "irq_pin": pin,
        "qdev_id": "",
        "regions": regions,
    });
    if pin != 0 {
        info["irq"] = 9.into();
    }
    info
}
