//! Queries whose replies depend on little state, and commands without effect on it.

// QEMU 11.1 still supports deprecated commands.
#![allow(deprecated)]

use qmp_types::qmp::commands::{
    QueryCommandLineOptions, QueryCryptodev, QueryCurrentMachine, QueryGicCapabilities, QueryKvm,
    QueryMachines, QueryName, QueryReplay, QuerySev, QueryStats, QueryStatsSchemas, QueryTarget,
    QueryTpm, QueryTpmModels, QueryTpmTypes, QueryUuid, QueryVersion, QueryXenReplicationStatus,
    QueryYank, RtcResetReinjection, Yank,
};
use qmp_types::{ErrorClass, QmpError};
use serde_json::{Value, json};

use super::facts;
use super::identity::version;
use super::machine::Machine;
use super::replies::{Arguments, Handle, Reply, done, refuse};
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    let router = router
        .on::<QueryVersion>(|_, _, _| {
            let version = version();
            Ok(json!({"qemu": version.qemu, "package": version.package}))
        })
        .on::<QueryName>(|machine, _, _| {
            Ok(machine.name.as_ref().map_or(json!({}), |name| json!({"name": name})))
        })
        .on::<QueryUuid>(|machine, _, _| Ok(json!({"UUID": machine.uuid})))
        .on::<QueryTarget>(|_, _, _| Ok(json!({"arch": "x86_64"})))
        .on::<QueryKvm>(|_, _, _| Ok(json!({"enabled": false, "present": true})))
        .on::<QueryCurrentMachine>(|machine, _, _| {
            Ok(json!({"wakeup-suspend-support": !machine.is_none_machine()}))
        })
        .on::<QueryMachines>(|_, _, _| Ok(facts::machines()));
    add_features(router)
}

fn add_features(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<QueryCommandLineOptions>(|_, arguments, _| {
            let options = facts::command_line_options();
            let Some(wanted) = arguments.text("option") else { return Ok(options) };
            let Value::Array(options) = options else { return done() };
            match options.into_iter().find(|option| option["option"] == wanted) {
                Some(option) => Ok(json!([option])),
                None => refuse(format!("invalid option name: {wanted}")),
            }
        })
        .on::<QueryStats>(|_, _, _| Ok(json!([])))
        .on::<QueryStatsSchemas>(|_, _, _| Ok(facts::stats_schemas()))
        .on::<QueryGicCapabilities>(|_, _, _| {
            refuse("GIC hardware is not available on this target")
        })
        .on::<QuerySev>(|_, _, _| {
            Ok(json!({
                "enabled": false,
                "api-major": 0,
                "api-minor": 0,
                "build-id": 0,
                "state": "uninit",
                "sev-type": "sev",
                "policy": 0,
                "handle": 0,
            }))
        })
        .on::<QueryTpm>(|_, _, _| Ok(json!([])))
        .on::<QueryTpmModels>(|_, _, _| Ok(json!(["tpm-crb", "tpm-tis"])))
        .on::<QueryCryptodev>(|_, _, _| Ok(json!([])))
        .on::<QueryTpmTypes>(|_, _, _| Ok(json!(["passthrough", "emulator"])))
        .on::<QueryReplay>(|_, _, _| Ok(json!({"mode": "none", "icount": 0})))
        .on::<QueryXenReplicationStatus>(|_, _, _| Ok(json!({"error": false})))
        .on::<RtcResetReinjection>(|_, _, _| done())
        .on::<QueryYank>(|machine, _, _| {
            let sockets = machine.chardevs.iter().filter(|chardev| chardev.kind == "socket");
            Ok(sockets.map(|chardev| json!({"type": "chardev", "id": chardev.id})).collect())
        })
        .on::<Yank>(|machine, arguments, _| machine.yank(arguments))
}

impl Machine {
    fn yank(&self, arguments: &Arguments) -> Reply {
        for instance in arguments.list("instances") {
            let text = |name: &str| instance.get(name).and_then(Value::as_str).unwrap_or_default();
            let exists = match text("type") {
                "chardev" => self
                    .chardevs
                    .iter()
                    .any(|chardev| chardev.id == text("id") && chardev.kind == "socket"),
                "block-node" => self
                    .nodes
                    .iter()
                    .any(|node| node.name == text("node-name") && node.driver == "nbd"),
                _ => false,
            };
            if !exists {
                let desc = "Instance not found";
                return Err(QmpError::new(ErrorClass::DeviceNotFound, desc));
            }
        }
        done()
    }
}
