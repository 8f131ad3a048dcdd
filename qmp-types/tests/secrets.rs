//! Secrets of the real vocabularies: what logs of commands contain.

#![cfg(all(feature = "qmp", feature = "qga"))]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::fmt::Debug;

use qmp_types::qga::commands::{GuestExec, GuestSetUserPassword, GuestSshAddAuthorizedKeys};
use qmp_types::qmp::commands::{
    BlockdevAdd, ChangeVncPassword, DeviceAdd, ExpirePassword, ObjectAdd, SetPassword, Transaction,
};
use qmp_types::{Command, redact, secrets_of};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Returns a command as `Debug` shows it, and its arguments as `redact` leaves them.
fn logged<C: Command + Debug + DeserializeOwned>(arguments: &Value) -> [String; 2] {
    let command: C = serde_json::from_value(arguments.clone()).unwrap();
    let text = serde_json::to_string(&command).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), *arguments, "nothing is lost");
    assert_eq!(secrets_of(C::NAME), C::SECRETS);
    [format!("{command:?}"), redact(C::NAME, &text).into_owned()]
}

#[test]
fn passwords_are_in_no_log() {
    for logged in [
        logged::<ChangeVncPassword>(&json!({"password": "hunter2"})),
        logged::<SetPassword>(&json!({"protocol": "vnc", "password": "hunter2", "display": "d"})),
        logged::<SetPassword>(&json!({"protocol": "rdp", "password": "hunter2"})),
        logged::<ObjectAdd>(&json!({"qom-type": "secret", "id": "s", "data": "hunter2"})),
        logged::<ObjectAdd>(&json!({"qom-type": "vault", "id": "s", "password": "hunter2",
            "data": "x"})),
        logged::<BlockdevAdd>(&json!({"driver": "raw", "file": {"driver": "https",
            "url": "https://x", "cookie": "hunter2", "cookie-secret": "s"}})),
        // Programs are given passwords in both ways.
        logged::<GuestExec>(&json!({"path": "p", "env": ["TOKEN=hunter2"], "input-data": "eA=="})),
        logged::<GuestExec>(&json!({"path": "p", "input-data": "hunter2"})),
        logged::<GuestSetUserPassword>(
            &json!({"username": "root", "password": "hunter2", "crypted": false}),
        ),
    ] {
        for logged in logged {
            assert!(!logged.contains("hunter2") && logged.contains("<secret>"), "{logged}");
        }
    }
    let unlisted = r#"{"execute": "__com.example_unlock", "arguments": {"Passphrase": "hunter2"}}"#;
    assert!(!redact("__com.example_unlock", unlisted).contains("hunter2"));
}

#[test]
fn the_rest_is_in_the_logs() {
    let device = json!({"driver": "virtio-blk-pci", "drive": "n0"});
    for (logged, shown) in [
        (logged::<ExpirePassword>(&json!({"protocol": "vnc", "time": "never"})), "never"),
        (logged::<DeviceAdd>(&device), "n0"),
        (
            logged::<GuestSshAddAuthorizedKeys>(&json!({"username": "u", "keys": ["ssh-rsa A"]})),
            "ssh-rsa A",
        ),
        (
            logged::<ObjectAdd>(&json!({"qom-type": "tls-creds-x509", "id": "t",
                "endpoint": "server", "passwordid": "s0"})),
            "s0",
        ),
        (logged::<BlockdevAdd>(&json!({"driver": "luks", "file": "f", "key-secret": "s0"})), "s0"),
        (logged::<Transaction>(&json!({"actions": [{"type": "abort", "data": {}}]})), "bort"),
    ] {
        for logged in logged {
            assert!(logged.contains(shown) && !logged.contains("<secret>"), "{logged}");
        }
    }
}
