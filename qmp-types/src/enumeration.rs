//! How a generated enumeration is read and written: a string, and never a closed set.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Visitor};

use crate::names;

/// A generated QAPI enumeration.
///
/// A value that the schema does not know is kept as it came, so that a newer QEMU never makes a
/// reply unreadable.
pub trait Enumeration: Clone + Sized + 'static {
    /// The name in the schema.
    const NAME: &'static str;
    /// Every value that the schema knows, in its order.
    const ALL: &'static [Self];
    /// Their names on the wire, in the same order.
    const NAMES: &'static [&'static str];

    /// A value that the schema does not know.
    fn unknown(name: &str) -> Self;
}

/// The value that a wire name stands for.
#[must_use]
pub fn parse<T: Enumeration>(name: &str) -> T {
    match names::position(T::NAMES, name) {
        Some(index) => T::ALL[index].clone(),
        None => T::unknown(name),
    }
}

struct EnumerationVisitor<T>(PhantomData<T>);

impl<T: Enumeration> Visitor<'_> for EnumerationVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string ({})", T::NAME)
    }

    fn visit_str<E>(self, name: &str) -> Result<T, E> {
        Ok(parse(name))
    }
}

/// `Deserialize::deserialize` of a generated enumeration.
///
/// # Errors
/// The value is not a string.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Enumeration,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(EnumerationVisitor(PhantomData))
}
