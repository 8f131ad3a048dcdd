//! Reads a value of any type.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::json::is_in_text;

/// A value of any type.
///
/// `Value` itself also reads the texts in which serde_json keeps raw values, and so brings a second
/// reader of JSON into every program, for values that cannot be in a message.
pub(crate) struct Any(pub(crate) Value);

/// The key of an object that stands for a number, if serde_json keeps the digits of numbers.
const NUMBER: &str = "$serde_json::private::Number";

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Any;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
        Ok(Any(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
        Ok(Any(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
        Ok(Any(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
        Ok(Any(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Any, E> {
        Ok(Any(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Any, E> {
        Ok(Any(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Any, E> {
        Ok(Any(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Any, E> {
        Ok(Any(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Any, D::Error> {
        Any::deserialize(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Any, A::Error> {
        let mut array = Vec::new();
        while let Some(Any(value)) = elements.next_element()? {
            array.push(value);
        }
        Ok(Any(Value::Array(array)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Any, A::Error> {
        let mut object = Map::new();
        while let Some((name, Any(value))) = members.next_entry::<String, _>()? {
            object.insert(name, value);
        }
        // In a text, it is an object that a peer has written.
        let number = if is_in_text::<A>() { None } else { number(&object) };
        Ok(Any(number.map_or(Value::Object(object), Value::Number)))
    }
}

/// Returns a value as JSON text.
///
/// `Display` of a value does so too, and brings the code along that spreads a text over lines.
pub(crate) fn text_of(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Returns the number for which an object stands, if that is all it holds.
fn number(object: &Map<String, Value>) -> Option<Number> {
    let digits = object.get(NUMBER).filter(|_| object.len() == 1)?;
    digits.as_str()?.parse().ok()
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_serde_json() {
        for text in [
            "null",
            "true",
            "-7",
            "18446744073709551615",
            "1e300",
            "[1.5, \"a\\n\", [], {}]",
            r#"{"a": {"b": null}, "a": 2, "ü": [{}]}"#,
        ] {
            let theirs: Value = serde_json::from_str(text).unwrap();
            let Any(ours) = crate::decode(text).unwrap();
            assert_eq!(ours, theirs, "{text}");
            let Any(ours) = serde_json::from_str(text).unwrap();
            assert_eq!(ours, theirs, "{text}");
        }
        assert!(crate::decode::<Any>("[1, ]").is_err());
    }

    /// An object from a peer that had such a member became a number, and lost the others.
    #[test]
    fn only_other_deserializers_give_numbers_as_digits() {
        let digits = serde_json::json!([{ NUMBER: "1.50" }]);
        let Any(value) = Any::deserialize(digits.clone()).unwrap();
        assert_eq!(value[0].as_f64(), Some(1.5));
        let Any(value) = crate::decode(&digits.to_string()).unwrap();
        assert_eq!(value, digits);
        for members in [r#""a": 1, "NUMBER": "2""#, r#""NUMBER": "2", "a": 1"#, r#""NUMBER": [3]"#]
        {
            let text = format!("{{{}}}", members.replace("NUMBER", NUMBER));
            let Any(value) = crate::decode(&text).unwrap();
            assert_eq!(Any::deserialize(value.clone()).unwrap().0, value, "{text}");
            assert_eq!(value.as_object().unwrap().len(), members.matches(':').count(), "{text}");
        }
    }
}
