//! Reads a value of any type.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A value of any type.
///
/// `Value` itself also reads the texts in which serde_json keeps raw values, and so brings a second
/// reader of JSON into every program, for values that cannot be in a greeting or an error.
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
        Ok(Any(array.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Any, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == NUMBER {
                let number: Result<Number, _> = members.next_value::<String>()?.parse();
                return number.map(|number| Any(number.into())).map_err(A::Error::custom);
            }
            let Any(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Any(object.into()))
    }
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

    #[test]
    fn a_number_may_be_its_digits() {
        let text = format!(r#"[{{"{NUMBER}": "1.50"}}]"#);
        let Any(value) = crate::decode(&text).unwrap();
        assert_eq!(value[0].as_f64(), Some(1.5));
    }
}
