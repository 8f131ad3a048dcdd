//! How a generated alternate is read: the JSON type of the value alone selects the alternative.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::object::Members;

/// A generated QAPI alternate. Each method reads the alternative of one JSON type; by default it
/// fails, since the alternate does not have one.
pub trait Alternate: Sized {
    /// The name in the schema.
    const NAME: &'static str;

    /// Reads the alternative that is a boolean.
    ///
    /// # Errors
    /// Fails if the alternate does not have one.
    fn from_bool<E: Error>(value: bool) -> Result<Self, E> {
        Err(mismatch::<Self, E>(Unexpected::Bool(value)))
    }

    /// Reads the alternative that is a whole number.
    ///
    /// # Errors
    /// Fails if the alternate does not have one, or if the number does not fit.
    fn from_integer<E: Error>(value: i128) -> Result<Self, E> {
        Err(mismatch::<Self, E>(match i64::try_from(value) {
            Ok(value) => Unexpected::Signed(value),
            Err(_) => Unexpected::Other("a large integer"),
        }))
    }

    /// Reads the alternative that is any number.
    ///
    /// # Errors
    /// Fails if the alternate does not have one.
    fn from_number<E: Error>(value: f64) -> Result<Self, E> {
        Err(mismatch::<Self, E>(Unexpected::Float(value)))
    }

    /// Reads the alternative that is a string or an enumeration.
    ///
    /// # Errors
    /// Fails if the alternate does not have one.
    fn from_str<E: Error>(value: &str) -> Result<Self, E> {
        Err(mismatch::<Self, E>(Unexpected::Str(value)))
    }

    /// Reads the alternative that is `null`.
    ///
    /// # Errors
    /// Fails if the alternate does not have one.
    fn from_null<E: Error>() -> Result<Self, E> {
        Err(mismatch::<Self, E>(Unexpected::Unit))
    }

    /// Reads the alternative that is an array.
    ///
    /// # Errors
    /// Fails if the alternate does not have one, or if an element does not fit.
    fn from_array<'de, A: SeqAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(mismatch::<Self, A::Error>(Unexpected::Seq))
    }

    /// Reads the alternative that is an object.
    ///
    /// # Errors
    /// Fails if the alternate does not have one, or if a member does not fit.
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

/// Implements `Deserialize::deserialize` for a generated alternate.
///
/// # Errors
/// Fails if no alternative has the JSON type of the value, or if the value does not fit the one that
/// has it.
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
/// Fails if the number does not fit.
pub fn integer<T: TryFrom<i128>, E: Error>(value: i128) -> Result<T, E> {
    T::try_from(value).map_err(|_| E::custom(format_args!("the number {value} does not fit")))
}

/// Reads an array alternative, element by element.
///
/// # Errors
/// Fails if an element does not fit.
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
