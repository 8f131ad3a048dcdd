//! A value together with the JSON text that it was decoded from.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{
    DeserializeOwned, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::borrowed::Borrowed;
use crate::decode::decode;
use crate::json;

/// A decoded value together with its JSON text, as received.
///
/// Types skip members that their schema does not list. A program that passes replies on, such as a
/// proxy, looks at the value and sends the text, which still has these members:
///
/// ```
/// use qmp_types::{Command, Verbatim};
/// # #[cfg(feature = "qmp")] {
/// use qmp_types::qmp::types::StatusInfo;
///
/// /// `query-status`, with everything that the server says.
/// #[derive(serde::Serialize)]
/// struct QueryStatus {}
///
/// impl Command for QueryStatus {
///     const NAME: &'static str = "query-status";
///     const HAS_ARGUMENTS: bool = false;
///     type Return = Verbatim<StatusInfo>;
/// }
///
/// let text = r#"{"running": true, "status": "running", "x-new": 1}"#;
/// let reply: <QueryStatus as Command>::Return = qmp_types::decode(text)?;
/// assert!(reply.value.running);
/// assert_eq!(reply.text.get(), text);
/// assert_eq!(serde_json::to_string(&reply)?, text);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Formats
///
/// From JSON text ([`decode`], or serde_json) the text is kept byte by byte. From a
/// [`serde_json::Value`] it is the compact text of that value, and so it is from any other
/// self-describing format, which keeps all members but not the spelling of numbers.
///
/// Serializing writes the text, with serde_json only: other formats cannot embed JSON text. It does
/// not depend on [`value`](field@Self::value); after changing that, use [`Verbatim::new`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verbatim<T> {
    /// The decoded value.
    pub value: T,
    /// The text that the value was decoded from.
    pub text: Box<RawValue>,
}

impl<T: Serialize> Verbatim<T> {
    /// Creates a value whose text is what it serializes to.
    ///
    /// # Errors
    /// Fails if the value cannot be serialized as JSON.
    pub fn new(value: T) -> Result<Self, serde_json::Error> {
        let text = serde_json::value::to_raw_value(&value)?;
        Ok(Self { value, text })
    }
}

/// Two are equal if both their values and their texts are.
impl<T: PartialEq> PartialEq for Verbatim<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.text.get() == other.text.get()
    }
}

impl<T> Serialize for Verbatim<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Verbatim<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = VerbatimVisitor::<T> { type_: PhantomData, asks_for_text: false };
        let (value, text) = deserializer.deserialize_newtype_struct(json::WITH_TEXT, visitor)?;
        let value = match value {
            Some(value) => value,
            None => decode(&text).map_err(D::Error::custom)?,
        };
        let text = RawValue::from_string(text.into_owned()).map_err(D::Error::custom)?;
        Ok(Self { value, text })
    }
}

/// The text of a value, which is borrowed if the format has it. A `Box<RawValue>` copies it.
#[derive(Debug)]
#[doc(hidden)]
pub struct Text<'t>(pub Cow<'t, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = VerbatimVisitor::<IgnoredAny> { type_: PhantomData, asks_for_text: true };
        let (_, text) = deserializer.deserialize_newtype_struct(RAW_VALUE, visitor)?;
        Ok(Self(text))
    }
}

/// The name by which serde_json knows that a text is wanted: that of [`RawValue`]. It passes the
/// text as the value of a map with this key.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Reads a value and its text, or any value as JSON text.
struct VerbatimVisitor<T> {
    type_: PhantomData<T>,
    /// Whether the format has been asked by the name of [`RawValue`], too.
    asks_for_text: bool,
}

type ValueAndText<'de, T> = (Option<T>, Cow<'de, str>);

fn text<'de, T>(value: impl Into<Value>) -> ValueAndText<'de, T> {
    (None, Cow::Owned(value.into().to_string()))
}

