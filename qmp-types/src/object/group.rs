//! The members of an object as tuples: mandatory ones apart from optional ones.
//!
//! A generated type only names its members, and the types of the tuples follow from those of its fields.
//! What is done with each member is compiled once for a tuple of this length, and not in every type:
//!
//! ```text
//! mandatory (A, B)                  read as (Option<A>, Option<B>), all of which must be there
//! optional  (Option<C>, Option<D>)  read as they are
//! ```
//!
//! A tuple has up to eight members. More than that are a [`Chain`] of tuples, which the compiler follows
//! for up to a thousand members of a kind.
//!
//! The discriminator and the branch of a union are written first, then the mandatory members and the
//! optional ones, each in the order of the schema.

use serde::de::{DeserializeOwned, MapAccess};
use serde::ser::{Serialize, SerializeMap};

use super::members::Source;
use super::writer::Writer;

/// The places that members are read into.
pub trait Group {
    /// How many there are.
    const LEN: usize;

    /// Creates places into which nothing has been read.
    fn empty() -> Self;

    /// Reads the value of the current member into the place with an index. The discriminator of a union,
    /// which a peer may repeat, has none and is skipped.
    ///
    /// # Errors
    /// Fails as the format does.
    fn fill<'de, A: MapAccess<'de>>(
        &mut self,
        index: usize,
        source: &mut Source<'_, 'de, A>,
    ) -> Result<(), A::Error>;
}

/// A [`Group`] for members of one format.
pub trait Slots<'de, A: MapAccess<'de>> {
    /// See [`Group::fill`].
    ///
    /// # Errors
    /// Fails as the format does.
    fn fill(&mut self, index: usize, source: &mut Source<'_, 'de, A>) -> Result<(), A::Error>;
}

/// Mandatory members.
pub trait Mandatory: Sized {
    /// The slots that they are read into.
    type Slots: Group;

    /// Takes the members out of their slots.
    ///
    /// # Errors
    /// Fails with the index of the first member that is missing.
    fn take(slots: Self::Slots) -> Result<Self, usize>;
}

/// The values of mandatory members.
pub trait Values {
    /// How many there are.
    const LEN: usize;

    /// Writes them.
    fn write<M: SerializeMap>(self, names: &'static [&'static str], out: &mut Writer<'_, M>);
}

/// The values of optional members.
pub trait OptionalValues {
    /// Writes those that are not absent.
    fn write<M: SerializeMap>(self, names: &'static [&'static str], out: &mut Writer<'_, M>);
}

/// More members than one tuple has.
#[derive(Debug)]
pub struct Chain<G, H>(pub G, pub H);

/// The slots of an object: those of its mandatory members, and those of the others.
pub(super) struct Both<'m, G, H>(pub(super) &'m mut G, pub(super) &'m mut H);

impl<'de, A: MapAccess<'de>, G: Group, H: Group> Slots<'de, A> for Both<'_, G, H> {
    #[inline]
    fn fill(&mut self, index: usize, source: &mut Source<'_, 'de, A>) -> Result<(), A::Error> {
        match index.checked_sub(G::LEN) {
            None => self.0.fill(index, source),
            Some(index) => self.1.fill(index, source),
        }
    }
}

impl<G: Group, H: Group> Group for Chain<G, H> {
    const LEN: usize = G::LEN + H::LEN;

    #[inline]
    fn empty() -> Self {
        Self(G::empty(), H::empty())
    }

    #[inline]
    fn fill<'de, A: MapAccess<'de>>(
        &mut self,
        index: usize,
        source: &mut Source<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        Both(&mut self.0, &mut self.1).fill(index, source)
    }
}

impl<G: Mandatory, H: Mandatory> Mandatory for Chain<G, H> {
    type Slots = Chain<G::Slots, H::Slots>;

    #[inline]
    fn take(slots: Self::Slots) -> Result<Self, usize> {
        match (G::take(slots.0), H::take(slots.1)) {
            (Ok(first), Ok(second)) => Ok(Self(first, second)),
            (Err(index), _) => Err(index),
            (_, Err(index)) => Err(G::Slots::LEN + index),
        }
    }
}

impl<G: Values, H: Values> Values for Chain<G, H> {
    const LEN: usize = G::LEN + H::LEN;

    #[inline]
    fn write<M: SerializeMap>(self, names: &'static [&'static str], out: &mut Writer<'_, M>) {
        self.0.write(names, out);
        self.1.write(names.get(G::LEN..).unwrap_or_default(), out);
    }
}

impl<G: OptionalValues, H: OptionalValues> OptionalValues for Chain<G, H> {
    #[inline]
    fn write<M: SerializeMap>(self, names: &'static [&'static str], out: &mut Writer<'_, M>) {
        self.0.write(names, out);
        // All tuples but the last of a chain are full.
        self.1.write(names.get(FULL..).unwrap_or_default(), out);
    }
}

/// The members of a full tuple.
const FULL: usize = 8;

macro_rules! tuples {
    ($($length:literal ($($member:ident $index:tt)*))*) => {$(
        // The tuple without members has neither variables nor a value.
        #[allow(clippy::unused_unit, non_snake_case, unused_variables)]
        const _: () = {
            impl<$($member: DeserializeOwned),*> Group for ($(Option<$member>,)*) {
                const LEN: usize = $length;

                #[inline]
                fn empty() -> Self {
                    ($(None::<$member>,)*)
                }

                #[inline]
                fn fill<'de, A: MapAccess<'de>>(
                    &mut self,
                    index: usize,
                    source: &mut Source<'_, 'de, A>,
                ) -> Result<(), A::Error> {
                    match index {
                        $($index => source.fill(&mut self.$index),)*
                        _ => source.skip(),
                    }
                }
            }

            impl<$($member: DeserializeOwned),*> Mandatory for ($($member,)*) {
                type Slots = ($(Option<$member>,)*);

                #[inline]
                fn take(slots: Self::Slots) -> Result<Self, usize> {
                    let ($($member,)*) = slots;
                    $(
                        let Some($member) = $member else {
                            return Err($index);
                        };
                    )*
                    Ok(($($member,)*))
                }
            }

            impl<$($member: Serialize),*> Values for ($(&$member,)*) {
                const LEN: usize = $length;

                #[inline]
                fn write<W: SerializeMap>(
                    self,
                    names: &'static [&'static str],
                    out: &mut Writer<'_, W>,
                ) {
                    $(out.member(names.get($index).unwrap_or(&""), self.$index);)*
                }
            }

            impl<$($member: Serialize),*> OptionalValues for ($(&Option<$member>,)*) {
                #[inline]
                fn write<W: SerializeMap>(
                    self,
                    names: &'static [&'static str],
                    out: &mut Writer<'_, W>,
                ) {
                    $(out.optional(names.get($index).unwrap_or(&""), self.$index);)*
                }
            }
        };
    )*};
}

tuples! {
    0 ()
    1 (M0 0)
    2 (M0 0 M1 1)
    3 (M0 0 M1 1 M2 2)
    4 (M0 0 M1 1 M2 2 M3 3)
    5 (M0 0 M1 1 M2 2 M3 3 M4 4)
    6 (M0 0 M1 1 M2 2 M3 3 M4 4 M5 5)
    7 (M0 0 M1 1 M2 2 M3 3 M4 4 M5 5 M6 6)
    8 (M0 0 M1 1 M2 2 M3 3 M4 4 M5 5 M6 6 M7 7)
}
