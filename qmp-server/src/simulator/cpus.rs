//! CPUs: those of the machine, those that are plugged in, and models.

use qmp_types::QmpError;
use qmp_types::qmp::commands::{
    QueryAcpiOspmStatus, QueryCpuDefinitions, QueryCpuModelExpansion, QueryCpusFast,
    QueryHotpluggableCpus,
};
use serde_json::{Value, json};

use super::facts;
use super::machine::{Device, Machine};
use super::replies::{Arguments, Handle, Reply, refuse};
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<QueryCpusFast>(|machine, _, _| Ok(machine.query_cpus()))
        .on::<QueryHotpluggableCpus>(|machine, _, _| machine.query_cpu_slots())
        .on::<QueryAcpiOspmStatus>(|machine, _, _| {
            let slots = 0..machine.cpus.max;
            let infos = slots.map(|slot| {
                json!({"slot": slot.to_string(), "slot-type": "CPU", "source": 0, "status": 0})
            });
            Ok(infos.collect())
        })
        .on::<QueryCpuDefinitions>(|_, _, _| Ok(facts::cpu_definitions()))
        .on::<QueryCpuModelExpansion>(|_, arguments, _| expand(arguments))
}

/// A CPU that is there.
struct Cpu {
    path: String,
    core: u64,
}

impl Machine {
    fn present(&self) -> Vec<Cpu> {
        let boot = self.boot_cpus().into_iter().zip(0..);
        let mut cpus: Vec<Cpu> = boot.map(|(path, core)| Cpu { path, core }).collect();
        let plugged = self.devices.iter().filter(|device| device.is_cpu());
        cpus.extend(plugged.map(|device| Cpu {
            path: device.path.clone(),
            core: core(device).unwrap_or_default(),
        }));
        cpus.sort_by_key(|cpu| cpu.core);
        cpus
    }

    /// Returns the paths of the CPUs that are there at the start.
    pub(super) fn boot_cpus(&self) -> Vec<String> {
        // The first device is a CPU, and the second one its interrupt controller.
        let number = |index: u32| if index == 0 { 0 } else { index + 1 };
        (0..self.cpus.boot)
            .map(|index| format!("/machine/unattached/device[{}]", number(index)))
            .collect()
    }

    fn query_cpus(&self) -> Value {
        let cpus = self.present().into_iter().enumerate().map(|(index, cpu)| {
            let mut info = json!({
                "cpu-index": index,
                "qom-type": self.cpus.model,
                "qom-path": cpu.path,
                "thread-id": 1000 + index,
                "target": "x86_64",
            });
            if !self.is_none_machine() {
                info["props"] = props(cpu.core);
            }
            info
        });
        cpus.collect()
    }

    fn query_cpu_slots(&self) -> Reply {
        if self.is_none_machine() {
            return refuse("machine does not support hot-plugging CPUs");
        }
        let present = self.present();
        let slots = (0..u64::from(self.cpus.max)).rev().map(|core| {
            let mut slot = json!({
                "type": self.cpus.model,
                "vcpus-count": 1,
                "props": props(core),
            });
            if let Some(cpu) = present.iter().find(|cpu| cpu.core == core) {
                slot["qom-path"] = cpu.path.as_str().into();
            }
            slot
        });
        Ok(slots.collect())
    }

    pub(super) fn realize_cpu(&self, device: &Device) -> Result<(), QmpError> {
        if device.driver != self.cpus.model {
            return refuse(format!("Invalid CPU type, expected cpu type: '{}'", self.cpus.model));
        }
        let max = u64::from(self.cpus.max);
        for (name, limit) in [("socket-id", 1), ("core-id", max), ("thread-id", 1)] {
            let number = device.properties.get(name).and_then(Value::as_i64);
            let Some(number) = number.filter(|number| *number >= 0) else {
                return refuse(format!("CPU {name} is not set"));
            };
            if number.unsigned_abs() >= limit {
                let last = limit.saturating_sub(1);
                return refuse(format!("Invalid CPU {name}: {number} must be in range 0:{last}"));
            }
        }
        let wanted = core(device).unwrap_or_default();
        let present = self.present();
        match present.iter().position(|cpu| cpu.core == wanted) {
            Some(at) => refuse(format!("CPU[{at}] with APIC ID {wanted} exists")),
            None => Ok(()),
        }
    }
}

impl Device {
    fn is_cpu(&self) -> bool {
        self.model.name == "qemu64-x86_64-cpu"
    }
}

fn core(device: &Device) -> Option<u64> {
    device.properties.get("core-id").and_then(Value::as_u64)
}

fn props(core: u64) -> Value {
    json!({"socket-id": 0, "core-id": core, "thread-id": 0})
}

fn expand(arguments: &Arguments) -> Reply {
    let model = arguments.object("model");
    let text = |name: &str| model.and_then(|model| model.get(name)).and_then(Value::as_str);
    let name = text("name").unwrap_or_default();
    if !facts::is_cpu_model(name) {
        return refuse(format!("CPU model '{name}' not found"));
    }
    if name == "host" {
        return refuse("CPU model 'host' requires KVM or HVF");
    }
    let Some(mut props) = facts::cpu_model(name) else {
        return refuse(format!("the simulated machine does not know the features of '{name}'"));
    };
    let given = model.and_then(|model| model.get("props")).and_then(Value::as_object);
    for (property, value) in given.into_iter().flatten() {
        if !props.contains_key(property) {
            return refuse(format!("Property '{name}-x86_64-cpu.{property}' not found"));
        }
        props.insert(property.clone(), value.clone());
    }
    // A static expansion is relative to the model without features.
    let base = if arguments.text("type") == Some("full") { name } else { "base" };
    Ok(json!({"model": {"name": base, "props": props}}))
}
