//! Lines that people type into qmp-shell, from the documentation of QEMU and of qmp-shell, from
//! mailing lists and from bug reports, and what they mean.

#![allow(clippy::unwrap_used)]

use qmp_tools::shell::types::{Builtin, Owner, Schema, Types};
use qmp_tools::shell::{Statement, parse};
use serde_json::{Value, json};

fn command(text: &str, types: &dyn Types) -> (String, Value) {
    match parse(text, types) {
        Ok(Some(Statement::Command(command))) => {
            (command.name, command.arguments.unwrap_or_else(|| json!({})))
        }
        other => panic!("{text}: {other:?}"),
    }
}

fn check(lines: &[(&str, &str, Value)]) {
    for (text, name, arguments) in lines {
        assert_eq!(command(text, &Builtin), ((*name).to_owned(), arguments.clone()), "{text}");
    }
}

/// `docs/interop/live-block-operations.rst` of QEMU, whose prompts are part of what is copied.
#[test]
fn live_block_operations() {
    check(&[
        (
            "(QEMU) blockdev-snapshot-sync node-name=node-A snapshot-file=b.qcow2 snapshot-node-name=node-B format=qcow2",
            "blockdev-snapshot-sync",
            json!({"node-name": "node-A", "snapshot-file": "b.qcow2", "format": "qcow2", "snapshot-node-name": "node-B"}),
        ),
        (
            "(QEMU) block-stream device=node-D job-id=job0",
            "block-stream",
            json!({"device": "node-D", "job-id": "job0"}),
        ),
        (
            "(QEMU) block-stream device=node-D base-node=node-A job-id=job0",
            "block-stream",
            json!({"device": "node-D", "base-node": "node-A", "job-id": "job0"}),
        ),
        ("(QEMU) query-block-jobs", "query-block-jobs", json!({})),
        (
            "(QEMU) block-commit device=node-D base=a.qcow2 top=b.qcow2 job-id=job0",
            "block-commit",
            json!({"device": "node-D", "job-id": "job0", "top": "b.qcow2", "base": "a.qcow2"}),
        ),
        ("(QEMU) block-job-complete device=job0", "block-job-complete", json!({"device": "job0"})),
        ("(QEMU) block-job-cancel device=job0", "block-job-cancel", json!({"device": "job0"})),
        (
            "(QEMU) drive-mirror device=node-D target=e.qcow2 sync=full job-id=job0",
            "drive-mirror",
            json!({"device": "node-D", "job-id": "job0", "target": "e.qcow2", "sync": "full"}),
        ),
        (
            "(QEMU) nbd-server-start addr={\"type\":\"inet\",\"data\":{\"host\":\"::\",\"port\":\"49153\"}}",
            "nbd-server-start",
            json!({"addr": {"type": "inet", "data": {"host": "::", "port": "49153"}}}),
        ),
        (
            "(QEMU) nbd-server-add device=node-TargetDisk writable=true",
            "nbd-server-add",
            json!({"device": "node-TargetDisk", "writable": true}),
        ),
        (
            "(QEMU) drive-mirror device=node-D target=nbd:localhost:49153:exportname=node-TargetDisk sync=top mode=existing job-id=job0",
            "drive-mirror",
            json!({"device": "node-D", "mode": "existing", "job-id": "job0", "target": "nbd:localhost:49153:exportname=node-TargetDisk", "sync": "top"}),
        ),
        ("(QEMU) nbd-server-stop", "nbd-server-stop", json!({})),
        ("(QEMU) cont", "cont", json!({})),
        (
            "(QEMU) blockdev-add driver=qcow2 node-name=node-E file={\"driver\":\"file\",\"filename\":\"e.qcow2\"}",
            "blockdev-add",
            json!({"node-name": "node-E", "driver": "qcow2", "file": {"driver": "file", "filename": "e.qcow2"}}),
        ),
        (
            "(QEMU) blockdev-mirror device=node-B target=node-E sync=full job-id=job0",
            "blockdev-mirror",
            json!({"device": "node-B", "job-id": "job0", "target": "node-E", "sync": "full"}),
        ),
        ("(QEMU) quit", "quit", json!({})),
        (
            "(QEMU) drive-backup device=node-D sync=full target=e.qcow2 job-id=job0",
            "drive-backup",
            json!({"device": "node-D", "job-id": "job0", "sync": "full", "target": "e.qcow2"}),
        ),
        (
            "(QEMU) blockdev-backup device=node-B target=node-E sync=full job-id=job0",
            "blockdev-backup",
            json!({"device": "node-B", "job-id": "job0", "target": "node-E", "sync": "full"}),
        ),
    ]);
}

