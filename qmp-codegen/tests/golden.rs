//! Compares generated code with `golden/`, compiles it, and tries it on JSON.
//!
//! `BLESS=1` rewrites the goldens; read the difference before you commit it.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The goldens, compiled with all lints that a downstream crate may choose. They are included rather
/// than modules, since `cargo fmt` would format modules.
#[deny(warnings, missing_docs, clippy::all, clippy::pedantic)]
mod compiled {
    macro_rules! golden {
        ($($name:ident $file:literal)*) => {$(
            pub(crate) mod $name {
                include!(concat!("golden/", $file));
            }
        )*};
    }

    golden! {
        alternate "alternate.rs"
        command "command.rs"
        devices "devices.rs"
        enumeration "enum.rs"
        event "event.rs"
        foreign "foreign.rs"
        hostile "hostile.rs"
        read_only "read-only.rs"
        secret "secret.rs"
        structure "struct.rs"
        union "union.rs"
    }
}

fn schemas() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    assert_eq!(files.len(), 11, "a golden is missing, or not compiled above: {files:?}");
    files
}

#[test]
fn the_generator_writes_the_goldens() {
    let bless = std::env::var_os("BLESS").is_some_and(|bless| bless == "1");
    let mut stale = Vec::new();
    for schema in schemas() {
        let generated = match qmp_codegen::Builder::new().schema(&schema).generate_code() {
            Ok(generated) => generated,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(generated.warnings, "");
        let golden = schema.with_extension("rs");
        if bless {
            std::fs::write(&golden, &generated.code).unwrap();
        } else if std::fs::read_to_string(&golden).ok().as_deref() != Some(&generated.code) {
            stale.push(golden);
        }
    }
    assert!(stale.is_empty(), "the generator writes other code (BLESS=1 accepts it): {stale:#?}");
}

/// Decodes from text and from a `Value`, encodes, and compares.
fn both_ways<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: Value) -> T {
    let decoded: T = qmp_types::decode(&value.to_string()).unwrap();
    assert_eq!(serde_json::from_value::<T>(value.clone()).unwrap(), decoded);
    assert_eq!(serde_json::to_value(&decoded).unwrap(), value);
    decoded
}

fn refused<T: DeserializeOwned + Debug>(value: Value) -> String {
    qmp_types::decode::<T>(&value.to_string()).unwrap_err().to_string()
}

