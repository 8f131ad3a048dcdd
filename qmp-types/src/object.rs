//! How a generated object type is read and written.
//!
//! A QAPI object is a set of named members in any order. A generated type gives a table of its
//! member names and one function that reads them by index; everything else (finding the index,
//! skipping what is unknown, reporting what is missing, flattening unions) is here, once.
//!
//! A union is an object too: a base with the discriminator in it, and the members of one branch
//! beside them. Its branch can be read only when the discriminator is known, and that may come
//! last on the wire. What comes before it is kept and given to the branch afterwards:
//!
//! ```text
//! map ──next──> in the table?      the index, the caller reads the value
//!               in an outer base?  that base reads it, on to the next
//!               otherwise          skipped, or kept (open objects, waiting for a discriminator)
//! ```

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::names;

/// A generated struct: the body of a QAPI struct, union base, command or event.
pub trait Object: Sized {
    /// The name in the schema.
    const NAME: &'static str;
    /// The wire names of the members, as far as this type reads them itself.
    const MEMBERS: &'static [&'static str];
    /// The discriminator, if the object is a union: the member that is best read first.
    const FIRST: &'static [&'static str] = &[];

    /// Reads the members until there are no more.
    ///
    /// # Errors
    /// What the format reports, or a mandatory member that is missing.
    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error>;

    /// Writes the members.
    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>);
}

/// The branches of a generated union: which one it is, and the members that it brings.
pub trait Branches: Sized {
    /// The wire name of the discriminator.
    const DISCRIMINATOR: &'static str;

    /// Reads the members of the branch that the discriminator's value selects.
    ///
    /// # Errors
    /// What the format reports, or a mandatory member that is missing.
    fn read_branch<'de, A: MapAccess<'de>>(
        value: &str,
        members: &mut Members<'_, 'de, A>,
    ) -> Result<Self, A::Error>;

    /// Writes the members of the branch, without the discriminator.
    fn write_branch<M: SerializeMap>(&self, out: &mut Writer<'_, M>);

    /// The discriminator's value on the wire.
    fn discriminator(&self) -> &str;
}

/// Reads a base member, given its index in the table, for [`Members::branches`].
pub type ReadBase<'b, 'de, A> =
    &'b mut dyn FnMut(usize, &mut Source<'_, 'de, A>) -> Result<(), <A as MapAccess<'de>>::Error>;

/// Where the value of the current member comes from: the wire, or what was kept earlier.
#[derive(Debug)]
pub struct Source<'m, 'de, A> {
    map: &'m mut A,
    /// In a box, since every object makes room for it and few need it.
    kept: Option<Box<Kept>>,
    lifetime: PhantomData<&'de ()>,
}

/// Members that came before the discriminator.
#[derive(Debug, Default)]
struct Kept {
    current: Option<(String, Value)>,
    /// Those that are still to come, the first to arrive last.
    rest: Vec<(String, Value)>,
}

impl<'de, A: MapAccess<'de>> Source<'_, 'de, A> {
    /// Reads the value of the current member.
    ///
    /// # Errors
    /// What the format reports.
    #[inline]
    pub fn value<T: Deserialize<'de>>(&mut self) -> Result<T, A::Error> {
        if self.kept.is_none() { self.map.next_value() } else { self.kept_value() }
    }

    #[cold]
    fn kept_value<T: Deserialize<'de>>(&mut self) -> Result<T, A::Error> {
        match self.kept.as_mut().and_then(|kept| kept.current.take()) {
            None => self.map.next_value(),
            Some((name, value)) => T::deserialize(value).map_err(|error| {
                // It was read before its type was known, and its place is forgotten.
                A::Error::custom(format_args!("{error} (in member `{name}`)"))
            }),
        }
    }

    /// Reads the value of the current member into its place.
    ///
    /// # Errors
    /// What the format reports.
    pub fn fill<T: Deserialize<'de>>(&mut self, slot: &mut Option<T>) -> Result<(), A::Error> {
        *slot = Some(self.value()?);
        Ok(())
    }

    /// Passes over the value of the current member.
    ///
    /// # Errors
    /// What the format reports.
    pub fn skip(&mut self) -> Result<(), A::Error> {
        self.value::<IgnoredAny>().map(|_| ())
    }
}

/// The members of an object that is being read.
pub struct Members<'m, 'de, A: MapAccess<'de>> {
    source: Source<'m, 'de, A>,
    /// The union around, whose base's members stand among these.
    outer: Option<&'m mut (dyn Outer<'de, A> + 'm)>,
}

/// A union around the members that are being read, and those around that.
trait Outer<'de, A: MapAccess<'de>> {
    fn find(&self, name: &str) -> Option<InBase>;

    fn read(&mut self, place: InBase, source: &mut Source<'_, 'de, A>) -> Result<(), A::Error>;
}