/// The help of qmp-shell itself, and other pages and mails that show its prompt.
#[test]
fn other_documented_lines() {
    check(&[
        (
            "(QEMU) device_add driver=e1000 id=net1",
            "device_add",
            json!({"driver": "e1000", "id": "net1"}),
        ),
        (
            "example-command arg-name1={'key':'value','obj'={'prop':\"value\"}}",
            "example-command",
            json!({"arg-name1": {"key": "value", "obj": {"prop": "value"}}}),
        ),
        (
            "(QEMU) transaction(\nTRANS> block-dirty-bitmap-add node=drive0 name=bitmap1\nTRANS> block-dirty-bitmap-clear node=drive0 name=bitmap0\nTRANS> )",
            "transaction",
            json!({"actions": [
                {"type": "block-dirty-bitmap-add", "data": {"node": "drive0", "name": "bitmap1"}},
                {"type": "block-dirty-bitmap-clear", "data": {"node": "drive0", "name": "bitmap0"}},
            ]}),
        ),
        (
            "transaction( block-dirty-bitmap-add node=drive0 name=bitmap1 )",
            "transaction",
            json!({"actions": [
                {"type": "block-dirty-bitmap-add", "data": {"node": "drive0", "name": "bitmap1"}},
            ]}),
        ),
        // docs/system/cpu-hotplug.rst
        (
            "(QEMU) device_add id=cpu-2 driver=IvyBridge-IBRS-x86_64-cpu socket-id=1 core-id=0 thread-id=0",
            "device_add",
            json!({"id": "cpu-2", "driver": "IvyBridge-IBRS-x86_64-cpu", "socket-id": 1, "core-id": 0, "thread-id": 0}),
        ),
        ("(QEMU) query-hotpluggable-cpus", "query-hotpluggable-cpus", json!({})),
        ("(QEMU) device_del id=cpu-2", "device_del", json!({"id": "cpu-2"})),
        // docs/memory-hotplug.txt
        (
            "(qemu) object-add qom-type=memory-backend-ram id=mem1 size=1073741824"
                .trim_start_matches("(qemu) "),
            "object-add",
            json!({"qom-type": "memory-backend-ram", "id": "mem1", "size": 1_073_741_824}),
        ),
        (
            "device_add driver=pc-dimm id=dimm1 memdev=mem1",
            "device_add",
            json!({"driver": "pc-dimm", "id": "dimm1", "memdev": "mem1"}),
        ),
        // QEMU before 6.0.
        (
            "(QEMU) object-add qom-type=memory-backend-ram id=mem2  props.size=4294967296",
            "object-add",
            json!({"qom-type": "memory-backend-ram", "id": "mem2", "props": {"size": 4_294_967_296_u64}}),
        ),
        (
            "(QEMU) query-cpu-model-expansion type=full model={\"name\":\"max\"}",
            "query-cpu-model-expansion",
            json!({"type": "full", "model": {"name": "max"}}),
        ),
        (
            "(QEMU) query-cpu-model-expansion type=full model={\"name\":\"rv64\",\"props\":{\"cbom_blocksize\":128}}",
            "query-cpu-model-expansion",
            json!({"type": "full", "model": {"name": "rv64", "props": {"cbom_blocksize": 128}}}),
        ),
        (
            "(QEMU) gpio-set path=/machine/soc0/harts[0] gpio=riscv.cpu.rnmi number=0 value=true",
            "gpio-set",
            json!({"path": "/machine/soc0/harts[0]", "gpio": "riscv.cpu.rnmi", "number": 0, "value": true}),
        ),
        (
            "migrate-set-parameters mode=cpr-transfer",
            "migrate-set-parameters",
            json!({"mode": "cpr-transfer"}),
        ),
        (
            "migrate channels=[{\"channel-type\":\"main\",\"addr\":{\"transport\":\"socket\",\"type\":\"inet\",\"host\":\"0\",\"port\":\"44444\"}},{\"channel-type\":\"cpr\",\"addr\":{\"transport\":\"socket\",\"type\":\"unix\",\"path\":\"/var/run/cpr.sock\"}}]",
            "migrate",
            json!({"channels": [
                {"channel-type": "main", "addr": {"transport": "socket", "type": "inet", "host": "0", "port": "44444"}},
                {"channel-type": "cpr", "addr": {"transport": "socket", "type": "unix", "path": "/var/run/cpr.sock"}},
            ]}),
        ),
        (
            "(QEMU) netdev_add id=tap0 type=tap vhost=true ifname=tap0 script=no downscript=no",
            "netdev_add",
            json!({"id": "tap0", "type": "tap", "vhost": true, "ifname": "tap0", "script": "no", "downscript": "no"}),
        ),
        (
            "(QEMU) device_add driver=virtio-net-pci netdev=tap0 id=test0 mac=52:54:00:df:89:29 bus=pci.0",
            "device_add",
            json!({"driver": "virtio-net-pci", "netdev": "tap0", "id": "test0", "mac": "52:54:00:df:89:29", "bus": "pci.0"}),
        ),
        ("set_link name=alice1 up=true", "set_link", json!({"name": "alice1", "up": true})),
        (
            "set_password protocol=vnc password=secret",
            "set_password",
            json!({"protocol": "vnc", "password": "secret"}),
        ),
        ("(QEMU) query-status", "query-status", json!({})),
    ]);
}

