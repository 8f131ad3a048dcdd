//! Reads and writes the branches of a union.

use serde::de::{Error as _, MapAccess};
use serde::ser::SerializeMap;
use serde_json::{Map, Value};

use super::group::Slots;
use super::members::{Members, Rest};
use super::traits::Object;
use super::writer::{OtherValues, Writer};

/// The branches of a generated union: which one it is, and the members that it adds.
pub trait Branches: Sized {
    /// The wire name of the discriminator.
    const DISCRIMINATOR: &'static str;

    /// Reads the members of the branch that the discriminator's value selects.
    ///
    /// # Errors
    /// Fails as the format does, or if a mandatory member is missing.
    fn read_branch<'de, A: MapAccess<'de>>(
        value: &str,
        members: &mut Members<'_, 'de, A>,
    ) -> Result<Self, A::Error>;

    /// Writes the members of the branch, without the discriminator.
    fn write_branch<M: SerializeMap>(&self, out: &mut Writer<'_, M>);

    /// Returns the discriminator's value, as on the wire.
    fn discriminator(&self) -> &str;
}

/// Besides the members of its base, a union has a branch.
impl<B: Branches> Rest for B {
    const FIRST: &'static [&'static str] = &[B::DISCRIMINATOR];

    /// Finds the discriminator, then reads the branch, and fills the slot of each base member
    /// wherever that stands. The discriminator is the last of `names` and has no slot.
    fn read<'de, A: MapAccess<'de>>(
        members: &mut Members<'_, 'de, A>,
        names: &'static [&'static str],
        slots: &mut dyn Slots<'de, A>,
    ) -> Result<Self, A::Error> {
        let mut earlier = Vec::new();
        while let Some(index) = members.next_or_push(names, &mut earlier)? {
            if index + 1 == names.len() {
                let value = members.text()?;
                return members
                    .within(names, slots, earlier, |inner| B::read_branch(&value, inner));
            }
            slots.fill(index, members.source())?;
        }
        Err(A::Error::missing_field(B::DISCRIMINATOR))
    }
}

impl<'de, A: MapAccess<'de>> Members<'_, 'de, A> {
    /// Reads the members of a branch. Generated code makes this one call for each branch, so that a
    /// function with fifty branches does not need stack for each of them.
    ///
    /// # Errors
    /// Fails as the format does, or if a mandatory member is missing.
    pub fn branch<T: Object, B>(&mut self, wrap: impl FnOnce(T) -> B) -> Result<B, A::Error> {
        T::read(self).map(wrap)
    }

    /// Takes a branch without members, after reading the base members that are still to come.
    ///
    /// # Errors
    /// Fails as the format does.
    pub fn no_branch<B>(&mut self, branch: B) -> Result<B, A::Error> {
        self.next(&[]).map(|_| branch)
    }

    /// Reads all remaining members, for a branch that the schema does not list.
    ///
    /// # Errors
    /// Fails as the format does.
    pub fn unknown_branch<B>(
        &mut self,
        wrap: impl FnOnce(Map<String, Value>) -> B,
    ) -> Result<B, A::Error> {
        let mut rest = Map::new();
        self.next_or_keep(&[], &mut rest)?;
        Ok(wrap(rest))
    }
}

/// The discriminator and the members of the branch that it selects, which are written first.
impl<B: Branches> OtherValues for &B {
    fn write_first<M: SerializeMap>(self, out: &mut Writer<'_, M>) {
        out.member(B::DISCRIMINATOR, self.discriminator());
        self.write_branch(out);
    }
}
