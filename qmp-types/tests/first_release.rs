//! The example session in the documentation of QMP's first release decodes as it is.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

use qmp_types::qmp::commands::{QmpCapabilities, QueryVersion};
use qmp_types::{Command, ServerMessage, VersionTriple, decode};

fn returned<C: Command>(text: &str) -> C::Return {
    let ServerMessage::Return { value, .. } = decode(text).unwrap() else { panic!("{text}") };
    decode(value.get()).unwrap()
}

#[test]
fn the_first_session_decodes() {
    let greeting =
        r#"{"QMP": {"version": {"qemu": "0.12.50", "package": ""}, "capabilities": []}}"#;
    let ServerMessage::Greeting(greeting) = decode(greeting).unwrap() else { panic!("{greeting}") };
    assert_eq!(greeting.version.qemu, VersionTriple::new(0, 12, 50));
    assert!(greeting.capabilities.is_empty());
    returned::<QmpCapabilities>(r#"{"return": {}}"#);
    let version = returned::<QueryVersion>(r#"{"return": {"qemu": "0.12.50", "package": ""}}"#);
    assert_eq!((version.qemu, version.package.as_str()), (VersionTriple::new(0, 12, 50), ""));
}
