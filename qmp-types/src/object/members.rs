//! Reads the members of an object, by name.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::RefUnwindSafe;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor,
};
use serde_json::{Map, Value};

use super::group::{Both, Group, Mandatory, Slots};
use crate::any::{Any, text_of};
use crate::borrowed::Borrowed;
use crate::{json, names};

/// Where the value of the current member comes from: the wire, or a member kept earlier.
#[derive(Debug)]
pub struct Source<'m, 'de, A> {
    map: &'m mut A,
    kept: Option<&'m mut (dyn Keep + 'static)>,
    lifetime: PhantomData<&'de ()>,
}

/// Members that came before the discriminator.
//
// A trait, so that only programs that read a union contain what is done with values of any type.
trait Keep: fmt::Debug + RefUnwindSafe + Send + Sync {
    /// Adds members, the first to arrive first.
    fn add(&mut self, members: Vec<(String, Value)>);

    /// Goes on to the next member, and returns its name.
    fn advance(&mut self) -> Option<&str>;

    /// Takes the current member, with its value as text.
    fn take_text(&mut self) -> Option<(String, String)>;

    /// Takes the value of the current member.
    fn take_value(&mut self) -> Option<Value>;

    /// Drops the current member, and returns whether there was one.
    fn skip(&mut self) -> bool;
}

#[derive(Debug, Default)]
struct Kept {
    current: Option<(String, Value)>,
    /// Those still to be read, the first to arrive last.
    rest: Vec<(String, Value)>,
}

impl Keep for Kept {
    fn add(&mut self, mut members: Vec<(String, Value)>) {
        members.reverse();
        self.rest.append(&mut members);
    }

    fn advance(&mut self) -> Option<&str> {
        let (name, _) = self.current.insert(self.rest.pop()?);
        Some(name)
    }

    fn take_text(&mut self) -> Option<(String, String)> {
        self.current.take().map(|(name, value)| (name, text_of(&value)))
    }

    fn take_value(&mut self) -> Option<Value> {
        self.current.take().map(|(_, value)| value)
    }

    fn skip(&mut self) -> bool {
        self.current.take().is_some()
    }
}

/// Returns the error of a member that was read before its type was known, and whose position is forgotten.
#[cold]
fn in_member<E: serde::de::Error>(name: &str, error: &json::JsonError) -> E {
    E::custom(format_args!("{error} (in member `{name}`)"))
}

impl<'de, A: MapAccess<'de>> Source<'_, 'de, A> {
    #[inline]
    fn value<T: DeserializeOwned>(&mut self) -> Result<T, A::Error> {
        if self.kept.is_none() { self.map.next_value() } else { self.kept_value() }
    }

    /// Reads a string that is needed only briefly: borrowed where the format can lend it.
    fn text(&mut self) -> Result<Cow<'de, str>, A::Error> {
        if self.kept.is_none() {
            self.map.next_value().map(|Borrowed(text)| text)
        } else {
            self.kept_value().map(Cow::Owned)
        }
    }

    /// Reads a value that may have been kept. The limits of `json`, on depth and memory, then hold for it,
    /// whatever the format is.
    #[cold]
    fn kept_value<T: DeserializeOwned>(&mut self) -> Result<T, A::Error> {
        match self.kept.as_mut().and_then(|kept| kept.take_text()) {
            None => self.map.next_value(),
            // As text, so that a program contains one function that reads a `T`.
            Some((name, text)) => json::from_str(&text).map_err(|error| in_member(&name, &error)),
        }
    }

    /// Reads the value of a member that no table lists. One that was kept stays as it is.
    fn unlisted(&mut self) -> Result<Value, A::Error> {
        match self.kept.as_mut().and_then(|kept| kept.take_value()) {
            None => self.map.next_value::<Unlisted>().map(|unlisted| unlisted.value),
            Some(value) => Ok(value),
        }
    }

    /// Reads the value of the current member into its slot.
    pub(super) fn fill<T: DeserializeOwned>(
        &mut self,
        slot: &mut Option<T>,
    ) -> Result<(), A::Error> {
        *slot = Some(self.value()?);
        Ok(())
    }

    /// Skips the value of the current member.
    pub(super) fn skip(&mut self) -> Result<(), A::Error> {
        if self.kept.as_mut().is_some_and(|kept| kept.skip()) {
            return Ok(());
        }
        self.map.next_value::<IgnoredAny>().map(|_| ())
    }
}

