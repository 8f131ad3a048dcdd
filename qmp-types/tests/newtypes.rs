//! Newtypes whose names look like those of serde_json.

#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::collections::BTreeMap;

use qmp_types::decode;

/// A reference, as JSON Schema writes one.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd, serde::Deserialize)]
#[serde(rename = "$ref")]
struct Reference(String);

/// A newtype of such a name was taken for a raw value, and failed.
#[test]
fn a_name_may_begin_with_a_dollar_sign() {
    let reference = || Reference("a".to_owned());
    assert_eq!(decode::<Reference>("\"a\"").unwrap(), reference());
    let map: BTreeMap<Reference, Reference> = decode(r#"{"\u0061": "a"}"#).unwrap();
    assert_eq!(map[&reference()], reference());
}
