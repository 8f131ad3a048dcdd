//! Every command is either marked as one that has no effect, in `read-only.json`, or listed here.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::collections::BTreeSet;

use qmp_codegen::Root;
use qmp_codegen::schema::{Command, Schema};

/// Commands that have an effect, by the reason. They are not marked.
const ACTS: [(&str, &[&str]); 10] = [
    (
        // `qom-list-properties` of `qio-net-listener` aborts QEMU 7.2 and 10.0, and
        // `device-list-properties` of `virtio-vga-gl` ends 7.2 if a module is missing.
        "it creates an object of a type that its arguments choose, which ends some releases of QEMU",
        &["device-list-properties", "qom-list-properties"],
    ),
    // That of a virtio block device aborts QEMU 11.1.
    ("it ends some releases of QEMU", &["x-query-virtio-status"]),
    (
        "it adds, changes or removes a part of the machine",
        &[
            "add-fd",
            "add_client",
            "block-dirty-bitmap-add",
            "block-dirty-bitmap-clear",
            "block-dirty-bitmap-disable",
            "block-dirty-bitmap-enable",
            "block-dirty-bitmap-merge",
            "block-dirty-bitmap-remove",
            "block-export-add",
            "block-export-del",
            "block-latency-histogram-set",
            "block-set-write-threshold",
            "block_resize",
            "block_set_io_throttle",
            "blockdev-add",
            "blockdev-backup",
            "blockdev-change-medium",
            "blockdev-close-tray",
            "blockdev-create",
            "blockdev-del",
            "blockdev-insert-medium",
            "blockdev-mirror",
            "blockdev-open-tray",
            "blockdev-remove-medium",
            "blockdev-reopen",
            "blockdev-set-active",
            "blockdev-snapshot",
            "blockdev-snapshot-delete-internal-sync",
            "blockdev-snapshot-internal-sync",
            "blockdev-snapshot-sync",
            "change-backing-file",
            "change-vnc-password",
            "chardev-add",
            "chardev-change",
            "chardev-remove",
            "chardev-send-break",
            "closefd",
            "cxl-add-dynamic-capacity",
            "cxl-inject-correctable-error",
            "cxl-inject-dram-event",
            "cxl-inject-general-media-event",
            "cxl-inject-memory-module-event",
            "cxl-inject-poison",
            "cxl-inject-uncorrectable-errors",
            "cxl-release-dynamic-capacity",
            "device-sync-config",
            "device_add",
            "device_del",
            "drive-backup",
            "drive-mirror",
            "eject",
            "get-win32-socket",
            "getfd",
            "nbd-server-add",
            "nbd-server-remove",
            "nbd-server-start",
            "nbd-server-stop",
            "netdev_add",
            "netdev_del",
            "object-add",
            "object-del",
            "remove-fd",
            "set-cpu-topology",
            "set-numa-node",
            "x-blockdev-amend",
            "x-blockdev-change",
            "x-blockdev-set-iothread",
            "x-exit-preconfig",
        ],
    ),
    (
        "it starts, steers or ends a job, a migration or a measurement",
        &[
            "block-commit",
            "block-job-cancel",
            "block-job-change",
            "block-job-complete",
            "block-job-dismiss",
            "block-job-finalize",
            "block-job-pause",
            "block-job-resume",
            "block-job-set-speed",
            "block-stream",
            "calc-dirty-rate",
            "cancel-vcpu-dirty-limit",
            "dump-guest-memory",
            "job-cancel",
            "job-complete",
            "job-dismiss",
            "job-finalize",
            "job-pause",
            "job-resume",
            "migrate",
            "migrate-continue",
            "migrate-incoming",
            "migrate-pause",
            "migrate-recover",
            "migrate-set-capabilities",
            "migrate-set-parameters",
            "migrate-start-postcopy",
            "migrate_cancel",
            "replay-break",
            "replay-delete-break",
            "replay-seek",
            "set-vcpu-dirty-limit",
            "snapshot-delete",
            "snapshot-load",
            "snapshot-save",
            "transaction",
            "x-colo-lost-heartbeat",
            "xen-colo-do-checkpoint",
            "xen-event-inject",
            "xen-load-devices-state",
            "xen-save-devices-state",
            "xen-set-global-dirty-log",
            "xen-set-replication",
            "yank",
        ],
    ),
    ("it writes a file", &["dump-skeys", "dumpdtb", "memsave", "pmemsave", "screendump"]),
    ("it returns what it removes", &["guest-exec-status", "guest-file-read", "ringbuf-read"]),
    (
        "it has an effect on later events or replies",
        &[
            "client_migrate_info",
            "qmp_capabilities",
            "query-rx-filter",
            "trace-event-set-state",
            "x-query-profile",
        ],
    ),
    (
        "it has an effect inside the guest",
        &[
            "guest-exec",
            "guest-file-close",
            "guest-file-flush",
            "guest-file-open",
            "guest-file-seek",
            "guest-file-write",
            "guest-fsfreeze-freeze",
            "guest-fsfreeze-freeze-list",
            "guest-fsfreeze-thaw",
            "guest-fstrim",
            "guest-set-memory-blocks",
            "guest-set-time",
            "guest-set-user-password",
            "guest-set-vcpus",
            "guest-shutdown",
            "guest-ssh-add-authorized-keys",
            "guest-ssh-remove-authorized-keys",
            "guest-suspend-disk",
            "guest-suspend-hybrid",
            "guest-suspend-ram",
        ],
    ),
    ("it can do anything", &["human-monitor-command", "qom-set"]),
    (
        "it has an effect on the guest, or on those that look at it",
        &[
            "announce-self",
            "balloon",
            "cont",
            "display-reload",
            "display-update",
            "expire_password",
            "inject-ghes-v2-error",
            "inject-nmi",
            "input-send-event",
            "quit",
            "ringbuf-write",
            "rtc-reset-reinjection",
            "send-key",
            "set-action",
            "set_link",
            "set_password",
            "sev-inject-launch-secret",
            "stop",
            "system_powerdown",
            "system_reset",
            "system_wakeup",
            "watchdog-set-action",
        ],
    ),
];

