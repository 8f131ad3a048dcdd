//! The members of objects and the elements of arrays, one after the other.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::error::{JsonError, Result};
use super::name::{Member, Name};
use super::reader::Reader;
use super::scan::{after_one_space, after_space};

/// The members of an object that is being read.
pub(super) struct Members<'r, 'de> {
    reader: &'r mut Reader<'de>,
    state: State,
    passed: Passed,
    /// The index in a table of names of the member that is expected next: mostly, members come in the
    /// order of the table.
    expected: usize,
}

/// How far the members of an object have been read.
#[derive(Clone, Copy)]
enum State {
    /// The member that begins at this index is passed to the visitor before its turn.
    Ahead(usize),
    /// The member that begins at `first` has been passed; the others are read next, from `start`.
    Back {
        first: usize,
        start: usize,
    },
    Start,
    Inside,
    End,
}

/// The range of a member that has been passed before its turn, and is skipped there.
#[derive(Clone, Copy)]
struct Passed {
    start: usize,
    end: usize,
}

impl Passed {
    /// No member: none begins there.
    const NONE: Self = Self { start: usize::MAX, end: usize::MAX };

    #[inline(always)]
    fn is_some(self) -> bool {
        self.start != Self::NONE.start
    }
}

impl<'r, 'de> Members<'r, 'de> {
    /// Creates the members of the object whose `{` has been taken. `first` is the index of the member
    /// to pass first, if any.
    #[inline(always)]
    pub(super) fn new(reader: &'r mut Reader<'de>, first: Option<usize>) -> Self {
        let state = first.map_or(State::Start, State::Ahead);
        Self { reader, state, passed: Passed::NONE, expected: 0 }
    }

    /// Returns the index of the next member that has not been passed, if any.
    #[inline(always)]
    fn next_place(&mut self) -> Result<Option<usize>> {
        let at = self.reader.at;
        let rest = self.reader.text.as_bytes().get(at..).unwrap_or_default();
        let place = match (self.state, rest) {
            (State::Inside, [b',', b' ', b'"', ..]) => at + 2,
            (State::Inside, [b',', b'"', ..]) => at + 1,
            (State::Start, [b'"', ..]) => at,
            (State::Inside, [b'}', ..]) if !self.passed.is_some() => {
                self.state = State::End;
                self.reader.at = at + 1;
                return Ok(None);
            }
            _ => return self.any_next_place(),
        };
        if place == self.passed.start {
            return self.any_next_place();
        }
        self.state = State::Inside;
        Ok(Some(place))
    }

    /// The slow path of [`next_place`](Self::next_place).
    #[inline(never)]
    fn any_next_place(&mut self) -> Result<Option<usize>> {
        if let State::Ahead(_) | State::Back { .. } = self.state {
            if let Some(first) = self.turn() {
                return Ok(Some(first));
            }
        }
        let bytes = self.reader.text.as_bytes();
        loop {
            let at = after_space(bytes, self.reader.at);
            let place = match (self.state, bytes.get(at)) {
                (State::Inside, Some(b',')) => after_one_space(bytes, at + 1),
                (State::Start, Some(b'"')) => at,
                _ => return self.no_place(at),
            };
            if bytes.get(place) != Some(&b'"') {
                return self.no_name(place);
            }
            self.state = State::Inside;
            if place != self.passed.start {
                return Ok(Some(place));
            }
            self.reader.at = self.passed.end;
            self.passed = Passed::NONE;
        }
    }

    /// Returns the index of the member that is passed before its turn, or returns to the others.
    #[inline(never)]
    fn turn(&mut self) -> Option<usize> {
        match self.state {
            State::Ahead(first) => {
                self.state = State::Back { first, start: self.reader.at };
                return Some(first);
            }
            State::Back { first, start } => {
                self.passed = Passed { start: first, end: self.reader.at };
                self.state = State::Start;
                self.reader.at = start;
            }
            _ => {}
        }
        None
    }

    /// Continues [`next_place`](Self::next_place) at the end of an object, or where something is wrong.
    #[inline(never)]
    fn no_place(&mut self, at: usize) -> Result<Option<usize>> {
        match (self.reader.text.as_bytes().get(at), self.state) {
            (_, State::End) => Ok(None),
            (Some(b'}'), _) => self.end(at).map(|()| None),
            (Some(_), State::Start) => self.no_name(at),
            _ => Err(self.reader.neither_comma_nor(b'}')),
        }
    }

    #[cold]
    fn no_name<T>(&mut self, at: usize) -> Result<T> {
        self.reader.at = at;
        Err(self.reader.error("expected the name of a member"))
    }

    /// Takes the closing bracket.
    fn end(&mut self, at: usize) -> Result<()> {
        if self.passed.is_some() {
            return Err(self.reader.error("the member that was passed first is in another object"));
        }
        self.state = State::End;
        self.reader.at = at + 1;
        Ok(())
    }

    /// Returns whether all members have been read, and the closing bracket.
    #[inline(always)]
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Takes the closing bracket, unless it has been taken.
    #[inline(always)]
    pub(super) fn finish(mut self) -> Result<()> {
        match self.state {
            State::End => Ok(()),
            _ => self.finish_early(),
        }
    }

