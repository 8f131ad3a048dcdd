//! The traits of object types, and their `Deserialize` and `Serialize`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};

use super::group::{Group, Mandatory, OptionalValues, Values};
use super::members::{Members, Rest};
use super::writer::{OtherValues, Writer};
use crate::json;

/// An object that is read and written as a part of another one: the branch of a union, or the object of
/// an alternate.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Object`, which the branch of a union and the object of an \
               alternate need",
    note = "a generated type implements it only if its own schema uses it in one of these ways"
)]
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

/// A value that is read from an object's members.
trait FromMembers {
    type Value;

    /// The name in the schema.
    fn name(&self) -> &'static str;

    fn read<'de, A: MapAccess<'de>>(
        self,
        members: &mut Members<'_, 'de, A>,
    ) -> Result<Self::Value, A::Error>;
}

/// An [`Object`].
struct Inner<T>(PhantomData<T>);

impl<T: Object> FromMembers for Inner<T> {
    type Value = T;

    fn name(&self) -> &'static str {
        T::NAME
    }

    #[inline(always)]
    fn read<'de, A: MapAccess<'de>>(
        self,
        members: &mut Members<'_, 'de, A>,
    ) -> Result<T, A::Error> {
        T::read(members)
    }
}

/// An object of its own, and how it is made from its members.
struct Own<M, O, R, F> {
    name: &'static str,
    members: &'static [&'static str],
    make: F,
    types: PhantomData<(M, O, R)>,
}

impl<M: Mandatory, O: Group, R: Rest, T, F: FnOnce(M, O, R) -> T> FromMembers for Own<M, O, R, F> {
    type Value = T;

    fn name(&self) -> &'static str {
        self.name
    }

    #[inline(always)]
    fn read<'de, A: MapAccess<'de>>(
        self,
        members: &mut Members<'_, 'de, A>,
    ) -> Result<T, A::Error> {
        match members.read(self.members) {
            Ok((mandatory, optional, rest)) => Ok((self.make)(mandatory, optional, rest)),
            Err(error) => Err(error),
        }
    }
}

struct ObjectVisitor<V>(V);

impl<'de, V: FromMembers> Visitor<'de> for ObjectVisitor<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.0.name())
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        self.0.read(&mut Members::new(&mut map))
    }
}

/// Reads an object, whose discriminator, if it has one, is best read `first`.
#[inline(always)]
fn deserialize_object<'de, V: FromMembers, D: Deserializer<'de>>(
    deserializer: D,
    first: &'static [&'static str],
    value: V,
) -> Result<V::Value, D::Error> {
    if json::is_reader::<D>() {
        return deserializer.deserialize_struct(json::OBJECT, first, ObjectVisitor(value));
    }
    if first.is_empty() {
        return deserializer.deserialize_map(ObjectVisitor(value));
    }
    // The reader of JSON text, which may be inside of another one, looks ahead for this member; other
    // formats ignore the hint.
    deserializer.deserialize_struct(value.name(), first, ObjectVisitor(value))
}

/// Implements `Deserialize::deserialize` for an [`Object`].
///
/// # Errors
/// Fails as the format does, or if a mandatory member is missing.
pub fn deserialize<'de, T: Object, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserialize_object(deserializer, T::FIRST, Inner(PhantomData))
}

/// Implements `Deserialize::deserialize` for an object with a name in the schema, these members, of which
/// the mandatory ones are first, and a function that makes it from their values.
///
/// # Errors
/// Fails as the format does, or if a mandatory member is missing.
pub fn read<'de, D, M, O, R, T>(
    deserializer: D,
    name: &'static str,
    members: &'static [&'static str],
    make: impl FnOnce(M, O, R) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    M: Mandatory,
    O: Group,
    R: Rest,
{
    deserialize_object(deserializer, R::FIRST, Own { name, members, make, types: PhantomData })
}

/// Implements `Serialize::serialize` for an [`Object`].
///
/// # Errors
/// Fails as the format does.
pub fn serialize<T: Object, S: Serializer>(object: &T, serializer: S) -> Result<S::Ok, S::Error> {
    write_map(serializer, |out| object.write(out))
}

/// Implements `Serialize::serialize` for an object with these members, of which the mandatory ones are
/// first, and their values.
///
/// # Errors
/// Fails as the format does.
pub fn write<S: Serializer>(
    serializer: S,
    members: &'static [&'static str],
    mandatory: impl Values,
    optional: impl OptionalValues,
    others: impl OtherValues,
) -> Result<S::Ok, S::Error> {
    write_map(serializer, |out| out.object(members, mandatory, optional, others))
}

#[inline(always)]
fn write_map<S: Serializer>(
    serializer: S,
    write: impl FnOnce(&mut Writer<'_, S::SerializeMap>),
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    let mut out = Writer::new(&mut map);
    write(&mut out);
    match out.into_failure() {
        Some(failure) => Err(failure),
        None => map.end(),
    }
}