impl<'de, T: DeserializeOwned> Visitor<'de> for VerbatimVisitor<T> {
    type Value = ValueAndText<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    /// Takes what this crate's reader of JSON text passes.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Self::Value, A::Error> {
        let (value, text) = data.variant()?;
        Ok((Some(value), text.newtype_variant::<Borrowed<'_>>()?.0))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        if self.asks_for_text {
            return Value::deserialize(deserializer).map(text);
        }
        deserializer.deserialize_newtype_struct(RAW_VALUE, Self { asks_for_text: true, ..self })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if self.asks_for_text && members.is_empty() && name == RAW_VALUE {
                return Ok((None, map.next_value::<Borrowed<'_>>()?.0));
            }
            members.insert(name, map.next_value()?);
        }
        Ok(text(members))
    }

    // The rest is for formats that take no notice of newtypes.

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(text(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(text(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(text(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(text(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(text(value))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(text(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(seq)).map(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer};

    use super::*;
    use crate::Version;

    const TEXT: &str =
        r#"{"package":"",  "qemu": {"major": 1, "minor": 2, "micro": 3}, "new": 1e0}"#;

    #[test]
    fn the_text_is_kept_from_json_text() {
        let ours: Verbatim<Version> = decode(TEXT).unwrap();
        let theirs: Verbatim<Version> = serde_json::from_str(TEXT).unwrap();
        let read: Verbatim<Version> = serde_json::from_reader(TEXT.as_bytes()).unwrap();
        assert_eq!(ours.value.qemu.to_string(), "1.2.3");
        assert_eq!(ours.text.get(), TEXT);
        assert_eq!(ours, theirs);
        assert_eq!(ours, read);
        assert_eq!(serde_json::to_string(&ours).unwrap(), TEXT);
        assert_eq!(serde_json::to_value(&ours).unwrap()["new"], 1.0);
    }

    #[test]
    fn the_text_is_that_of_the_value_alone() {
        let text = format!("[ {TEXT} ,\t{TEXT}]");
        let list: Vec<Verbatim<Version>> = decode(&text).unwrap();
        assert_eq!(list.len(), 2);
        assert!(list.iter().all(|version| version.text.get() == TEXT), "{list:?}");
        let whole: Verbatim<Vec<Verbatim<Version>>> = decode(&text).unwrap();
        assert_eq!(whole.value, list);
        assert_eq!(whole.text.get(), text);
        let scalar: Option<Verbatim<u8>> = decode(" 7 ").unwrap();
        assert_eq!(scalar.unwrap().text.get(), "7");
    }

    #[test]
    fn a_text_is_borrowed_from_json_text_and_made_of_anything_else() {
        let raw: Box<RawValue> = serde_json::from_str(TEXT).unwrap();
        let ours: Text<'_> = crate::decode_checked(&raw).unwrap();
        let list: Vec<Text<'_>> = serde_json::from_str("[ {} ]").unwrap();
        let mut reader = serde_json::Deserializer::from_reader(TEXT.as_bytes());
        let read = Text::deserialize(&mut reader).unwrap();
        let value: Value = serde_json::from_str(TEXT).unwrap();
        let made = Text::deserialize(value.clone()).unwrap();
        assert!(matches!(ours.0, Cow::Borrowed(TEXT)), "{ours:?}");
        assert!(matches!(list[..], [Text(Cow::Borrowed("{}"))]), "{list:?}");
        assert_eq!((&*read.0, &*made.0), (TEXT, &*value.to_string()));
        let list = SeqDeserializer::<_, ValueError>::new([1, 2].into_iter());
        assert_eq!(Text::deserialize(list).unwrap().0, "[1,2]");
    }

    #[test]
    fn other_formats_keep_the_members() {
        let value: Value = serde_json::from_str(TEXT).unwrap();
        let version: Verbatim<Version> = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&version).unwrap(), value);
        // A format that takes no notice of newtypes.
        let map = MapDeserializer::<_, ValueError>::new([("a", 1), ("b", 2)].into_iter());
        let map = Verbatim::<std::collections::HashMap<String, u8>>::deserialize(map).unwrap();
        assert_eq!((map.value["b"], map.text.get()), (2, r#"{"a":1,"b":2}"#));
        let list = SeqDeserializer::<_, ValueError>::new([1, 2].into_iter());
        let list = Verbatim::<Vec<u8>>::deserialize(list).unwrap();
        assert_eq!((list.value.len(), list.text.get()), (2, "[1,2]"));
    }

    #[test]
    fn errors_name_the_member() {
        type Numbers = std::collections::BTreeMap<String, Vec<u8>>;
        let text = r#"{"a":  [1, 300]}"#;
        let error = decode::<Vec<Verbatim<Numbers>>>(&format!("[{text}]")).unwrap_err();
        assert_eq!(error.path(), "$[0].a[1]", "{error}");
        let error = serde_json::from_str::<Verbatim<Numbers>>(text).unwrap_err();
        assert!(error.to_string().contains("$.a[1]"), "{error}");
    }

    #[test]
    fn a_changed_value_gets_a_new_text() {
        let mut version: Verbatim<Version> = decode(TEXT).unwrap();
        version.value.package = String::from("x");
        assert_eq!(version.text.get(), TEXT);
        let version = Verbatim::new(version.value).unwrap();
        assert_eq!(decode::<Version>(version.text.get()).unwrap().package, "x");
    }
}