fn raw(value: Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

#[test]
fn enumerations_are_open() {
    use compiled::enumeration::types::Weather;
    assert_eq!(both_ways::<Weather>(json!("x86-64")), Weather::X86_64);
    assert_eq!(both_ways::<Weather>(json!("unknown")), Weather::Unknown_);
    assert_eq!(both_ways::<Weather>(json!("hail")), Weather::Unknown("hail".into()));
    assert_eq!("2-degrees".parse(), Ok(Weather::_2Degrees));
    assert_eq!(Weather::ALL.len(), 4);
    assert!(refused::<Weather>(json!(1)).contains("Weather"));
}

#[test]
fn structs_carry_the_members_of_their_base() {
    use compiled::structure::{commands::SetDisk, types::Disk};
    let disk = Disk::new("n0", "qcow2").size(5).tags(["a", "b"]).ratio(0.5).anything(7);
    let value = json!({
        "node-name": "n0", "size": 5, "type": "qcow2", "tags": ["a", "b"], "ratio": 0.5,
        "anything": 7,
    });
    assert_eq!(both_ways::<Disk>(value), disk);
    assert_eq!(SetDisk::from(disk).type_, "qcow2");
    let newer = json!({"new": {"x": []}, "type": "raw", "node-name": "n"});
    assert_eq!(serde_json::from_value::<Disk>(newer).unwrap(), Disk::new("n", "raw"));
    let error = refused::<Vec<Disk>>(json!([{"node-name": "n", "size": 1}]));
    assert!(error.contains("`type`") && error.contains("$[0]"), "{error}");
    let error = refused::<Disk>(json!({"node-name": "n", "tags": ["x"]}));
    assert!(error.contains("`type` at $,"), "{error}");
    let error = refused::<Vec<Vec<Disk>>>(json!([[{"node-name": "n", "type": []}]]));
    assert!(error.contains("$[0][0].type"), "{error}");
    let error = refused::<Disk>(json!({"node-name": "n", "type": "t", "size": -1}));
    assert!(error.contains("$.size"), "{error}");
}

#[test]
fn a_discriminator_may_come_last() {
    use compiled::union::types::{Address, Channel, ChannelTransport, Inet};
    let inet = Address::from(Inet::new("h", 7));
    assert_eq!(both_ways::<Address>(json!({"type": "inet", "host": "h", "port": 7})), inet);
    let channel = Channel::new("c", ChannelTransport::Socket(inet)).weight(3);
    // Members may come in any order.
    let mut members = [
        r#""label":"c""#,
        r#""transport":"socket""#,
        r#""weight":3"#,
        r#""type":"inet""#,
        r#""host":"h""#,
        r#""port":7"#,
    ];
    let mut orders = 0;
    permute(&mut members, 0, &mut |members| {
        let text = format!("{{{}}}", members.join(","));
        assert_eq!(qmp_types::decode::<Channel>(&text).unwrap(), channel, "{text}");
        orders += 1;
    });
    assert_eq!(orders, 720);
}

fn permute<'m>(members: &mut [&'m str], from: usize, visit: &mut dyn FnMut(&[&'m str])) {
    if from == members.len() {
        visit(members);
    }
    for other in from..members.len() {
        members.swap(from, other);
        permute(members, from + 1, visit);
        members.swap(from, other);
    }
}

#[test]
fn branches_are_open() {
    use compiled::union::commands::OpenChannel;
    use compiled::union::types::{Address, Channel, ChannelTransport};
    assert_eq!(both_ways::<Address>(json!({"type": "nowhere"})), Address::Nowhere);
    let new = both_ways::<Address>(json!({"type": "carrier", "bird": {"wings": 2}}));
    assert_eq!(new.as_str(), "carrier");
    let pigeon = both_ways::<Channel>(json!({"label": "c", "transport": "pigeon", "weight": 1}));
    assert_eq!(pigeon.transport, ChannelTransport::Pigeon);
    let new = json!({"speed": 9, "label": "c", "transport": "light", "weight": 1});
    let new = both_ways::<OpenChannel>(new).data;
    assert_eq!((new.label.as_str(), new.weight), ("c", Some(1)));
    let ChannelTransport::Unknown { name, members } = new.transport else { panic!("{new:?}") };
    assert_eq!((&*name, &members["speed"]), ("light", &json!(9)));
    assert!(refused::<Address>(json!({"host": "h", "port": 7})).contains("`type`"));
}

#[test]
fn an_alternate_is_chosen_by_json_type_alone() {
    use compiled::alternate::commands::Tune;
    use compiled::alternate::types::{Amount, Level, Options, OptionsRef};
    let nested = json!({"depth": 1, "more": {"depth": 2, "more": null}});
    let none = Options::new(2).more(qmp_types::Null);
    assert_eq!(both_ways::<Options>(nested), Options::new(1).more(none));
    assert_eq!(both_ways::<OptionsRef>(json!("name")), OptionsRef::from("name"));
    assert_eq!(both_ways::<Amount>(json!("high")), Amount::Level(Level::High));
    assert_eq!(both_ways::<Amount>(json!(200)), Amount::Exact(200));
    assert_eq!(both_ways::<Amount>(json!(true)), Amount::Yes(true));
    assert_eq!(both_ways::<Amount>(json!([1, 2])), Amount::Many(vec![1, 2]));
    let tune = Tune::new("fast").amount(3);
    assert_eq!(both_ways::<Tune>(json!({"options": "fast", "amount": 3})), tune);
    assert!(refused::<Amount>(json!(300)).contains("300"));
    assert!(refused::<Amount>(json!({})).contains("alternatives of Amount"));
    // The error is that of the alternative which the JSON type selects.
    assert!(refused::<OptionsRef>(json!({"depth": "x"})).contains("depth"));
}

#[test]
#[allow(deprecated)]
fn commands_are_data() {
    use compiled::command::commands::{Attach, Hurry, Leave, Plain};
    use qmp_types::{AllowOob, Command};
    fn returns<C: Command>(_: &C) -> &'static str {
        std::any::type_name::<C::Return>()
    }
    fn overtakes<C: AllowOob>(_: &C) -> &'static str {
        C::NAME
    }
    let attach = Attach::new("virtio").id("d0").property("drive", "n0");
    let value = json!({"driver": "virtio", "id": "d0", "drive": "n0"});
    assert_eq!(both_ways::<Attach>(value), attach);
    // A listed member is not written twice.
    let twice = Attach::new("virtio").property("driver", "other").property("id", "d1");
    let written = serde_json::to_string(&twice).unwrap();
    assert_eq!(written, r#"{"driver":"virtio","id":"d1"}"#);
    assert!(returns(&attach).contains("Vec<i64>"));
    assert_eq!(both_ways::<Plain>(json!({})), Plain::new());
    assert_eq!((Plain::NAME, Plain::HAS_ARGUMENTS, Attach::HAS_ARGUMENTS), ("plain", false, true));
    assert_eq!((Plain::SUCCESS_RESPONSE, Leave::SUCCESS_RESPONSE), (true, false));
    assert_eq!(overtakes(&Hurry::new()), "hurry");
}