/// qmp-shell 0.0.6 sends quotes as they are, cannot say the string `123`, and adds every argument that
/// follows a dotted key to the object of that key.
#[test]
fn bugs_of_qmp_shell() {
    check(&[
        ("c text=\"a b\"", "c", json!({"text": "a b"})),
        ("c text='a b'", "c", json!({"text": "a b"})),
        ("c text='123'", "c", json!({"text": "123"})),
        (
            "block_resize node-name=123 size=1",
            "block_resize",
            json!({"node-name": "123", "size": 1}),
        ),
        (
            "blockdev-add file.driver=file file.filename=a driver=raw",
            "blockdev-add",
            json!({"file": {"driver": "file", "filename": "a"}, "driver": "raw"}),
        ),
        ("c a={'x': 1, 'y': [True, None]}", "c", json!({"a": {"x": 1, "y": [true, null]}})),
    ]);
    for blank in ["", " ", "\n", "\t\n  \n"] {
        assert_eq!(parse(blank, &Builtin), Ok(None));
    }
    assert_eq!(parse("hmp", &Builtin), Ok(Some(Statement::Hmp(String::new()))));
}

/// Scripts for socat.
#[test]
fn objects_as_they_are_on_the_wire() {
    check(&[
        ("{\"execute\":\"qmp_capabilities\"}", "qmp_capabilities", json!({})),
        ("\u{feff}{\"execute\":\"query-status\"}", "query-status", json!({})),
        ("{'execute': 'stop'} # comment", "stop", json!({})),
        (
            "-> { \"execute\": \"device_del\",\n     \"arguments\": { \"id\": \"net1\" } }",
            "device_del",
            json!({"id": "net1"}),
        ),
        (
            "{\n \"execute\": \"c\",\n # a comment\n \"arguments\": {\"a\": 1,},\n}",
            "c",
            json!({"a": 1}),
        ),
        ("blockdev-del {\"node-name\": \"a\"}", "blockdev-del", json!({"node-name": "a"})),
    ]);
    let parsed = parse("{\"exec-oob\": \"migrate-pause\", \"id\": [1]}", &Builtin).unwrap();
    let Some(Statement::Command(command)) = parsed else { panic!("{parsed:?}") };
    assert!(command.oob);
    assert_eq!(command.id, Some(json!([1])));
    let parsed = parse("\n# first\nexec-oob migrate-pause", &Builtin).unwrap();
    let Some(Statement::Command(command)) = parsed else { panic!("{parsed:?}") };
    assert!(command.oob);
    assert_eq!(command.line, 3);
}