/// The part of an object that is read besides the members that have a slot: nothing, all other
/// members of an open object, or the branch of a union.
pub trait Rest: Sized {
    /// The discriminator, if this is a branch: the member that is best read first.
    const FIRST: &'static [&'static str] = &[];

    /// Reads all members: those in `names` into their slots, and the others.
    ///
    /// # Errors
    /// Fails as the format does, or if a mandatory member is missing.
    fn read<'de, A: MapAccess<'de>>(
        members: &mut Members<'_, 'de, A>,
        names: &'static [&'static str],
        slots: &mut dyn Slots<'de, A>,
    ) -> Result<Self, A::Error>;
}

impl Rest for () {
    fn read<'de, A: MapAccess<'de>>(
        members: &mut Members<'_, 'de, A>,
        names: &'static [&'static str],
        slots: &mut dyn Slots<'de, A>,
    ) -> Result<Self, A::Error> {
        while let Some(index) = members.next_listed(names)? {
            slots.fill(index, &mut members.source)?;
        }
        Ok(())
    }
}

impl Rest for Map<String, Value> {
    fn read<'de, A: MapAccess<'de>>(
        members: &mut Members<'_, 'de, A>,
        names: &'static [&'static str],
        slots: &mut dyn Slots<'de, A>,
    ) -> Result<Self, A::Error> {
        let mut rest = Self::new();
        while let Some(index) = members.next_or_keep(names, &mut rest)? {
            slots.fill(index, &mut members.source)?;
        }
        Ok(rest)
    }
}

/// The members of an object that is being read.
pub struct Members<'m, 'de, A: MapAccess<'de>> {
    source: Source<'m, 'de, A>,
    /// The enclosing union, whose base members are among these.
    outer: Option<&'m mut (dyn Outer<'de, A> + 'm)>,
}

/// The union that encloses the members being read, and those that enclose that union.
trait Outer<'de, A: MapAccess<'de>> {
    fn find(&self, name: &str) -> Option<InBase>;

    fn read(&mut self, place: InBase, source: &mut Source<'_, 'de, A>) -> Result<(), A::Error>;
}

/// A base member: how many unions further out, and its index there. A key must be smaller than a
/// string, for which a reader of JSON accounts: see [`Unlisted`].
#[derive(Clone, Copy)]
struct InBase {
    out: u32,
    index: u32,
}

struct Base<'m, 's, 'de, A: MapAccess<'de>> {
    names: &'static [&'static str],
    slots: &'m mut (dyn Slots<'de, A> + 's),
    outer: Option<&'m mut (dyn Outer<'de, A> + 'm)>,
}

impl<'de, A: MapAccess<'de>> Outer<'de, A> for Base<'_, '_, 'de, A> {
    fn find(&self, name: &str) -> Option<InBase> {
        if let Some(index) = names::position(self.names, name) {
            return Some(InBase { out: 0, index: u32::try_from(index).ok()? });
        }
        let InBase { out, index } = self.outer.as_ref()?.find(name)?;
        Some(InBase { out: out + 1, index })
    }

    fn read(&mut self, place: InBase, source: &mut Source<'_, 'de, A>) -> Result<(), A::Error> {
        match (place.out.checked_sub(1), &mut self.outer) {
            (Some(out), Some(outer)) => outer.read(InBase { out, ..place }, source),
            _ => self.slots.fill(place.index as usize, source),
        }
    }
}

impl<'de, A: MapAccess<'de>> fmt::Debug for Members<'_, 'de, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("kept", &self.source.kept).finish_non_exhaustive()
    }
}

