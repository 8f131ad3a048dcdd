//! Types that ignore errors in what they consist of.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // tests

use qmp_types::{decode, decode_beginning};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde_json::value::RawValue;

/// A member whose type ignores every error.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Tolerant<T> {
    #[serde(deserialize_with = "tolerant")]
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    x: Option<T>,
}

fn tolerant<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(deserializer).ok())
}

/// An object with a member of one byte.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Byte {
    b: u8,
}

/// Reads a text that begins with an object both ways.
fn read_tolerantly<'de, T: Deserialize<'de>>(text: &'de str) -> Option<Option<T>> {
    let whole = decode::<Tolerant<T>>(text).ok();
    let beginning = decode_beginning::<Tolerant<T>>(text);
    assert_eq!(whole.is_some(), beginning.is_some(), "{text}");
    assert_eq!(beginning.map_or(text.len(), |(_, length)| length), text.len(), "{text}");
    whole.map(|found| found.x)
}

/// An object took the bracket of the one inside it as its own, and counted as shorter than it was, if the
/// error inside was ignored. Damage that was ignored was accepted.
#[test]
fn no_value_ends_inside_another_whose_error_was_ignored() {
    assert_eq!(read_tolerantly(r#"{"x": {"b": 3}}"#), Some(Some(Byte { b: 3 })));
    assert_eq!(read_tolerantly::<Byte>(r#"{"x": 3}"#), Some(None));
    assert_eq!(read_tolerantly::<u8>(r#"{"x": 300}"#), Some(None));
    assert_eq!(read_tolerantly::<u8>(r#"{"x": "y"}"#), Some(None));
    assert!(read_tolerantly::<&RawValue>(r#"{"x": 1E400}"#).unwrap().is_some());
    for text in [
        r#"{"x": {"b": 300}}"#,
        r#"{"x": {"b": 300}"#,
        r#"{"x": {"b": [1]}}"#,
        r#"{"x": {"c": 1}}"#,
        r#"{"x": {"b": 3, "b": 4}}"#,
        r#"{"x": {"b": 300, "c": [}}"#,
        r#"{"x": [300]}"#,
        r#"{"x": 03}"#,
    ] {
        assert_eq!(read_tolerantly::<Byte>(text), None, "{text}");
    }
    for text in [r#"{"x": [1]}"#, r#"{"x": {}}"#, r#"{"x": "\u00"}"#] {
        assert_eq!(read_tolerantly::<String>(text), None, "{text}");
    }
    for text in [r#"{"x": [tru]}"#, r#"{"x": 03}"#, r#"{"x": {"y"}}"#] {
        assert_eq!(read_tolerantly::<IgnoredAny>(text), None, "{text}");
        assert!(decode::<Tolerant<Box<RawValue>>>(text).is_err(), "{text}");
    }
    let error = decode::<Tolerant<Byte>>(r#"{"x": {"b": 300}"#).unwrap_err();
    assert!(error.to_string().contains("ignored"), "{error}");
}