#[test]
fn events_are_open() {
    use compiled::event::AnyEvent;
    use qmp_types::Vocabulary;
    let done = AnyEvent::decode("DONE", Some(&raw(json!({"id": "x"})))).unwrap();
    let AnyEvent::Done(done) = done else { panic!("{done:?}") };
    assert_eq!((done.id.as_str(), done.error), ("x", None));
    let nothing = AnyEvent::decode("NOTHING_AT_ALL", None).unwrap();
    assert_eq!(nothing.name(), "NOTHING_AT_ALL");
    let new = AnyEvent::decode("NEW", Some(&raw(json!([1])))).unwrap();
    assert_eq!(new, AnyEvent::Unknown { name: "NEW".into(), data: json!([1]) });
    assert!(AnyEvent::decode("DONE", None).unwrap_err().reason().contains("`id`"));
}

#[test]
fn hostile_names_are_only_names() {
    use compiled::hostile::AnyEvent;
    use compiled::hostile::types::{Into_, Object, ObjectKind, Option_, Self_, Vec_};
    use qmp_types::Vocabulary;
    let value = json!({"new": 1, "members": "m", "map": "Self", "match": true});
    let vec = both_ways::<Vec_>(value.clone());
    assert_eq!((vec.new_, vec.match_, vec.map.clone()), (1, true, Option_::Self__));
    assert_eq!(both_ways::<Into_>(value), Into_::Vec(vec));
    both_ways::<Self_>(json!({}));
    let object = json!({"kind": "Some", "name": "n", "branches": 2, "clone": true, "read": false});
    let object = both_ways::<Object>(object);
    assert!(matches!(object.kind, ObjectKind::Some(_)), "{object:?}");
    let event = AnyEvent::decode("UNKNOWN", Some(&raw(json!({"name": "n", "data": 1}))));
    assert!(matches!(event, Ok(AnyEvent::Unknown_(_))), "{event:?}");
}

/// The names that a QEMU's devices and their properties have are those on the wire.
#[test]
fn foreign_names_are_on_the_wire() {
    use compiled::foreign::types::{Cpu, Device};
    let cpu = Cpu::new().sse4_1(true)._3dnow(false).has_rom("");
    let device = both_ways::<Device>(
        json!({"driver": "486-cpu", "sse4.1": true, "3dnow": false, "has-rom": ""}),
    );
    assert_eq!(device, Device::from(cpu));
    assert_eq!(both_ways::<Device>(json!({"driver": "SUNW,tcx"})), Device::SUNWTcx);
}

/// Everything of a vocabulary is in scope, and so is everything of the prelude.
#[allow(unused_imports)]
mod glob {
    use super::compiled::hostile::commands::*;
    use super::compiled::hostile::events::*;
    use super::compiled::hostile::types::*;

    pub(super) fn convert(names: Option<Vec<Box<str>>>) -> Result<Vec<String>, String> {
        let names = names.unwrap_or_default().into_iter();
        let names: Vec<String> = names.map(|name| ToString::to_string(&*name)).collect();
        if names.is_empty() { Err(String::default()) } else { Ok(names) }
    }
}