#[test]
fn types_come_from_the_schema() {
    check(&[
        (
            "block_resize node-name=a size=64M",
            "block_resize",
            json!({"node-name": "a", "size": 67_108_864}),
        ),
        (
            "block_resize node-name=a size=1.5G",
            "block_resize",
            json!({"node-name": "a", "size": 1_610_612_736}),
        ),
        (
            "block_resize node-name=a size=0x100",
            "block_resize",
            json!({"node-name": "a", "size": 256}),
        ),
        ("set_link name=1e5 up=off", "set_link", json!({"name": "1e5", "up": false})),
        (
            "nbd-server-start addr.type=inet addr.data.host=:: addr.data.port=49153",
            "nbd-server-start",
            json!({"addr": {"type": "inet", "data": {"host": "::", "port": "49153"}}}),
        ),
        // The discriminator comes last.
        (
            "blockdev-add file.filename=0042 file.driver=file node-name=1 driver=raw",
            "blockdev-add",
            json!({"driver": "raw", "node-name": "1", "file": {"driver": "file", "filename": "0042"}}),
        ),
        (
            "blockdev-add driver=qcow2 file=7 backing=null",
            "blockdev-add",
            json!({"driver": "qcow2", "file": "7", "backing": null}),
        ),
        (
            "blockdev-add driver=qcow2 file=7 backing=\"null\"",
            "blockdev-add",
            json!({"driver": "qcow2", "file": "7", "backing": "null"}),
        ),
        (
            "migrate channels.0.channel-type=main channels.0.addr.transport=file channels.0.addr.filename=1 channels.0.addr.offset=4k",
            "migrate",
            json!({"channels": [{"channel-type": "main", "addr": {"transport": "file", "filename": "1", "offset": 4096}}]}),
        ),
        (
            "blockdev-add driver=quorum node-name=q vote-threshold=1 children=[a, 2]",
            "blockdev-add",
            json!({"driver": "quorum", "node-name": "q", "vote-threshold": 1, "children": ["a", "2"]}),
        ),
        (
            "qom-set path=/machine property=x value:=\"123\"",
            "qom-set",
            json!({"path": "/machine", "property": "x", "value": "123"}),
        ),
        (
            "transaction(\nproperties.completion-mode=grouped\nblockdev-backup device=1 target=2 sync=full speed=1M\n\n# none\nabort\n)",
            "transaction",
            json!({"actions": [
                {"type": "blockdev-backup", "data": {"device": "1", "target": "2", "sync": "full", "speed": 1_048_576}},
                {"type": "abort", "data": {}},
            ], "properties": {"completion-mode": "grouped"}}),
        ),
    ]);
}

/// A machine that tells the properties of its devices.
struct Machine(Schema);

impl Types for Machine {
    fn schema(&self) -> &Schema {
        &self.0
    }

    fn properties(
        &self,
        of: Owner<'_>,
    ) -> Option<std::sync::Arc<[qmp_client::qmp::types::ObjectPropertyInfo]>> {
        let known = match of {
            Owner::Device("virtio-blk-pci") => {
                r#"[{"name": "serial", "type": "str"}, {"name": "num-queues", "type": "uint16"},
                    {"name": "ioeventfd", "type": "bool"}, {"name": "addr", "type": "str"},
                    {"name": "write-cache", "type": "OnOffAuto"}, {"name": "discard_granularity", "type": "size"}]"#
            }
            Owner::Path("/machine") => {
                r#"[{"name": "kernel", "type": "string"}, {"name": "usb", "type": "bool"}]"#
            }
            _ => return None,
        };
        let known: Vec<_> = serde_json::from_str(known).unwrap();
        Some(known.into())
    }
}

