//! How a generated alternate is read: the JSON type of the value alone selects the alternative.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::object::Members;

/// A generated QAPI alternate. Each method reads the alternative of one JSON type; the default
/// says that there is none.
pub trait Alternate: Sized {
    /// The name in the schema.
    const NAME: &'static str;

    /// The alternative that is a boolean.
    ///
    /// # Errors
    /// There is none.
    fn from_bool<E: Error>(value: bool) -> Result<Self, E> {
        Err(mismatch::<Self, E>(Unexpected::Bool(value)))
    }

    /// The alternative that is a whole number.
    ///
    /// # Errors
    /// There is none, or the number does not fit.
    fn from_integer<E: Error>(value: i128) -> Result<Self, E> {
        Err(mismatch::<Self, E>(match i64::try_from(value) {
            Ok(value) => Unexpected::Signed(value),
            Err(_) => Unexpected::Other("a large integer"),
        }))
    }

    /// The alternative that is any number.
    ///
    /// # Errors
    /// There is none.
    fn from_number<E: Error>(value: f64) -> Result<Self, E> {
        Err(mismatch::<Self, E>(Unexpected::Float(value)))
    }

    /// The alternative that is a string or an enumeration.
    ///
    /// # Errors
    /// There is none.
    fn from_str<E: Error>(value: &str) -> Result<Self, E> {
        Err(mismatch::<Self, E>(Unexpected::Str(value)))
    }

    /// The alternative that is `null`.
    ///
    /// # Errors
    /// There is none.
    fn from_null<E: Error>() -> Result<Self, E> {
        Err(mismatch::<Self, E>(Unexpected::Unit))
    }

    /// The alternative that is an array.
    ///
    /// # Errors
    /// There is none, or an element does not fit.
    fn from_array<'de, A: SeqAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(mismatch::<Self, A::Error>(Unexpected::Seq))
    }

    /// The alternative that is an object.
    ///
    /// # Errors
    /// There is none, or a member does not fit.
    fn from_object<'de, A: MapAccess<'de>>(_: &mut Members<'_, 'de, A>) -> Result<Self, A::Error> {
        Err(mismatch::<Self, A::Error>(Unexpected::Map))
    }
}

fn mismatch<T: Alternate, E: Error>(found: Unexpected<'_>) -> E {
    E::invalid_type(found, &Expected::<T>(PhantomData))
}

struct Expected<T>(PhantomData<T>);

impl<T: Alternate> serde::de::Expected for Expected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of the alternatives of {}", T::NAME)
    }
}

struct AlternateVisitor<T>(PhantomData<T>);

impl<'de, T: Alternate> Visitor<'de> for AlternateVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde::de::Expected::fmt(&Expected::<T>(PhantomData), f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        T::from_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        T::from_integer(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        T::from_integer(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        T::from_number(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        T::from_str(value)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        T::from_null()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        T::from_array(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        T::from_object(&mut Members::new(&mut map))
    }
}

/// `Deserialize::deserialize` of a generated alternate.
///
/// # Errors
/// No alternative has the JSON type of the value, or the one that has does not fit.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Alternate,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(AlternateVisitor(PhantomData))
}

/// Reads a whole number into the integer type of the alternative.
///
/// # Errors
/// It does not fit.
pub fn integer<T: TryFrom<i128>, E: Error>(value: i128) -> Result<T, E> {
    T::try_from(value).map_err(|_| E::custom(format_args!("the number {value} does not fit")))
}

/// Reads an array alternative, element by element.
///
/// # Errors
/// An element does not fit.
pub fn elements<'de, T, A>(mut seq: A) -> Result<Vec<T>, A::Error>
where
    T: serde::Deserialize<'de>,
    A: SeqAccess<'de>,
{
    let mut elements = Vec::new();
    while let Some(element) = seq.next_element()? {
        elements.push(element);
    }
    Ok(elements)
}
