//! Reads a value of any type.

use std::{fmt, iter};

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::json::{JsonError, is_in_text};

/// A value of any type.
///
/// `Value` itself also reads the texts in which serde_json keeps raw values, and so brings a second
/// reader of JSON into every program, for values that cannot be in a message. As a deserializer, its
/// errors bring the standard library's formatting of numbers with a fraction.
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
        while let Some((name, Any(value))) = members.next_entry::<String, _>()? {
            object.insert(name, value);
        }
        // In a text, it is an object that a peer has written.
        let number = if is_in_text::<A>() { None } else { number(&object) };
        Ok(Any(number.map_or_else(|| object.into(), Value::from)))
    }
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

impl IntoDeserializer<'_, JsonError> for Any {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Any {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(natural), ..) => visitor.visit_u64(natural),
                (_, Some(whole), _) => visitor.visit_i64(whole),
                (_, _, Some(fraction)) => visitor.visit_f64(fraction),
                _ => Err(JsonError::custom("invalid number")),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(elements) => {
                let mut elements = SeqDeserializer::new(elements.into_iter().map(Any));
                let value = visitor.visit_seq(&mut elements)?;
                elements.end().map(|()| value)
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Any(value)));
                let mut members = MapDeserializer::new(members);
                let value = visitor.visit_map(&mut members)?;
                members.end().map(|()| value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        if name.starts_with("$serde_json") {
            // A raw value.
            return visitor.visit_map(MapDeserializer::new(iter::once((name, self.0.to_string()))));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match self.0 {
            Value::String(variant) => visitor.visit_enum(variant.into_deserializer()),
            Value::Object(members) if members.len() == 1 => {
                let members = members.into_iter().map(|(name, value)| (name, Any(value)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(members)))
            }
            _ => Err(JsonError::custom("expected text, or an object with one member")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier
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

    /// A value that is kept until its type is known decodes to the same.
    #[test]
    fn a_value_is_read_as_by_serde_json() {
        fn check<'de, T: Deserialize<'de> + fmt::Debug + PartialEq>(value: &Value) {
            let theirs = T::deserialize(value.clone());
            let ours = T::deserialize(Any(value.clone()));
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{value}");
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{value}"),
                (Err(ours), Err(theirs)) => assert_eq!(ours.to_string(), theirs.to_string()),
                _ => unreachable!(),
            }
        }
        for text in
            ["null", "false", "7", "-7", "1.5", "256", "\"a\"", "[1, 2]", "[]", r#"{"a": 1}"#]
        {
            let value: Value = serde_json::from_str(text).unwrap();
            check::<Option<u8>>(&value);
            check::<i64>(&value);
            check::<f64>(&value);
            check::<bool>(&value);
            check::<String>(&value);
            check::<Vec<u64>>(&value);
            check::<(u64, u64)>(&value);
            check::<std::collections::BTreeMap<String, u8>>(&value);
            check::<Value>(&value);
            check::<()>(&value);
            let raw = Box::<serde_json::value::RawValue>::deserialize(Any(value.clone())).unwrap();
            assert_eq!(raw.get(), value.to_string());
        }
    }

    /// An object from a peer that had such a member became a number, and lost the others.
    #[test]
    fn only_other_deserializers_give_numbers_as_digits() {
        let digits = serde_json::json!([{ NUMBER: "1.50" }]);
        let Any(value) = Any::deserialize(Any(digits.clone())).unwrap();
        assert_eq!(value[0].as_f64(), Some(1.5));
        let Any(value) = crate::decode(&digits.to_string()).unwrap();
        assert_eq!(value, digits);
        for members in [r#""a": 1, "NUMBER": "2""#, r#""NUMBER": "2", "a": 1"#, r#""NUMBER": [3]"#]
        {
            let text = format!("{{{}}}", members.replace("NUMBER", NUMBER));
            let Any(value) = crate::decode(&text).unwrap();
            assert_eq!(Any::deserialize(Any(value.clone())).unwrap().0, value, "{text}");
            assert_eq!(value.as_object().unwrap().len(), members.matches(':').count(), "{text}");
        }
    }
}