/// A base member: how many unions further out, and the index there.
#[derive(Clone, Copy)]
struct InBase {
    out: usize,
    index: usize,
}

struct Base<'m, 'de, A: MapAccess<'de>> {
    names: &'static [&'static str],
    read: ReadBase<'m, 'de, A>,
    outer: Option<&'m mut (dyn Outer<'de, A> + 'm)>,
}

impl<'de, A: MapAccess<'de>> Outer<'de, A> for Base<'_, 'de, A> {
    fn find(&self, name: &str) -> Option<InBase> {
        if let Some(index) = names::position(self.names, name) {
            return Some(InBase { out: 0, index });
        }
        let InBase { out, index } = self.outer.as_ref()?.find(name)?;
        Some(InBase { out: out + 1, index })
    }

    fn read(&mut self, place: InBase, source: &mut Source<'_, 'de, A>) -> Result<(), A::Error> {
        match (place.out.checked_sub(1), &mut self.outer) {
            (Some(out), Some(outer)) => outer.read(InBase { out, ..place }, source),
            _ => (self.read)(place.index, source),
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

    /// The index in `names` of the next member, skipping those that are not listed.
    ///
    /// # Errors
    /// What the format reports.
    pub fn next(&mut self, names: &'static [&'static str]) -> Result<Option<usize>, A::Error> {
        self.advance(names, None)
    }

    /// Like [`next`](Self::next), but keeps what is not listed, for objects that are open.
    ///
    /// # Errors
    /// What the format reports.
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

    /// Reads the value of the member that [`next`](Self::next) found.
    ///
    /// # Errors
    /// What the format reports.
    pub fn value<T: Deserialize<'de>>(&mut self) -> Result<T, A::Error> {
        self.source.value()
    }

    /// Reads the value of the member that [`next`](Self::next) found into its place.
    ///
    /// # Errors
    /// What the format reports.
    pub fn fill<T: Deserialize<'de>>(&mut self, slot: &mut Option<T>) -> Result<(), A::Error> {
        self.source.fill(slot)
    }

    /// A mandatory member, or the error that says that it is missing.
    ///
    /// # Errors
    /// The member is missing.
    pub fn required<T>(&self, value: Option<T>, name: &'static str) -> Result<T, A::Error> {
        value.ok_or_else(|| A::Error::missing_field(name))
    }

    /// Passes over the member that [`next`](Self::next) found.
    ///
    /// # Errors
    /// What the format reports.
    pub fn skip(&mut self) -> Result<(), A::Error> {
        self.source.skip()
    }

    /// The error that says which mandatory member is missing: the first of which that is said.
    #[must_use]
    pub fn missing(&self, members: &[(bool, &'static str)]) -> A::Error {
        let first = members.iter().find(|(missing, _)| *missing);
        A::Error::missing_field(first.map_or("?", |(_, name)| name))
    }

    /// Reads the members of a union: finds the discriminator, then reads the branch, and gives
    /// each base member to `read_base` wherever it stands. `names` lists the base members, the
    /// discriminator among them; `read_base` skips the discriminator, which a peer may repeat.
    ///
    /// # Errors
    /// What the format reports, or a missing discriminator.
    pub fn branches<B: Branches>(
        &mut self,
        names: &'static [&'static str],
        read_base: ReadBase<'_, 'de, A>,
    ) -> Result<B, A::Error> {
        let mut kept = Vec::new();
        let discriminator: Cow<'de, str> = loop {
            let Some(index) = self.advance(names, Some(&mut kept))? else {
                return Err(A::Error::missing_field(B::DISCRIMINATOR));
            };
            if names[index] == B::DISCRIMINATOR {
                let Text(text) = self.source.value()?;
                break text;
            }
            read_base(index, &mut self.source)?;
        };
        let mut earlier = self.source.kept.take();
        if !kept.is_empty() {
            kept.reverse();
            earlier.get_or_insert_default().rest.append(&mut kept);
        }
        let mut base = Base {
            names,
            read: read_base,
            outer: match &mut self.outer {
                Some(outer) => Some(&mut **outer),
                None => None,
            },
        };
        let mut inner = Members {
            source: Source { map: &mut *self.source.map, kept: earlier, lifetime: PhantomData },
            outer: Some(&mut base),
        };
        B::read_branch(&discriminator, &mut inner)
    }

    /// Reads the members of a branch. One call a branch, and no more in generated code: a
    /// function with fifty of them needs no stack for each.
    ///
    /// # Errors
    /// What the format reports, or a mandatory member that is missing.
    pub fn branch<T: Object, B>(&mut self, wrap: impl FnOnce(T) -> B) -> Result<B, A::Error> {
        T::read(self).map(wrap)
    }

    /// Takes a branch without members; base members that are still to come are read.
    ///
    /// # Errors
    /// What the format reports.
    pub fn no_branch<B>(&mut self, branch: B) -> Result<B, A::Error> {
        self.next(&[]).map(|_| branch)
    }

    /// Reads everything that is left, for a branch that the schema does not know.
    ///
    /// # Errors
    /// What the format reports.
    pub fn unknown_branch<B>(
        &mut self,
        wrap: impl FnOnce(Map<String, Value>) -> B,
    ) -> Result<B, A::Error> {
        let mut rest = Map::new();
        self.next_or_keep(&[], &mut rest)?;
        Ok(wrap(rest))
    }

    fn advance(
        &mut self,
        names: &'static [&'static str],
        mut unlisted: Option<&mut Vec<(String, Value)>>,
    ) -> Result<Option<usize>, A::Error> {
        loop {
            let key =
                Key { names, outer: self.outer.as_deref(), unlisted: unlisted.as_deref_mut() };
            let found = match &mut self.source.kept {
                None => self.source.map.next_key_seed(key)?,
                Some(kept) => match kept.rest.pop() {
                    None => self.source.map.next_key_seed(key)?,
                    Some(member) => {
                        let found = key.find(&member.0);
                        kept.current = Some(member);
                        Some(found)
                    }
                },
            };
            match found {
                None => return Ok(None),
                Some(Found::Member(index)) => return Ok(Some(index)),
                Some(Found::Base(place)) => {
                    if let Some(outer) = &mut self.outer {
                        outer.read(place, &mut self.source)?;
                    }
                }
                Some(Found::Nowhere) => {
                    match unlisted.as_mut().and_then(|unlisted| unlisted.last_mut()) {
                        Some((_, value)) => *value = self.source.value()?,
                        None => self.source.skip()?,
                    }
                }
            }
        }
    }
}