impl<'m, 'de, A: MapAccess<'de>> Members<'m, 'de, A> {
    pub(crate) fn new(map: &'m mut A) -> Self {
        Self { source: Source { map, kept: None, lifetime: PhantomData }, outer: None }
    }

    /// Reads all members: the mandatory ones, which are first in `names`, the optional ones, and the
    /// others as `R` does.
    ///
    /// # Errors
    /// Fails as the format does, or if a mandatory member is missing.
    #[inline]
    pub fn read<M, O, R>(&mut self, names: &'static [&'static str]) -> Result<(M, O, R), A::Error>
    where
        M: Mandatory,
        O: Group,
        R: Rest,
    {
        let (mut mandatory, mut optional) = (M::Slots::empty(), O::empty());
        let rest = R::read(self, names, &mut Both(&mut mandatory, &mut optional))?;
        match M::take(mandatory) {
            Ok(mandatory) => Ok((mandatory, optional, rest)),
            Err(index) => Err(A::Error::missing_field(names.get(index).unwrap_or(&"?"))),
        }
    }

    /// Returns the index in `names` of the next member, skipping members that are not listed.
    ///
    /// # Errors
    /// Fails as the format does.
    pub fn next(&mut self, names: &'static [&'static str]) -> Result<Option<usize>, A::Error> {
        self.advance(names, None)
    }

    /// Like [`next`](Self::next), with a fast path for an object that is not in a union whose
    /// discriminator came late.
    #[inline(always)]
    fn next_listed(&mut self, names: &'static [&'static str]) -> Result<Option<usize>, A::Error> {
        while self.source.kept.is_none() {
            let outer = self.outer.as_deref();
            let key = Key { names, outer, unlisted: None };
            match self.source.map.next_key_seed(key)? {
                None => return Ok(None),
                Some(Found::Member(index)) => return Ok(Some(index)),
                Some(elsewhere) => self.pass(elsewhere, None)?,
            }
        }
        self.next(names)
    }

    /// Like [`next`](Self::next), but keeps members that are not listed, for objects that are open.
    ///
    /// # Errors
    /// Fails as the format does.
    pub fn next_or_keep(
        &mut self,
        names: &'static [&'static str],
        open: &mut Map<String, Value>,
    ) -> Result<Option<usize>, A::Error> {
        let mut kept = Vec::new();
        let index = self.advance(names, Some(&mut kept))?;
        open.extend(kept);
        Ok(index)
    }

    /// Like [`next_or_keep`](Self::next_or_keep), in the order in which members arrive.
    pub(super) fn next_or_push(
        &mut self,
        names: &'static [&'static str],
        kept: &mut Vec<(String, Value)>,
    ) -> Result<Option<usize>, A::Error> {
        self.advance(names, Some(kept))
    }

    /// Returns where the value of the member comes from that [`next`](Self::next) found.
    pub(super) fn source(&mut self) -> &mut Source<'m, 'de, A> {
        &mut self.source
    }

    /// Reads the string that [`next`](Self::next) found.
    pub(super) fn text(&mut self) -> Result<Cow<'de, str>, A::Error> {
        self.source.text()
    }

    /// Reads the value of the member that [`next`](Self::next) found.
    ///
    /// # Errors
    /// Fails as the format does.
    pub fn value<T: DeserializeOwned>(&mut self) -> Result<T, A::Error> {
        self.source.value()
    }

    /// Reads the branch of a union whose base has these names and slots: `earlier` members first,
    /// then those that are still to come.
    pub(super) fn within<T>(
        &mut self,
        names: &'static [&'static str],
        slots: &mut dyn Slots<'de, A>,
        earlier: Vec<(String, Value)>,
        read: impl FnOnce(&mut Members<'_, 'de, A>) -> Result<T, A::Error>,
    ) -> Result<T, A::Error> {
        let mut late = None;
        let mut kept = self.source.kept.as_deref_mut();
        if !earlier.is_empty() {
            kept.get_or_insert_with(|| late.insert(Kept::default())).add(earlier);
        }
        let mut base = Base {
            names,
            slots,
            outer: match &mut self.outer {
                Some(outer) => Some(&mut **outer),
                None => None,
            },
        };
        let mut inner = Members {
            source: Source { map: &mut *self.source.map, kept, lifetime: PhantomData },
            outer: Some(&mut base),
        };
        read(&mut inner)
    }

    fn advance(
        &mut self,
        names: &'static [&'static str],
        mut unlisted: Option<&mut Vec<(String, Value)>>,
    ) -> Result<Option<usize>, A::Error> {
        loop {
            let key =
                Key { names, outer: self.outer.as_deref(), unlisted: unlisted.as_deref_mut() };
            let found = match self.source.kept.as_mut().and_then(|kept| kept.advance()) {
                None => self.source.map.next_key_seed(key)?,
                Some(name) => Some(key.find(name)),
            };
            match found {
                None => return Ok(None),
                Some(Found::Member(index)) => return Ok(Some(index)),
                Some(elsewhere) => self.pass(elsewhere, unlisted.as_deref_mut())?,
            }
        }
    }

    /// Reads the value of a member that the object itself does not have.
    fn pass(
        &mut self,
        found: Found,
        unlisted: Option<&mut Vec<(String, Value)>>,
    ) -> Result<(), A::Error> {
        match found {
            Found::Base(place) => match &mut self.outer {
                Some(outer) => outer.read(place, &mut self.source),
                None => Ok(()),
            },
            Found::Member(_) | Found::Nowhere => {
                match unlisted.and_then(|unlisted| unlisted.last_mut()) {
                    Some((_, value)) => *value = self.source.unlisted()?,
                    None => self.source.skip()?,
                }
                Ok(())
            }
        }
    }
}

