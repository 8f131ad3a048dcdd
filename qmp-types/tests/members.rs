//! How the members of an object are found in JSON text: by comparing the text with the names that the
//! object has.

#![cfg(feature = "qmp")]
#![allow(clippy::unwrap_used, missing_docs)] // tests

use qmp_types::decode;
use qmp_types::qmp::commands::BlockdevAdd;
use qmp_types::qmp::types::{RunState, SchemaInfo, SchemaInfoMetaType, StatusInfo};
use serde::Deserialize;

/// Writes a name with escapes.
fn escaped(name: &str) -> String {
    name.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect()
}

#[test]
fn names_may_be_written_in_any_way() {
    let written = |name: &str| [name.to_owned(), escaped(name)];
    for first in written("running") {
        for second in written("status") {
            for colon in [":", ": ", " : ", ":  ", "\t:\n"] {
                for comma in [",", ", ", " , ", "\r\n,\n"] {
                    let (running, status) = (
                        format!("\"{first}\"{colon}true"),
                        format!("\"{second}\"{colon}\"paused\""),
                    );
                    for (one, other) in [(&running, &status), (&status, &running)] {
                        let text = format!("{{{one}{comma}\"statu\"{colon}0{comma}{other}}}");
                        let info: StatusInfo = decode(&text).unwrap();
                        assert_eq!((info.running, info.status), (true, RunState::Paused), "{text}");
                    }
                }
            }
        }
    }
}

/// A member that comes before the discriminator is kept, and a fraction has all of its digits.
#[test]
fn what_is_kept_until_the_branch_is_known_does_not_change() {
    let value = serde_json::json!({
        "a-ratio": 929.039_718_376_096_9, "meta-type": "in the future", "name": "x", "z-ratio": 0.1,
    });
    let info: SchemaInfo = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&info).unwrap(), value);
}

/// A value that is kept takes memory, too.
#[test]
fn the_memory_of_what_is_kept_is_limited() {
    let add = |count: usize| {
        let numbers = "0,".repeat(count);
        let text = format!(r#"{{"x":[{numbers}0],"dr\u0069ver":"qcow2","file":"f"}}"#);
        decode::<BlockdevAdd>(&text)
    };
    assert!(add(300_000).is_ok());
    let error = add(400_000).unwrap_err();
    assert_eq!(error.reason(), "the value takes more than 33554432 bytes of memory");
}

/// Each late discriminator could have made the reader begin again, at each level.
#[test]
fn the_time_for_late_discriminators_does_not_double_with_each() {
    let open = r#"{"driver":"qcow2","encrypt":{"format":"luks"},"file":{"file":"#;
    for count in [0, 20, 60] {
        let text = format!("{}7{}", open.repeat(count), r#","driver":"raw"}}"#.repeat(count));
        assert!(decode::<BlockdevAdd>(&text).is_err(), "{count}");
    }
}

#[test]
fn the_last_of_equal_names_counts() {
    for again in ["status".to_owned(), escaped("status")] {
        let text = format!(r#"{{"status": "paused", "running": true, "{again}": "running"}}"#);
        assert_eq!(decode::<StatusInfo>(&text).unwrap().status, RunState::Running);
    }
}

#[test]
fn a_name_is_neither_longer_nor_shorter() {
    for name in
        ["runnin", "runningg", "running\\u0000", "", "Running", "\\\"running", "running\\\""]
    {
        let text = format!(r#"{{"{name}": true, "status": "paused"}}"#);
        let error = decode::<StatusInfo>(&text).unwrap_err();
        assert_eq!((error.path(), error.reason()), ("$", "missing field `running`"), "{text}");
    }
}

#[test]
fn errors_around_names_say_where_they_are() {
    let cases = [
        (r#"{"running" true}"#, "$.running", "expected `:`"),
        (r#"{"running" , "status": "paused"}"#, "$.running", "expected `:`"),
        (r#"{"x" 1}"#, "$.x", "expected `:`"),
        (r#"{"running""#, "$.running", "unexpected end of the text"),
        (r#"{"running":"#, "$.running", "unexpected end of the text"),
        (r#"{"running": "#, "$.running", "unexpected end of the text"),
        (r#"{"running": }"#, "$.running", "expected a value"),
        (r#"{"running": true "status": 1}"#, "$.running", "expected `,` or `}`"),
        (r#"{"running": true, }"#, "$.running", "expected the name of a member"),
        (r#"{"running": true,"#, "$.running", "expected the name of a member"),
        (r#"{,"running": true}"#, "$", "expected the name of a member"),
        (r"{", "$", "unexpected end of the text"),
        (r#"{"running": 1}"#, "$.running", "invalid type: integer `1`, expected a boolean"),
    ];
    for (text, path, reason) in cases {
        let error = decode::<StatusInfo>(text).unwrap_err();
        assert_eq!((error.path(), error.reason()), (path, reason), "{text}");
    }
}

/// With `untagged` or `flatten`, serde reads a value before its type is known. Its names then come from
/// serde, although the text and the error are those of the same reader.
#[test]
fn generated_types_are_read_within_derived_ones() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Reply {
        Entries(Vec<SchemaInfo>),
        Status(StatusInfo),
    }

    #[derive(Deserialize)]
    struct Extended {
        #[serde(flatten)]
        status: StatusInfo,
        host: String,
    }

    let entry = r#"{"arg-type": "0", "name": "stop", "ret-type": "1", "meta-type": "command"}"#;
    let Reply::Entries(entries) = decode(&format!("[{entry}]")).unwrap() else { panic!() };
    assert!(matches!(entries[0].meta_type, SchemaInfoMetaType::Command(_)));
    assert_eq!(entries, decode::<Vec<SchemaInfo>>(&format!("[{entry}]")).unwrap());

    let status = r#"{"status": "paused", "host": "a", "running": false}"#;
    let Reply::Status(info) = decode(status).unwrap() else { panic!() };
    let extended: Extended = decode(status).unwrap();
    assert_eq!((&extended.status, &*extended.host), (&info, "a"));
}

/// The keys by which serde_json keeps texts and digits are names like any other.
#[test]
fn members_of_an_error_may_have_any_name() {
    #[derive(Deserialize)]
    struct Flat {
        #[serde(flatten)]
        all: std::collections::BTreeMap<String, qmp_types::QmpError>,
    }
    let text = r#"{"first": {"desc": "no", "$serde_json::private::RawValue": "{"}}"#;
    let flat: Flat = serde_json::from_str(text).unwrap();
    let value = flat.all["first"].rest.get("$serde_json::private::RawValue");
    assert_eq!(value.unwrap(), "{");
}
