//! Compares error replies for invalid arguments with replies that were recorded from QEMU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, deprecated)]

mod support;

use qmp_server::{Context, Router, Server};
use qmp_types::qmp::commands::{
    Balloon, BlockSetIoThrottle, BlockSetWriteThreshold, BlockdevAdd, ChardevAdd, DeviceAdd,
    DeviceDel, Eject, Getfd, HumanMonitorCommand, InputSendEvent, JobDismiss,
    MigrateSetCapabilities, MigrateSetParameters, NetdevAdd, ObjectAdd, QomGet, QomSet,
    QueryNamedBlockNodes, QueryRxFilter, Screendump, SetAction, SetLink, SetPassword, Transaction,
    WatchdogSetAction,
};
use qmp_types::{Command, QmpError, Version, qmp};
use serde::de::DeserializeOwned;
use support::{NEGOTIATE, lines, recorded};

const ARGUMENTS: &str = include_str!("data/arguments.txt");

/// Returns a server whose commands all fail, so that every reply contains a message.
fn server() -> Server<()> {
    fn add_failing<C: Command + DeserializeOwned>(router: Router<()>) -> Router<()> {
        router.command(|_: &mut (), _: C, _: &mut Context| Err(QmpError::generic("executed")))
    }
    let router = [
        add_failing::<Balloon>,
        add_failing::<BlockSetIoThrottle>,
        add_failing::<BlockSetWriteThreshold>,
        add_failing::<BlockdevAdd>,
        add_failing::<ChardevAdd>,
        add_failing::<DeviceDel>,
        add_failing::<Eject>,
        add_failing::<Getfd>,
        add_failing::<HumanMonitorCommand>,
        add_failing::<InputSendEvent>,
        add_failing::<JobDismiss>,
        add_failing::<MigrateSetCapabilities>,
        add_failing::<MigrateSetParameters>,
        add_failing::<NetdevAdd>,
        add_failing::<ObjectAdd>,
        add_failing::<QomGet>,
        add_failing::<QomSet>,
        add_failing::<QueryNamedBlockNodes>,
        add_failing::<QueryRxFilter>,
        add_failing::<Screendump>,
        add_failing::<SetAction>,
        add_failing::<SetLink>,
        add_failing::<SetPassword>,
        add_failing::<Transaction>,
        add_failing::<WatchdogSetAction>,
    ]
    .into_iter()
    .fold(Router::new().introspection(qmp::INTROSPECTION), |router, add| add(router));
    let router = router.open_command(|_: &mut (), command: DeviceAdd, _: &mut Context| {
        Err(QmpError::generic(format!("{:?}", command.properties)))
    });
    Server::new(Version::default(), router, ()).unwrap()
}

#[test]
fn invalid_arguments_get_qemus_messages() {
    for connection in recorded(ARGUMENTS) {
        let client = server().connect();
        drop(client.take_output());
        let mut differences = Vec::new();
        for (sent, expected) in &connection.exchanges {
            client.receive(sent);
            let replies = lines(&client.take_output());
            if replies != *expected {
                differences.push(format!(
                    "{}  expected: {expected:?}\n  actual: {replies:?}\n",
                    String::from_utf8_lossy(sent)
                ));
            }
        }
        assert!(differences.is_empty(), "{}", differences.concat());
    }
}

#[test]
fn valid_arguments_reach_the_handler() {
    for (command, arguments, reply) in [
        ("device_del", "{'id': 'x'}", "executed"),
        ("balloon", "{'value': -1}", "executed"),
        ("query-rx-filter", "{}", "executed"),
        ("qom-set", "{'path': 'a', 'property': 'b', 'value': [{}]}", "executed"),
        ("blockdev-add", "{'driver': 'qcow2', 'file': 'x', 'backing': null}", "executed"),
        ("migrate-set-parameters", "{'tls-creds': null, 'max-bandwidth': 1}", "executed"),
        // A command that accepts arguments beyond those in the schema.
        ("device_add", "{'driver': 'x', 'mac': 1, 'a': []}", "mac"),
        ("device_add", "{'mac': 1}", "Parameter 'driver' is missing"),
    ] {
        let client = server().connect();
        client.receive(NEGOTIATE);
        client.receive(format!("{{'execute': '{command}', 'arguments': {arguments}}}").as_bytes());
        let replies = lines(&client.take_output());
        assert!(replies[2].contains(reply), "{command} {arguments}: {}", replies[2]);
    }
}