    /// Reads the name of a member, which is kept, and the colon.
    #[inline(always)]
    fn next_key_of_map<K: DeserializeSeed<'de>>(
        &mut self,
        place: Option<usize>,
        seed: K,
    ) -> Result<Option<K::Value>> {
        let Some(start) = place else {
            self.reader.take_memory(ENTRY)?;
            return Ok(None);
        };
        let key = match self.reader.plain_string(start) {
            Ok(name) => {
                self.reader.take_memory(ENTRY + name.len())?;
                seed.deserialize(Name(name))?
            }
            Err(_) => {
                self.reader.at = start;
                self.reader.take_memory(ENTRY)?;
                return self.next_member(start, seed);
            }
        };
        self.reader.expect(b':')?;
        self.reader.take_space();
        Ok(Some(key))
    }

    /// Reads the name that begins at `start`, and the colon.
    #[inline(always)]
    fn next_member<K: DeserializeSeed<'de>>(
        &mut self,
        start: usize,
        seed: K,
    ) -> Result<Option<K::Value>> {
        let mut has_colon = false;
        let member = Member {
            reader: &mut *self.reader,
            start,
            expected: &mut self.expected,
            has_colon: &mut has_colon,
        };
        let key = seed.deserialize(member)?;
        if !has_colon {
            self.reader.expect(b':')?;
            self.reader.take_space();
        }
        Ok(Some(key))
    }

    /// Takes the closing bracket of an object that the visitor has not read to its end.
    #[cold]
    fn finish_early(&mut self) -> Result<()> {
        match self.any_next_place()? {
            None => Ok(()),
            Some(_) => Err(self.reader.error("more members than expected")),
        }
    }
}

impl<'de> MapAccess<'de> for &mut Members<'_, 'de> {
    type Error = JsonError;

    #[inline(always)]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let place = self.next_place()?;
        // A key as large as a string is one of a map, and is kept. The members of a schema's objects
        // have smaller keys; those that an object does not know count with their values.
        if size_of::<K::Value>() >= size_of::<String>() {
            return self.next_key_of_map(place, seed);
        }
        match place {
            Some(start) => self.next_member(start, seed),
            None => Ok(None),
        }
    }

    #[inline(always)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        // Small values are part of an object or of an entry, which have been accounted for.
        if size_of::<V::Value>() > SMALL {
            self.reader.take_memory(size_of::<V::Value>())?;
        }
        seed.deserialize(&mut *self.reader)
    }
}

/// Returns whether `A` gives the members of an object in a text.
//
// Both names are known when this is compiled, and so is the answer.
#[inline(always)]
pub(crate) fn is_in_text<A>() -> bool {
    std::any::type_name::<A>() == std::any::type_name::<&mut Members<'_, '_>>()
}

/// The largest size of a small value: that of a JSON value, in bytes.
const SMALL: usize = size_of::<serde_json::Value>();
/// The memory of an entry of a map with a small value, beside its name, in bytes.
const ENTRY: usize = 128 + SMALL;
/// The memory of an element of a list, as a multiple of its size: a list that grows is copied to
/// twice as much memory.
const ELEMENT: usize = 3;

/// The elements of an array that is being read.
pub(super) struct Elements<'r, 'de> {
    reader: &'r mut Reader<'de>,
    started: bool,
}

impl<'r, 'de> Elements<'r, 'de> {
    /// Creates the elements of the array whose `[` has been taken.
    pub(super) fn new(reader: &'r mut Reader<'de>) -> Self {
        Self { reader, started: false }
    }

    /// Takes the closing bracket.
    #[inline]
    pub(super) fn finish(self) -> Result<()> {
        self.reader.expect(b']')
    }
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, 'de> {
    type Error = JsonError;

    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.reader.peek() {
            // Left for `finish`: a visitor may ask again.
            Some(b']') => return Ok(None),
            Some(b',') if self.started => self.reader.at += 1,
            Some(_) if !self.started => {}
            _ => return Err(self.reader.neither_comma_nor(b']')),
        }
        self.started = true;
        self.reader.take_memory(ELEMENT * size_of::<S::Value>())?;
        self.reader.take_space();
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// A variant of a Rust enum that a caller has defined: a string, or an object with one member.
pub(super) struct Variant<'r, 'de> {
    pub(super) reader: &'r mut Reader<'de>,
    pub(super) has_value: bool,
}

impl<'r, 'de> EnumAccess<'de> for Variant<'r, 'de> {
    type Error = JsonError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let name = seed.deserialize(&mut *self.reader)?;
        if self.has_value {
            self.reader.expect(b':')?;
        }
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = JsonError;

    #[inline]
    fn unit_variant(self) -> Result<()> {
        if self.has_value { serde::Deserialize::deserialize(self.reader) } else { Ok(()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        if self.has_value {
            return seed.deserialize(self.reader);
        }
        seed.deserialize(().into_deserializer())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.reader.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.reader.deserialize_any(visitor)
    }
}

/// The name of a newtype for which the reader passes a value together with its text.
pub(crate) const WITH_TEXT: &str = "$qmp_types::Verbatim";

/// A value together with its text, as an enum: the value is the variant, and holds the text.
pub(super) struct WithText<'r, 'de> {
    pub(super) reader: &'r mut Reader<'de>,
}

/// The text of a value.
pub(super) struct Text<'de>(&'de str);

impl<'de> EnumAccess<'de> for WithText<'_, 'de> {
    type Error = JsonError;
    type Variant = Text<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Text<'de>)> {
        self.reader.peek();
        let start = self.reader.at;
        let value = seed.deserialize(&mut *self.reader);
        let value = self.reader.located(value)?;
        Ok((value, Text(&self.reader.text[start..self.reader.at])))
    }
}

impl<'de> VariantAccess<'de> for Text<'de> {
    type Error = JsonError;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(Name(self.0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }
}

/// The text of a value as serde_json passes it to the visitor of a raw value: a map with one entry, whose
/// key is the name by which the visitor asked for it.
pub(super) struct RawText<'de> {
    pub(super) name: &'static str,
    pub(super) text: Option<&'de str>,
}

impl<'de> MapAccess<'de> for RawText<'de> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.text.map(|_| seed.deserialize(Name(self.name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(Name(self.text.take().unwrap_or_default()))
    }
}