fn machine() -> Machine {
    let reply = serde_json::from_str(qmp_client::qmp::INTROSPECTION).unwrap();
    Machine(Schema::live(reply))
}

#[test]
fn properties_of_devices_have_their_types() {
    let machine = machine();
    for (line, expected) in [
        (
            "device_add driver=virtio-blk-pci id=1 serial=12345678901234567890123",
            json!({"driver": "virtio-blk-pci", "id": "1", "serial": "12345678901234567890123"}),
        ),
        (
            "device_add serial=1e5 num-queues=4 ioeventfd=off addr=5 write-cache=on driver=virtio-blk-pci",
            json!({"driver": "virtio-blk-pci", "serial": "1e5", "num-queues": 4, "ioeventfd": false, "addr": "5", "write-cache": "on"}),
        ),
        (
            "device_add driver=virtio-blk-pci discard_granularity=64k",
            json!({"driver": "virtio-blk-pci", "discard_granularity": 65536}),
        ),
        (
            "qom-set path=/machine property=kernel value=12",
            json!({"path": "/machine", "property": "kernel", "value": "12"}),
        ),
        (
            "qom-set path=/machine property=usb value=on",
            json!({"path": "/machine", "property": "usb", "value": true}),
        ),
    ] {
        assert_eq!(command(line, &machine).1, expected, "{line}");
    }
}

/// The types in the introspection of real releases have numbers for names.
#[test]
fn the_schemas_of_releases_give_the_types() {
    for release in ["7.2", "10.0", "11.1"] {
        let path =
            format!("{}/../schema/tests/releases/{release}.json", env!("CARGO_MANIFEST_DIR"));
        let reply = std::fs::read_to_string(path).unwrap();
        let schema = Schema::live(serde_json::from_str(&reply).unwrap());
        for (line, expected) in [
            (
                "blockdev-add file.filename=1e5 file.driver=file node-name=007 driver=qcow2 read-only=on",
                json!({"driver": "qcow2", "node-name": "007", "read-only": true, "file": {"driver": "file", "filename": "1e5"}}),
            ),
            ("block_resize node-name=1 size=1G", json!({"node-name": "1", "size": 1_073_741_824})),
            (
                "transaction(\nblockdev-snapshot node=1 overlay=2\n)",
                json!({"actions": [{"type": "blockdev-snapshot", "data": {"node": "1", "overlay": "2"}}]}),
            ),
            (
                "netdev_add type=user id=1 ipv6=off hostfwd=[{'str': 'tcp::22-:22'}]",
                json!({"type": "user", "id": "1", "ipv6": false, "hostfwd": [{"str": "tcp::22-:22"}]}),
            ),
            (
                "object-add qom-type=memory-backend-ram id=1 size=64M share=true",
                json!({"qom-type": "memory-backend-ram", "id": "1", "size": 67_108_864, "share": true}),
            ),
        ] {
            assert_eq!(command(line, &schema).1, expected, "{release}: {line}");
        }
        let error = parse("blockdev-add driver=qcow2 file.driver=file file.filname=x", &schema);
        assert!(error.unwrap_err().to_string().contains("did you mean `filename`?"), "{release}");
    }
}

