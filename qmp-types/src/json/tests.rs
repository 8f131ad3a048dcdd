use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::Result;
use super::reader::MAX_DEPTH;
use super::*;

/// A repeatable sequence of numbers, for tests that try many inputs.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from((self.0 >> 33) % sides as u64).unwrap()
    }
}

const SEED: &str = r#" {"a": [1, -2, 3.5e2, 18446744073709551615, -9223372036854775808, 0.0],
    "b\u00e9\n\"": {"": null, "c": true, "ä": [[], {}, [false]]}, "d": "\\ \ud83d\ude00",
    "e": 123456789012345678901234567890, "f": -0, "g": 1E400, "h": [0, {"a": {"a": "x"}}]} "#;

/// serde_json's fractions are not always the nearest ones: the last digits are left out.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            format!("{:.12e}", number.as_f64().unwrap()).into()
        }
        Value::Array(elements) => elements.into_iter().map(rounded).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, rounded(value))).collect()
        }
        other => other,
    }
}

#[test]
fn fractions_are_the_nearest_numbers() {
    for text in ["929.0397183760969", "123456789012345678901234", "-0.1e-7", "5e-324", "-0", "-0.0"]
    {
        let number: f64 = from_str(text).unwrap();
        assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
    for text in ["1e309", "-1e999"] {
        assert!(from_str::<f64>(text).is_err(), "{text}");
    }
    // A number is converted only if a fraction will do.
    assert!(from_str::<Vec<serde::de::IgnoredAny>>("[1e309]").is_ok());
    let error = from_str::<u8>("1e309").unwrap_err().into_parts();
    assert_eq!(error, ("invalid type: floating point `1e309`, expected u8".into(), Some(5)));
}

#[test]
fn texts_are_read_as_by_serde_json() {
    let mut dice = Dice(1);
    let alphabet: Vec<char> = "{}[]:,\"\\0123456789.eE+-truefalsn u\n\u{1}ä".chars().collect();
    let mut accepted = 0;
    for _ in 0..60_000 {
        let mut text: Vec<char> = SEED.replace("1E400", "1E4").chars().collect();
        let start = dice.roll(text.len());
        text.truncate(start + dice.roll(text.len() - start) + 1);
        let from = dice.roll(text.len());
        let mut text = if dice.roll(3) == 0 { text.split_off(from) } else { text };
        for _ in 0..dice.roll(4) {
            let at = dice.roll(text.len());
            text[at] = alphabet[dice.roll(alphabet.len())];
        }
        let text: String = text.into_iter().collect();
        let ours = from_str::<Value>(&text).ok();
        accepted += usize::from(ours.is_some());
        let theirs = serde_json::from_str(&text).ok();
        assert_eq!(ours.map(rounded), theirs.map(rounded), "{text}");
    }
    assert!(accepted > 100, "{accepted}");
}

/// Values that are not converted are checked by a function of their own.
#[test]
fn skipped_and_raw_values_are_checked_as_by_serde_json() {
    let mut dice = Dice(2);
    let alphabet: Vec<char> = "{}[]:,\"\\/bu0123456789.eE+-truefalsn \n\u{1}ä".chars().collect();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..60_000 {
        // What has no value is refused only when it is converted.
        let seed = SEED.replace("true", "[\"\\ud83d\\/\\b\", true]");
        let mut text: Vec<char> = seed.chars().collect();
        for _ in 0..dice.roll(4) {
            let at = dice.roll(text.len());
            text[at] = alphabet[dice.roll(alphabet.len())];
        }
        let text = format!("[{}]", text.into_iter().collect::<String>());
        let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        assert_eq!(from_str::<IgnoredAny>(&text).is_ok(), theirs, "{text}");
        assert_eq!(from_str::<&RawValue>(&text).is_ok(), theirs, "{text}");
        *(if theirs { &mut accepted } else { &mut refused }) += 1;
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
}

#[test]
fn an_error_in_a_value_that_is_not_converted_has_a_place() {
    for text in
        [r#"[1, 2, {"a": [tru]}, 3]"#, r#"[1, 2, {"a": ["\x"]}, 3]"#, r#"[1, 2, {"a": [0 1]}]"#]
    {
        let error = crate::decode::<&RawValue>(text).unwrap_err().to_string();
        assert!(error.contains(" at $[2].a["), "{error}");
        let ends = crate::decode::<&RawValue>(&text[..text.len() - 4]).unwrap_err();
        assert!(!ends.to_string().is_empty());
    }
}

#[test]
fn numbers_are_those_of_serde_json() {
    for text in ["01", "-", "1.", ".5", "1e", "+1", "1E400", "-01", "--1", "1-2", "0x1"] {
        assert!(from_str::<Value>(text).is_err(), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
    }
}

#[test]
fn skipped_and_raw_values_may_have_any_depth() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    from_str::<IgnoredAny>(&deep).unwrap();
    assert_eq!(from_str::<&RawValue>(&deep).unwrap().get(), deep);
    for wrong in ["[1}", "{\"a\"]", "[1", "[\"]", "[1 2]", "{} {}"] {
        assert!(from_str::<&RawValue>(wrong).is_err(), "{wrong}");
        assert!(from_str::<IgnoredAny>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn raw_values_keep_the_text() {
    let raw: Vec<&RawValue> = from_str(r#"[ {"a" : 1} , "x\n", 1e2 ]"#).unwrap();
    let raw: Vec<&str> = raw.iter().map(|raw| raw.get()).collect();
    assert_eq!(raw, [r#"{"a" : 1}"#, r#""x\n""#, "1e2"]);
}

/// The text of a reply has been checked by then; what is read from it must be the same.
#[test]
fn a_checked_text_is_read_as_any_other() {
    fn same<T: for<'de> serde::Deserialize<'de> + fmt::Debug>(text: &RawValue) -> bool {
        let read = from_checked::<T>(text).map_err(JsonError::into_parts);
        let other = from_str::<T>(text.get()).map_err(JsonError::into_parts);
        assert_eq!(format!("{read:?}"), format!("{other:?}"), "{text}");
        read.is_ok()
    }
    type Members<T> = std::collections::BTreeMap<String, T>;
    let mut accepted = 0;
    for text in [
        "{}",
        "[ [], {\"a\": [1.50]} ]",
        "{\"a\" : {\"b\": [ 1 , \"}\" ]} , \"\\n\":[[]]}",
        "7",
        "1E400",
    ] {
        let text: Box<RawValue> = serde_json::from_str(text).unwrap();
        accepted += [
            same::<Value>(&text),
            same::<IgnoredAny>(&text),
            same::<Box<RawValue>>(&text),
            same::<Option<Box<RawValue>>>(&text),
            same::<Vec<Box<RawValue>>>(&text),
            same::<Vec<IgnoredAny>>(&text),
            same::<Members<Box<RawValue>>>(&text),
            same::<Members<IgnoredAny>>(&text),
            same::<Members<Members<Box<RawValue>>>>(&text),
            same::<crate::Verbatim<Vec<Value>>>(&text),
            same::<crate::Verbatim<Box<RawValue>>>(&text),
        ]
        .into_iter()
        .filter(|accepted| *accepted)
        .count();
        assert_eq!(from_checked::<&RawValue>(&text).unwrap().get(), text.get());
    }
    assert!((30..50).contains(&accepted), "{accepted}");
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(from_str::<Value>(&nested(usize::from(MAX_DEPTH))).is_ok());
    assert!(from_str::<Value>(&nested(usize::from(MAX_DEPTH) + 1)).is_err());
    let error = from_str::<Value>(&nested(10_000)).unwrap_err();
    assert_eq!(error.into_parts(), (String::from("nested more than 128 levels deep"), Some(128)));
}

#[test]
fn derived_enums_are_read() {
    // A type that replaces a generated one may derive `Deserialize`.
    let ipv4: std::ops::Bound<u8> = from_str(r#"{"Included": 3}"#).unwrap();
    assert_eq!(ipv4, std::ops::Bound::Included(3));
    assert_eq!(
        from_str::<std::ops::Bound<u8>>("\"Unbounded\"").unwrap(),
        std::ops::Bound::Unbounded
    );
}

/// Takes as many entries of an object, or elements of an array, as it is asked to, and then asks for
/// `more`.
macro_rules! taker {
    ($name:ident, $wanted:expr, $more:expr) => {
        #[derive(Debug)]
        struct $name(usize);

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
                from.deserialize_any($name(0))
            }
        }

        impl<'de> Visitor<'de> for $name {
            type Value = Self;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or an array")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Self, A::Error> {
                let mut count = 0;
                while count < $wanted && map.next_entry::<String, u8>()?.is_some() {
                    count += 1;
                }
                for () in std::iter::repeat_n((), $more) {
                    assert!(map.next_entry::<String, u8>()?.is_none());
                }
                Ok(Self(count))
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> std::result::Result<Self, A::Error> {
                let mut count = 0;
                while count < $wanted && list.next_element::<u8>()?.is_some() {
                    count += 1;
                }
                for () in std::iter::repeat_n((), $more) {
                    assert!(list.next_element::<u8>()?.is_none());
                }
                Ok(Self(count))
            }
        }
    };
}

/// A type that takes a fixed number of elements, as a tuple does, need not ask whether more follow.
#[test]
fn a_type_may_stop_before_the_closing_bracket() {
    taker!(Two, 2, 0);
    for (text, count) in
        [("{}", 0), (r#"{"a": 1}"#, 1), (r#"{"a": 1, "b": 2}"#, 2), ("[1]", 1), ("[1, 2]", 2)]
    {
        assert_eq!(from_str::<Two>(text).unwrap().0, count, "{text}");
        let list: Vec<Two> = from_str(&format!("[{text}, {text}]")).unwrap();
        assert_eq!(list.len(), 2);
    }
    for (text, reason) in [
        (r#"{"a": 1, "b": 2, "c": 3}"#, "more members than expected"),
        ("[1, 2, 3]", "expected `]`"),
        (r#"{"a": 1, "b": 2"#, "unexpected end of the text"),
        ("[1, 2", "unexpected end of the text"),
    ] {
        assert_eq!(from_str::<Two>(text).unwrap_err().into_parts().0, reason, "{text}");
    }
}

/// A type may ask again at the end, which must not take the bracket of what is around it.
#[test]
fn the_end_of_a_list_stays_its_end() {
    taker!(All, usize::MAX, 3);
    for text in ["[]", "[1]", "[1, 2]", "{}", r#"{"a": 1}"#] {
        let lists: Vec<Vec<All>> = from_str(&format!("[[{text}], [{text}, {text}]]")).unwrap();
        let counts: Vec<Vec<usize>> =
            lists.iter().map(|list| list.iter().map(|all| all.0).collect()).collect();
        let count = text.matches(|character: char| character.is_ascii_digit()).count();
        assert_eq!(counts, [vec![count], vec![count; 2]], "{text}");
    }
}

/// A list may have any number of lists and objects: they are not nested.
#[test]
fn siblings_are_not_nested() {
    let count = 3 * usize::from(MAX_DEPTH);
    for element in ["[]", "{}", "[1]", r#"{"a": 1}"#, r#"{"a": [{}]}"#] {
        let text = format!("[{}]", vec![element; count].join(","));
        let Value::Array(elements) = from_str(&text).unwrap() else { panic!("{text}") };
        assert_eq!(elements, vec![serde_json::from_str::<Value>(element).unwrap(); count]);
    }
}

/// A short text may ask for large values. A map of them is limited like anything else.
#[test]
fn the_memory_of_a_map_of_large_values_is_limited() {
    const SIZE: usize = 4096;

    #[expect(dead_code, reason = "only its size matters")]
    struct Large([u8; SIZE]);

    impl<'de> serde::Deserialize<'de> for Large {
        fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
            IgnoredAny::deserialize(from).map(|IgnoredAny| Self([0; SIZE]))
        }
    }

    type Map = std::collections::BTreeMap<String, Large>;
    let text = |count: usize| {
        let members: Vec<String> = (0..count).map(|index| format!("\"{index}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(from_str::<Map>(&text(100)).map(|map| map.len()).unwrap(), 100);
    let reason = match from_str::<Map>(&text(10_000)) {
        Ok(map) => panic!("{} values", map.len()),
        Err(error) => error.into_parts().0,
    };
    assert_eq!(reason, "the value takes more than 33554432 bytes of memory");
}

/// A string without escapes costs no memory.
#[test]
fn strings_without_escapes_are_borrowed() {
    assert_eq!(from_str::<&str>(r#" "abc" "#).unwrap(), "abc");
    let long = "x".repeat(100);
    let text = format!(r#"["", "é", "{long}"]"#);
    assert_eq!(from_str::<Vec<&str>>(&text).unwrap(), ["", "é", &long]);
    assert!(from_str::<&str>(r#""a\n""#).is_err());
    assert_eq!(from_str::<String>(r#""a\n""#).unwrap(), "a\n");
}

/// A newer server sends members that a type does not have: values of any kind, before and after those
/// that it has.
#[test]
fn members_that_a_type_does_not_have_are_skipped() {
    for value in ["1", "null", "\"x\"", "\"\\n\"", "[1, {\"desc\": 2}]", "{\"desc\": [3]}"] {
        let text = format!(
            r#"{{"new": {value}, "class": "GenericError", "x": {value}, "desc": "no", "y": {value}}}"#
        );
        let error: crate::QmpError = from_str(&text).unwrap();
        assert_eq!((error.desc.as_str(), error.class), ("no", crate::ErrorClass::GenericError));
        let text = format!(
            r#"{{"new": {value}, "seconds": 1, "x": {value}, "microseconds": 2, "y": {value}}}"#
        );
        let time: crate::Timestamp = from_str(&text).unwrap();
        assert_eq!((time.seconds, time.microseconds), (1, 2));
    }
}

/// Commas are between elements, and nowhere else.
#[test]
fn a_list_has_commas_between_its_elements() {
    for text in ["[,]", "[,1]", "[1,]", "[1,,2]", "[1 2]", "{,}", "{,\"a\": 1}", "{\"a\": 1,}"] {
        assert!(from_str::<Value>(text).is_err(), "{text}");
        assert!(from_str::<Vec<u8>>(text).is_err(), "{text}");
    }
    for text in ["{\"a\": 1,, \"b\": 2}", "{\"a\": 1 \"b\": 2}", "{\"a\" 1}", "{\"a\"}", "{1: 1}"] {
        assert!(from_str::<Value>(text).is_err(), "{text}");
    }
}

/// A value of a wrong type is reported as by serde_json, which reads the same types.
#[test]
fn wrong_types_are_named() {
    fn reasons<T: serde::de::DeserializeOwned + fmt::Debug>(text: &str) -> (String, String) {
        let ours = from_str::<T>(text).unwrap_err().into_parts().0;
        let theirs = serde_json::from_str::<T>(text).unwrap_err().to_string();
        let theirs = theirs.rsplit_once(" at line ").map(|(reason, _)| reason.to_owned());
        (ours, theirs.unwrap())
    }
    type Map = std::collections::BTreeMap<String, u8>;
    let values = ["\"a\\u0062\"", "-7", "7", "1.5", "true", "null", "[1]", "{\"a\": 1}"];
    for (is_right, reasons) in [
        ([0].as_slice(), reasons::<String> as fn(&str) -> _),
        (&[4], reasons::<bool>),
        (&[1, 2], reasons::<i64>),
        (&[1, 2, 3], reasons::<f64>),
        (&[6], reasons::<Vec<u8>>),
        (&[7], reasons::<Map>),
    ] {
        for (index, value) in
            values.iter().enumerate().filter(|(index, _)| !is_right.contains(index))
        {
            let (ours, theirs) = reasons(value);
            assert_eq!(ours, theirs, "{index}: {value}");
        }
    }
}

/// An object whose member `kind` is passed first: its members in the order in which they were passed.
#[derive(Debug, PartialEq)]
struct Kinds(Vec<(String, Kinds)>);

impl<'de> serde::Deserialize<'de> for Kinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct KindsVisitor;
        impl<'de> Visitor<'de> for KindsVisitor {
            type Value = Kinds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or a string")
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Kinds, E> {
                Ok(Kinds(vec![(text.to_owned(), Kinds(Vec::new()))]))
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Kinds, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Kinds(members))
            }
        }
        deserializer.deserialize_struct("Kinds", &["kind"], KindsVisitor)
    }
}

/// Reads a text without guessing.
fn by_structure(text: &str) -> Result<Kinds> {
    Reader::new(text, Guesses::Never).whole()
}

#[test]
fn a_discriminator_is_passed_first_wherever_it_is() {
    for (text, order) in [
        (r#"{"kind": "x", "a": "b"}"#, &["kind", "a"][..]),
        (r#"{"a": "b", "kind": "x"}"#, &["kind", "a"]),
        (r#"{ "a" : "b" , "kind" : "x" , "c" : "d" }"#, &["kind", "a", "c"]),
        // Members of other objects are not mistaken for one of this object.
        (r#"{"a": {"kind": "inner"}, "kind": "x"}"#, &["kind", "a"]),
        (r#"{"a": {"b": {"kind": "inner"}}, "c": "d"}"#, &["a", "c"]),
        (r#"{"a": "\"kind\":", "b": "kind", "kind": "x"}"#, &["kind", "a", "b"]),
        (r#"{"a": "b", "kind": "x", "kind": "y"}"#, &["kind", "a", "kind"]),
    ] {
        let Kinds(members) = from_str(text).unwrap();
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, order, "{text}");
    }
}

/// Generates an object with members `kind` in random places.
fn kinds(dice: &mut Dice, depth: usize) -> String {
    let space = [" ", ""][dice.roll(2)];
    let members: Vec<String> = (0..dice.roll(4))
        .map(|_| {
            let name = ["a", "kind", "ki\\u006ed", "é"][dice.roll(4)];
            let value = match dice.roll(4) {
                0 => String::from(r#""kind""#),
                1 => String::from(r#""\\\"kind\": \"""#),
                _ if depth == 0 => String::from(r#""x""#),
                _ => kinds(dice, depth - 1),
            };
            format!("\"{name}\"{space}:{space}{value}")
        })
        .collect();
    format!("{{{space}{}}}", members.join(","))
}

#[test]
fn a_wrong_guess_does_not_show() {
    let mut dice = Dice(3);
    let (mut accepted, mut guessed_wrong) = (0, 0);
    for _ in 0..20_000 {
        let mut text: Vec<char> = kinds(&mut dice, 4).chars().collect();
        if dice.roll(3) == 0 {
            let at = dice.roll(text.len());
            text[at] = ['{', '}', '"', ':', ',', '\\', 'k'][dice.roll(7)];
        }
        let text: String = text.into_iter().collect();
        let mut reader = Reader::new(&text, Guesses::None);
        let guess = reader.whole::<Kinds>();
        match (from_str::<Kinds>(&text), by_structure(&text)) {
            (Ok(ours), Ok(slow)) => {
                assert_eq!(ours, slow, "{text}");
                accepted += 1;
                guessed_wrong += usize::from(guess.is_err());
            }
            (Err(ours), Err(slow)) => {
                assert!(guess.is_err(), "{text}");
                assert_eq!(ours.into_parts(), slow.into_parts(), "{text}");
            }
            (ours, slow) => panic!("{text}: {ours:?} {slow:?}"),
        }
    }
    assert!(accepted > 1000 && guessed_wrong > 1000, "{accepted} {guessed_wrong}");
}

#[test]
fn wrong_guesses_cost_no_more_than_twice() {
    // The guess would be wrong at each level: if each level guessed, each would double the work.
    let depth = usize::from(MAX_DEPTH) - 1;
    let text = "{\"a\":".repeat(depth) + "\"\"" + &",\"kind\":\"x\"}".repeat(depth);
    let Kinds(members) = from_str(&text).unwrap();
    assert_eq!(members.first().unwrap().0, "kind");
}

#[test]
fn pairs_are_found_as_byte_by_byte() {
    let mut dice = Dice(9);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..dice.roll(40)).map(|_| b"\"kx\xeb\x8b"[dice.roll(5)]).collect();
        let at = dice.roll(bytes.len() + 1);
        let slow = bytes[at..].windows(2).position(|two| two == b"\"k").map(|before| at + before);
        assert_eq!(scan::find_pair(&bytes, at, *b"\"k"), slow, "{bytes:?} {at}");
    }
}

#[test]
fn plain_bytes_are_counted_as_byte_by_byte() {
    let mut dice = Dice(7);
    for _ in 0..20_000 {
        let length = dice.roll(40);
        let bytes: Vec<u8> = (0..length)
            .map(|_| match dice.roll(12) {
                0 => *b"\"\\\x1f \x00\x7f\x80\xff#[".get(dice.roll(10)).unwrap(),
                _ => u8::try_from(dice.roll(224) + 32).unwrap(),
            })
            .collect();
        let slow = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
        assert_eq!(plain_end(&bytes, 0), slow.unwrap_or(length), "{bytes:?}");
    }
}
