//! Capabilities and parameters.

use serde_json::{Value, json};

use super::CAPABILITIES;
use crate::simulator::machine::Machine;
use crate::simulator::replies::{Arguments, Reply, done, refuse};

impl Machine {
    pub(super) fn set_capabilities(&mut self, arguments: &Arguments) -> Reply {
        if self.migration.is_active() {
            return refuse("There's a migration process in progress");
        }
        let mut capabilities = self.migration.capabilities.clone();
        for change in arguments.list("capabilities") {
            let name = change.get("capability").and_then(Value::as_str).unwrap_or_default();
            let state = change.get("state").and_then(Value::as_bool).unwrap_or_default();
            let Some(known) = CAPABILITIES.into_iter().find(|known| *known == name) else {
                return refuse(format!("Parameter 'capability' does not accept value '{name}'"));
            };
            capabilities.insert(known, state);
        }
        let has = |name: &str| capabilities.get(name).copied().unwrap_or_default();
        if has("x-colo") && !has("return-path") {
            return refuse("Capability 'x-colo' requires capability 'return-path'");
        }
        if has("dirty-limit") {
            return refuse(
                "dirty-limit requires KVM with accelerator property 'dirty-ring-size' set",
            );
        }
        if has("mapped-ram") && has("postcopy-ram") {
            return refuse("Mapped-ram migration is incompatible with postcopy");
        }
        if has("postcopy-preempt") && !has("postcopy-ram") {
            return refuse("Postcopy preempt requires postcopy-ram");
        }
        if has("switchover-ack") && !has("return-path") {
            return refuse("Capability 'switchover-ack' requires capability 'return-path'");
        }
        if has("zero-copy-send") && !has("multifd") {
            return refuse("Zero copy only available for non-compressed non-TLS multifd migration");
        }
        if has("mapped-ram") && has("xbzrle") {
            return refuse("Mapped-ram migration is incompatible with xbzrle");
        }
        self.migration.capabilities = capabilities;
        done()
    }

    pub(super) fn set_parameters(&mut self, arguments: &Arguments) -> Reply {
        let number = |name: &str| arguments.size(name);
        let initial = number("cpu-throttle-initial").or_else(|| {
            self.migration.parameters.get("cpu-throttle-initial").and_then(Value::as_u64)
        });
        // The least value, the largest one, and what QEMU says of them.
        let ranges = [
            ("cpu-throttle-initial", 1, 99, "an integer in the range of 1 to 99"),
            ("cpu-throttle-increment", 1, 99, "an integer in the range of 1 to 99"),
            ("throttle-trigger-threshold", 1, 100, "an integer in the range of 1 to 100"),
            (
                "max-cpu-throttle",
                initial.unwrap_or(1),
                99,
                "an integer in the range of cpu-throttle-initial to 99",
            ),
            ("downtime-limit", 0, 2_000_000, "an integer in the range of 0 to (2000 * 1000) ms"),
            ("multifd-channels", 1, 255, "a value between 1 and 255"),
            ("multifd-zlib-level", 0, 9, "a value between 0 and 9"),
            ("multifd-zstd-level", 0, 20, "a value between 0 and 20"),
            ("multifd-qatzip-level", 1, 9, "a value between 1 and 9"),
            ("announce-initial", 0, 100_000, "a value between 0 and 100000"),
            ("announce-max", 0, 100_000, "a value between 0 and 100000"),
            ("announce-rounds", 0, 1000, "a value between 0 and 1000"),
            ("announce-step", 1, 10_000, "a value between 0 and 10000"),
            ("x-vcpu-dirty-limit-period", 1, 1000, "a value between 1 and 1000"),
        ];
        for (name, least, most, what) in ranges {
            if number(name).is_some_and(|number| !(least..=most).contains(&number)) {
                return refuse(format!("Option {name} expects {what}"));
            }
        }
        let small = number("xbzrle-cache-size");
        if small.is_some_and(|size| size < 4096 || !size.is_power_of_two()) {
            return refuse(
                "Option xbzrle-cache-size expects a power of two no less than the target page size",
            );
        }
        if number("vcpu-dirty-limit") == Some(0) {
            return refuse("Parameter 'vcpu-dirty-limit' must be greater than 1 MB/s");
        }
        for (name, value) in &arguments.0 {
            // `null` resets a string.
            let value = if value.is_null() { json!("") } else { value.clone() };
            self.migration.parameters.insert(name.clone(), value);
        }
        done()
    }
}
