use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

/// Numbers that repeat, for tests that try many inputs.
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

#[test]
fn the_same_texts_are_read_as_serde_json_reads() {
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
        assert_eq!(ours, serde_json::from_str(&text).ok(), "{text}");
    }
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn what_is_no_number_to_serde_json_is_none() {
    for text in ["01", "-", "1.", ".5", "1e", "+1", "1E400", "-01", "--1", "1-2", "0x1"] {
        assert!(from_str::<Value>(text).is_err(), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
    }
}

#[test]
fn nothing_is_too_deep_for_what_nobody_reads() {
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

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(from_str::<Value>(&nested(usize::from(MAX_DEPTH))).is_ok());
    let error = from_str::<Value>(&nested(10_000)).unwrap_err();
    assert_eq!(error.into_parts(), (String::from("this is nested too deep"), Some(128)));
}

#[test]
fn enums_of_others_are_read() {
    // Somebody's own type in the place of a generated one may derive what it likes.
    let ipv4: std::ops::Bound<u8> = from_str(r#"{"Included": 3}"#).unwrap();
    assert_eq!(ipv4, std::ops::Bound::Included(3));
    assert_eq!(
        from_str::<std::ops::Bound<u8>>("\"Unbounded\"").unwrap(),
        std::ops::Bound::Unbounded
    );
}

#[test]
fn plain_bytes_are_counted_as_one_by_one() {
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
        assert_eq!(plain_length(&bytes), slow.unwrap_or(length), "{bytes:?}");
    }
}