#[test]
fn every_command_is_decided() {
    let listed = ACTS.iter().flat_map(|(_, commands)| commands.iter().copied());
    let mut unused: BTreeSet<&str> = listed.clone().collect();
    assert_eq!(unused.len(), listed.count(), "a command is listed twice");
    let schemas = [&[qmp_schema::SPEC, qmp_schema::EVENTS][..], &[qmp_schema::QGA]].map(load);
    let mut wrong: Vec<String> =
        schemas.iter().flat_map(|schema| undecided(schema, &mut unused)).collect();
    wrong.extend(unused.iter().map(|name| format!("{name} does not exist any more")));
    assert!(wrong.is_empty(), "{} commands:\n{}", wrong.len(), wrong.join("\n"));
    let read_only = schemas.iter().flat_map(|schema| &schema.commands).filter(|one| one.read_only);
    let read_only = read_only.count();
    println!("{read_only} commands have no effect");
    assert!(read_only > 100, "only {read_only} commands are read-only");
}

#[test]
fn a_new_command_must_be_decided() {
    let new = "##\n# @query-weather:\n#\n# Looks out.\n##\n{ 'command': 'query-weather' }\n";
    let text = std::fs::read_to_string(qmp_schema::SPEC).unwrap() + new;
    let root = Root::Text { name: qmp_schema::SPEC.to_owned(), text };
    let schema = qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}")).schema;
    let mut listed = ACTS.iter().flat_map(|(_, commands)| commands.iter().copied()).collect();
    assert_eq!(undecided(&schema, &mut listed), ["query-weather: does it have an effect?"]);
}

/// Returns the commands that are neither marked nor listed, or both. Removes those found from the
/// list.
fn undecided(schema: &Schema, listed: &mut BTreeSet<&str>) -> Vec<String> {
    let wrong = schema.commands.iter().filter_map(|command| {
        let name = &*command.definition.name;
        match (command.read_only, listed.remove(name)) {
            (true, true) => Some(format!("{name}: is read-only, and listed as one that acts")),
            (false, false) => Some(format!("{name}: does it have an effect?")),
            _ => None,
        }
    });
    wrong.collect()
}

/// Such a command returns something, even if only to tell that the peer is alive.
#[test]
fn read_only_commands_return_something() {
    const ALIVE: [&str; 1] = ["guest-ping"];
    for root in [qmp_schema::SPEC, qmp_schema::QGA] {
        let schema = load(&[root][..]);
        let silent = |command: &&Command| command.returns.is_none();
        let read_only = schema.commands.iter().filter(|command| command.read_only);
        let names = read_only.filter(silent).map(|command| &*command.definition.name);
        let wrong: Vec<&str> = names.filter(|name| !ALIVE.contains(name)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// The pragma is ours, so no definition may depend on its file.
#[test]
fn the_schema_is_complete_without_our_pragma() {
    for (path, include) in [
        (qmp_schema::SPEC, "{ 'include': 'read-only.json' }\n"),
        (qmp_schema::QGA, "{ 'include': 'qga/read-only.json' }\n"),
    ] {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(include), "{path}");
        let root = Root::Text { name: path.to_owned(), text: text.replace(include, "") };
        let loaded = qmp_codegen::load([root]).unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty());
        assert!(loaded.schema.commands.iter().all(|command| !command.read_only));
    }
}

fn load(roots: &[&str]) -> Schema {
    let roots = roots.iter().map(|root| Root::File(root.into()));
    qmp_codegen::load(roots).unwrap_or_else(|error| panic!("{error}")).schema
}
