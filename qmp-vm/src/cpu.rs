//! CPUs that are plugged in.

use qmp_client::protocol::Mismatch;
use qmp_client::{Raw, Result};
use qmp_types::qmp::commands::{DeviceAdd, QueryHotpluggableCpus};
use qmp_types::qmp::types::HotpluggableCPU;
use qmp_types::{Command, decode};
use serde_json::Value;

use crate::monitor::Monitor;

pub(crate) async fn plug_cpu<M: Monitor>(vm: &M, id: &str) -> Result<Option<HotpluggableCPU>> {
    // As JSON: a slot may have properties that are newer than this crate, and all are passed on.
    let slots = vm.execute(Raw::<Vec<Value>>::new(QueryHotpluggableCpus::NAME)).await?;
    // QEMU lists the last slot first. They are filled from the first one on, because the destination
    // of a migration must have its CPUs in the same slots.
    let Some(slot) = slots.into_iter().rev().find(|slot| slot["qom-path"].is_null()) else {
        return Ok(None);
    };
    let typed = decode::<HotpluggableCPU>(&slot.to_string())
        .map_err(|error| Mismatch::reply(QueryHotpluggableCpus::NAME.into(), error))?;
    let mut device = DeviceAdd::new(typed.type_.as_str()).id(id);
    for (name, value) in slot["props"].as_object().into_iter().flatten() {
        device = device.property(name, value.clone());
    }
    vm.execute(device).await?;
    Ok(Some(typed))
}