/// The value of a member that no table lists. A reader of JSON limits memory by the sizes of values:
/// the size of this one is that of the entry that the member becomes.
struct Unlisted {
    value: Value,
    _entry: [u8; 160],
}

impl<'de> Deserialize<'de> for Unlisted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Any::deserialize(deserializer).map(|Any(value)| Self { value, _entry: [0; 160] })
    }
}

enum Found {
    Member(usize),
    Base(InBase),
    Nowhere,
}

// Otherwise each member that a type knows would count as an entry of a map.
const _: () = assert!(size_of::<Found>() < size_of::<String>());

/// Looks a key up while it is still borrowed, so that known names need no allocation.
struct Key<'k, 'de, A> {
    names: &'static [&'static str],
    outer: Option<&'k dyn Outer<'de, A>>,
    /// Where a member is kept that no table lists; its value follows.
    unlisted: Option<&'k mut Vec<(String, Value)>>,
}

impl<'de, A: MapAccess<'de>> Key<'_, 'de, A> {
    fn find(self, name: &str) -> Found {
        match names::position(self.names, name) {
            Some(index) => Found::Member(index),
            None => self.find_elsewhere(name),
        }
    }

    /// Looks up a name that is not in the table.
    fn find_elsewhere(self, name: &str) -> Found {
        if let Some(place) = self.outer.and_then(|outer| outer.find(name)) {
            return Found::Base(place);
        }
        if let Some(unlisted) = self.unlisted {
            unlisted.push((name.to_owned(), Value::Null));
        }
        Found::Nowhere
    }
}

impl<'de, A: MapAccess<'de>> DeserializeSeed<'de> for Key<'_, 'de, A> {
    type Value = Found;

    #[inline(always)]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        if json::is_member::<D>() {
            return deserializer.deserialize_struct(json::MEMBER, self.names, InJson(self));
        }
        deserializer.deserialize_identifier(self)
    }
}

impl<'de, A: MapAccess<'de>> Visitor<'de> for Key<'_, 'de, A> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Found, E> {
        Ok(self.find(name))
    }
}

/// A key in JSON text, whose reader looks names up in the table.
struct InJson<K>(K);

impl<'de, A: MapAccess<'de>> Visitor<'de> for InJson<Key<'_, 'de, A>> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    #[inline(always)]
    fn visit_u64<E>(self, index: u64) -> Result<Found, E> {
        Ok(Found::Member(usize::try_from(index).unwrap_or(usize::MAX)))
    }

    /// Takes a name that is not in the table.
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Found, E> {
        Ok(self.0.find_elsewhere(name))
    }

    /// Takes a name that has escapes, and has not been looked up.
    fn visit_str<E>(self, name: &str) -> Result<Found, E> {
        Ok(self.0.find(name))
    }
}