#[test]
fn a_vocabulary_does_not_shadow_the_prelude() {
    assert_eq!(glob::convert(Some(vec!["a".into()])), Ok(vec![String::from("a")]));
    assert_eq!(glob::convert(None), Err(String::new()));
}

#[test]
fn types_work_with_formats_other_than_json_text() {
    use compiled::union::types::Channel;
    use serde::Deserialize;
    use serde::de::value::{Error, MapDeserializer};
    let members = [("label", "c"), ("transport", "pigeon")];
    let map = MapDeserializer::<_, Error>::new(members.into_iter());
    assert_eq!(Channel::deserialize(map).unwrap().label, "c");
}

/// Programs log commands with `{:?}`, and their logs contained passwords.
/// A command that is not listed is not known to be harmless.
#[test]
fn commands_tell_whether_they_are_read_only() {
    use compiled::read_only::commands::{QueryAge, QueryName, SetName};
    use compiled::read_only::{READ_ONLY, is_read_only};
    use qmp_types::Command;

    const { assert!(QueryName::READ_ONLY && QueryAge::READ_ONLY && !SetName::READ_ONLY) };
    assert_eq!(READ_ONLY, ["query-age", "query-name"]);
    assert!(is_read_only("query-age") && is_read_only("query-name"));
    assert!(!is_read_only("set-name") && !is_read_only("query-else"));
}

#[test]
fn debug_does_not_show_secrets() {
    use compiled::secret::commands::{Add, LogIn, OpenDoor, OpenSafe, Ring, SetLock};
    use compiled::secret::types::{Lock, LockKind, Login};
    use qmp_types::Command;

    let login = Login::new("me", "hunter2");
    let lock = Lock::new(login.clone()).code("hunter2");
    let door = OpenDoor::new(vec![lock.clone()]);
    let plain = Lock::new(LockKind::None);
    for (shown, expected) in [
        (format!("{login:?}"), r#"Login { user: "me", password: <secret>, pins: None }"#),
        (
            format!("{:?}", LogIn::new("me", "hunter2").pins(vec![1234])),
            r#"LogIn { user: "me", password: <secret>, pins: Some(<secret>) }"#,
        ),
        (
            format!("{:?}", OpenSafe::new(login, "x")),
            r#"OpenSafe { combination: <secret>, type_: "x" }"#,
        ),
        (
            format!("{door:?}"),
            r#"OpenDoor { locks: [Lock { kind: Login(Login { user: "me", password: <secret>, pins: None }), code: Some(<secret>) }], next: None }"#,
        ),
        (format!("{:?}", SetLock::new(plain)), "SetLock { data: Lock { kind: None, code: None } }"),
        (
            format!("{:?}", Add::new("x").property("password", "hunter2").property("n", 1)),
            r#"Add { type_: "x", properties: {"n": Number(1), "password": <secret>} }"#,
        ),
    ] {
        assert_eq!(shown, expected);
    }
    let newer: Lock =
        serde_json::from_value(json!({"kind": "badge", "password": "hunter2", "key-secret": "s0"}))
            .unwrap();
    assert_eq!(
        format!("{newer:?}"),
        r#"Lock { kind: Unknown { name: "badge", members: {"key-secret": String("s0"), "password": <secret>} }, code: None }"#
    );

    assert_eq!(LogIn::SECRETS, ["password", "pins"]);
    assert_eq!(SetLock::SECRETS, ["code", "password", "pins"]);
    assert_eq!(OpenDoor::SECRETS, SetLock::SECRETS);
    assert!(Ring::SECRETS.is_empty() && Add::SECRETS.is_empty());
    let names: Vec<_> = compiled::secret::SECRETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["open-safe", "open-door", "log-in", "set-lock"]);
    let text = serde_json::to_string(&door).unwrap();
    assert!(text.contains("hunter2"));
    let masked = qmp_types::redact_members(&text, OpenDoor::SECRETS);
    assert_eq!(
        serde_json::from_str::<Value>(&masked).unwrap(),
        json!({"locks": [{"kind": "login", "user": "me", "password": "<secret>", "code": "<secret>"}]}),
    );
}
