//! What is said of arguments that do not fit, against what a QEMU was seen to say.
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

/// A server whose commands all fail, so that success cannot be taken for a check.
fn server() -> Server<()> {
    fn refuse<C: Command + DeserializeOwned>(router: Router<()>) -> Router<()> {
        router.command(|_: &mut (), _: C, _: &mut Context| Err(QmpError::generic("executed")))
    }
    let router = [
        refuse::<Balloon>,
        refuse::<BlockSetIoThrottle>,
        refuse::<BlockSetWriteThreshold>,
        refuse::<BlockdevAdd>,
        refuse::<ChardevAdd>,
        refuse::<DeviceDel>,
        refuse::<Eject>,
        refuse::<Getfd>,
        refuse::<HumanMonitorCommand>,
        refuse::<InputSendEvent>,
        refuse::<JobDismiss>,
        refuse::<MigrateSetCapabilities>,
        refuse::<MigrateSetParameters>,
        refuse::<NetdevAdd>,
        refuse::<ObjectAdd>,
        refuse::<QomGet>,
        refuse::<QomSet>,
        refuse::<QueryNamedBlockNodes>,
        refuse::<QueryRxFilter>,
        refuse::<Screendump>,
        refuse::<SetAction>,
        refuse::<SetLink>,
        refuse::<SetPassword>,
        refuse::<Transaction>,
        refuse::<WatchdogSetAction>,
    ]
    .into_iter()
    .fold(Router::new().introspection(qmp::INTROSPECTION), |router, add| add(router));
    let router = router.open_command(|_: &mut (), command: DeviceAdd, _: &mut Context| {
        Err(QmpError::generic(format!("{:?}", command.properties)))
    });
    Server::new(Version::default(), router, ())
}

#[test]
fn faults_are_told_in_qemus_words() {
    for connection in recorded(ARGUMENTS) {
        let ours = server().connect();
        drop(ours.take_output());
        let mut wrong = Vec::new();
        for (sent, expected) in &connection.exchanges {
            ours.receive(sent);
            let replies = lines(&ours.take_output());
            if replies != *expected {
                wrong.push(format!(
                    "{}  QEMU: {expected:?}\n  ours: {replies:?}\n",
                    String::from_utf8_lossy(sent)
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.concat());
    }
}

#[test]
fn what_fits_gets_through() {
    for (command, arguments, reply) in [
        ("device_del", "{'id': 'x'}", "executed"),
        ("balloon", "{'value': -1}", "executed"),
        ("query-rx-filter", "{}", "executed"),
        ("qom-set", "{'path': 'a', 'property': 'b', 'value': [{}]}", "executed"),
        ("blockdev-add", "{'driver': 'qcow2', 'file': 'x', 'backing': null}", "executed"),
        ("migrate-set-parameters", "{'tls-creds': null, 'max-bandwidth': 1}", "executed"),
        // A command of which the schema does not know all arguments.
        ("device_add", "{'driver': 'x', 'mac': 1, 'a': []}", "mac"),
        ("device_add", "{'mac': 1}", "Parameter 'driver' is missing"),
    ] {
        let ours = server().connect();
        ours.receive(NEGOTIATE);
        ours.receive(format!("{{'execute': '{command}', 'arguments': {arguments}}}").as_bytes());
        let replies = lines(&ours.take_output());
        assert!(replies[2].contains(reply), "{command} {arguments}: {}", replies[2]);
    }
}
