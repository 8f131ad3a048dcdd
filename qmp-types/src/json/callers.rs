//! The types of callers, and texts as other programs write them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::from_str;
use super::scan::find_pair;

fn reason<T: serde::de::DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
    from_str::<T>(text).unwrap_err().into_parts().0
}

#[derive(Clone, Debug, PartialEq)]
struct Failure {
    class: String,
    desc: String,
}
crate::object! { Failure = "Failure" {
    class: "class",
    desc: "desc",
} }

#[test]
fn standard_types_are_read() {
    assert_eq!(from_str::<Vec<bool>>("[true,false]").unwrap(), [true, false]);
    assert_eq!(from_str::<Vec<Option<u8>>>("[null, 1]").unwrap(), [None, Some(1)]);
    assert_eq!(from_str::<Option<bool>>("null").unwrap(), None);
    assert_eq!(from_str::<Bound<u8>>(r#"{"Unbounded": null}"#).unwrap(), Bound::Unbounded);
    assert!(from_str::<Bound<u8>>(r#"{"Unbounded": 1}"#).is_err());
}

/// QEMU writes a space after a colon, and other programs do not, or one before it.
#[test]
fn space_may_be_around_colons() {
    for colon in [":", ": ", " :", " : ", "\n:\t"] {
        let text = format!(r#"{{"class"{colon}"GenericError","desc"{colon}"no"}}"#);
        let error: Failure = from_str(&text).unwrap();
        assert_eq!(error.desc, "no", "{text}");
    }
}

#[test]
fn a_name_that_is_not_a_string_is_reported_as_such() {
    for text in ["{1: 1}", "{true: 1}", "{\"a\": 1, 2: 1}"] {
        assert_eq!(reason::<BTreeMap<String, u8>>(text), "expected the name of a member", "{text}");
    }
}

/// The end of a skipped value is found before its text is checked.
#[test]
fn a_control_character_in_a_skipped_string_is_an_error() {
    for text in ["[\"a\u{1}b\"]", "{\"a\": \"\\n\u{1}\"}", "[\"\u{1}\"]"] {
        assert!(from_str::<serde::de::IgnoredAny>(text).is_err(), "{text:?}");
    }
}

#[test]
fn brackets_in_the_strings_of_a_skipped_value_do_not_count() {
    for text in [r#"["a]"]"#, r#"{"}": "{"}"#, r#"[{"a": "\"]"}]"#] {
        assert!(from_str::<serde::de::IgnoredAny>(text).is_ok(), "{text}");
    }
}

#[test]
fn another_value_than_an_object_is_reported_with_the_name_of_the_type() {
    let wanted = "invalid type: integer `1`, expected an object (Failure)";
    assert_eq!(reason::<Failure>("1"), wanted);
}

/// The limit on memory is for values that are much larger than their text.
#[test]
fn what_is_mostly_text_is_within_the_limit() {
    let names: Vec<String> = (0..1_000).map(|n| format!("\"{n}{}\":1", "x".repeat(500))).collect();
    let map: BTreeMap<String, u8> = from_str(&format!("{{{}}}", names.join(","))).unwrap();
    assert_eq!(map.len(), 1_000);
    let strings = vec![r#""\n""#; 5_000].join(",");
    assert_eq!(from_str::<Vec<String>>(&format!("[{strings}]")).unwrap().len(), 5_000);
}

/// A large text may be a few strings, and may take a little more than itself.
#[test]
fn large_strings_are_within_the_limit() {
    let string = "x".repeat(17 << 20);
    let text = format!("[\"{string}\",\"{string}\"]");
    assert_eq!(from_str::<Vec<&str>>(&text).unwrap(), [&string; 2]);
}

/// Six bytes of text are an entry of a map, with more than a hundred bytes beside its name and value.
#[test]
fn the_memory_of_a_map_of_many_entries_is_limited() {
    let text = |count: usize| format!("{{{}}}", vec!["\"a\":0"; count].join(","));
    assert!(from_str::<BTreeMap<String, u8>>(&text(100_000)).is_ok());
    let reason = reason::<BTreeMap<String, u8>>(&text(250_000));
    assert_eq!(reason, "the value takes more than 33554432 bytes of memory");
}

/// Most of a text is far from any pair of bytes that is looked for.
#[test]
fn a_pair_is_found_wherever_it_is_alone() {
    for length in 2..80 {
        for at in 0..=length - 2 {
            let mut bytes = vec![b'.'; length];
            bytes[at..at + 2].copy_from_slice(b"\"k");
            assert_eq!(find_pair(&bytes, 0, *b"\"k"), Some(at), "{length}");
            assert_eq!(find_pair(&bytes, at + 1, *b"\"k"), None, "{length}");
        }
    }
}