enum Found {
    Member(usize),
    Base(InBase),
    Nowhere,
}

/// Looks a key up while it is still borrowed, so that known names cost no allocation.
struct Key<'k, 'de, A> {
    names: &'static [&'static str],
    outer: Option<&'k dyn Outer<'de, A>>,
    /// Where a member is kept that no table lists; its value follows.
    unlisted: Option<&'k mut Vec<(String, Value)>>,
}

impl<'de, A: MapAccess<'de>> Key<'_, 'de, A> {
    #[inline(always)]
    fn find(self, name: &str) -> Found {
        if let Some(index) = names::position(self.names, name) {
            return Found::Member(index);
        }
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
        deserializer.deserialize_identifier(self)
    }
}

impl<'de, A: MapAccess<'de>> Visitor<'de> for Key<'_, 'de, A> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    #[inline(always)]
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Found, E> {
        Ok(self.find(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Found, E> {
        Ok(self.find(name))
    }
}

/// A text that is looked at and forgotten: borrowed where the format can lend it.
struct Text<'de>(Cow<'de, str>);

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text)))
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
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

/// `Deserialize::deserialize` of a generated object.
///
/// # Errors
/// What the format reports, or a mandatory member that is missing.
pub fn deserialize<'de, T: Object, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    if T::FIRST.is_empty() {
        return deserializer.deserialize_map(ObjectVisitor(PhantomData));
    }
    // The reader of JSON text looks ahead for it; to others it says nothing.
    deserializer.deserialize_struct(T::NAME, T::FIRST, ObjectVisitor(PhantomData))
}

/// `Serialize::serialize` of a generated object.
///
/// # Errors
/// What the format reports.
pub fn serialize<T: Object, S: Serializer>(object: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    let mut out = Writer { map: &mut map, failure: None };
    object.write(&mut out);
    match out.failure {
        Some(failure) => Err(failure),
        None => map.end(),
    }
}

/// Writes members, one after the other, until one fails.
///
/// The failure is kept and told at the end, so that what is generated need not look at each.
#[derive(Debug)]
pub struct Writer<'m, M: SerializeMap> {
    map: &'m mut M,
    failure: Option<M::Error>,
}

impl<M: SerializeMap> Writer<'_, M> {
    /// Writes a mandatory member.
    pub fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if self.failure.is_none() {
            self.failure = self.map.serialize_entry(name, value).err();
        }
    }

    /// Writes a member that may be absent.
    pub fn optional<T: Serialize>(&mut self, name: &str, value: &Option<T>) {
        if let Some(value) = value {
            self.member(name, value);
        }
    }

    /// Writes a discriminator, and the members of the branch that it selects.
    pub fn branches<B: Branches>(&mut self, branches: &B) {
        self.member(B::DISCRIMINATOR, branches.discriminator());
        branches.write_branch(self);
    }

    /// Writes members that the schema does not list, but none that has been written already.
    pub fn open(&mut self, members: &Map<String, Value>, is_written: impl Fn(&str) -> bool) {
        for (name, value) in members {
            if !is_written(name) {
                self.member(name, value);
            }
        }
    }
}
