//! A glob import of a vocabulary replaces no name of Rust's prelude.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used, unused_imports)]

use qmp_types::qmp::commands::*;
use qmp_types::qmp::events::*;
use qmp_types::qmp::types::*;

fn names(nodes: Option<Vec<BlockDeviceInfo>>) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let nodes = nodes.ok_or("no nodes")?;
    Ok(nodes.into_iter().map(|node| node.node_name.unwrap_or_default()).collect())
}

#[test]
fn the_prelude_is_still_there() {
    let list: Vec<BlockDeviceInfo> = Default::default();
    assert_eq!(names(Some(list)).unwrap(), Vec::<String>::new());
    assert!(names(None).is_err());
    // QEMU has a type of this name, too.
    let string: String_ = qmp_types::decode(r#"{"str": "x"}"#).unwrap();
    assert_eq!(string.str, String::from("x"));
}
