//! The trait of object types, and their `Deserialize` and `Serialize`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};

use super::members::Members;
use super::writer::Writer;
use crate::json;

/// A generated struct: the body of a QAPI struct, union base, command or event.
pub trait Object: Sized {
    /// The name in the schema.
    const NAME: &'static str;
    /// The wire names of the members that this type reads itself.
    const MEMBERS: &'static [&'static str];
    /// The discriminator, if the object is a union: the member that is best read first.
    const FIRST: &'static [&'static str] = &[];

    /// Reads all members.
    ///
    /// # Errors
    /// Fails as the format does, or if a mandatory member is missing.
    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error>;

    /// Writes all members.
    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>);
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        T::read(&mut Members::new(&mut map))
    }
}

/// Implements `Deserialize::deserialize` for a generated object.
///
/// # Errors
/// Fails as the format does, or if a mandatory member is missing.
pub fn deserialize<'de, T: Object, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    if json::is_reader::<D>() {
        return deserializer.deserialize_struct(json::OBJECT, T::FIRST, ObjectVisitor(PhantomData));
    }
    if T::FIRST.is_empty() {
        return deserializer.deserialize_map(ObjectVisitor(PhantomData));
    }
    // The reader of JSON text, which may be inside of another one, looks ahead for this member; other
    // formats ignore the hint.
    deserializer.deserialize_struct(T::NAME, T::FIRST, ObjectVisitor(PhantomData))
}

/// Implements `Serialize::serialize` for a generated object.
///
/// # Errors
/// Fails as the format does.
pub fn serialize<T: Object, S: Serializer>(object: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    let mut out = Writer::new(&mut map);
    object.write(&mut out);
    match out.into_failure() {
        Some(failure) => Err(failure),
        None => map.end(),
    }
}