#[test]
fn errors_point_at_the_word() {
    let machine = machine();
    for (text, place, message) in [
        (
            "block_resize size=big node-name=a",
            "big",
            "`size` must be a whole number of bytes, such as 1048576 or 1M, found `big`",
        ),
        ("blockdev-mirror device=a target=b sync=ful", "ful", "did you mean `full`?"),
        (
            "blockdev-mirror devcie=a",
            "devcie",
            "`blockdev-mirror` has no argument `devcie`; did you mean `device`?",
        ),
        (
            "blockdev-add driver=qcow2 file.drvier=file",
            "drvier",
            "`file` of `blockdev-add` has no argument `drvier`; did you mean `driver`?",
        ),
        (
            "device_add driver=virtio-blk-pci num-queues=x",
            "x",
            "`num-queues` must be a whole number of at most 64 bits, found `x`",
        ),
        ("device_add driver=virtio-blk-pci seriel=x", "seriel", "did you mean `serial`?"),
        ("device_del net0", "net0", "expected `key=value`, found `net0`; did you mean `id=net0`?"),
        ("query-status now", "now", "`query-status` has no arguments"),
        ("set_link name=a up=maybe", "maybe", "`up` must be true or false, found `maybe`"),
        (
            "blockdev-add driver=qcow2 file.driver=file file=x",
            "file",
            "`file` has members already, and cannot also have a value",
        ),
        (
            "blockdev-add file={\"driver\": \"file\", \"filname\": \"a\"} driver=raw",
            "\"filname\"",
            "did you mean `filename`?",
        ),
        (
            "transaction(\nblockdev-bakup device=a\n)",
            "blockdev-bakup",
            "did you mean `blockdev-backup`?",
        ),
        ("wait SHUTDWN", "SHUTDWN", "did you mean `SHUTDOWN`?"),
        ("wait SHUTDOWN --timeout soon", "soon", "`soon` is not a number of seconds"),
        ("{\"execute\": \"x\", \"argument\": {}}", "\"argument\"", "did you mean `arguments`?"),
        ("query-status\nstop", "stop", "one statement at a time"),
    ] {
        let error = parse(text, &machine).unwrap_err();
        assert_eq!(&text[error.span()], place, "{text}: {error}");
        assert!(error.to_string().contains(message), "{text}: {error}");
    }
    let error = parse("block_resize size=big node-name=a", &machine).unwrap_err();
    let pointer = error.pointer("block_resize size=big node-name=a").unwrap();
    assert_eq!(pointer, "block_resize size=big node-name=a\n                  ^^^");
}

#[test]
fn an_error_does_not_quote_a_secret() {
    let machine = machine();
    for text in [
        "set_password protocol=vnc password hunter2",
        "set_password protocol=vnc hunter2",
        "set_password protocol=vnc password=[hunter2",
        "object-add qom-type=secret id=s data={hunter2}",
        "change-vnc-password hunter2",
    ] {
        if let Err(error) = parse(text, &machine) {
            let shown = format!("{error} {}", error.pointer(text).unwrap_or_default());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn statements_of_the_shell() {
    let machine = machine();
    for (text, expected) in [
        ("exit", Statement::Exit),
        ("help", Statement::Help(None)),
        ("?", Statement::Help(None)),
        ("help query-status", Statement::Help(Some("query-status".into()))),
        ("?query-status", Statement::Help(Some("query-status".into()))),
        ("query-status ?", Statement::Help(Some("query-status".into()))),
        ("hmp info  block -v # x", Statement::Hmp("info  block -v # x".into())),
        ("set", Statement::Set(Vec::new())),
        (
            "set output=raw filter='A B'",
            Statement::Set(vec![("output".into(), "raw".into()), ("filter".into(), "A B".into())]),
        ),
        (
            "wait JOB_STATUS_CHANGE id=12 status=concluded --timeout 1.5",
            Statement::Wait {
                event: "JOB_STATUS_CHANGE".into(),
                matches: vec![("id".into(), json!("12")), ("status".into(), json!("concluded"))],
                timeout: Some(std::time::Duration::from_millis(1500)),
            },
        ),
        (
            "wait BLOCK_IO_ERROR nospace=on --timeout=200ms",
            Statement::Wait {
                event: "BLOCK_IO_ERROR".into(),
                matches: vec![("nospace".into(), json!(true))],
                timeout: Some(std::time::Duration::from_millis(200)),
            },
        ),
    ] {
        assert_eq!(parse(text, &machine), Ok(Some(expected)), "{text}");
    }
}
