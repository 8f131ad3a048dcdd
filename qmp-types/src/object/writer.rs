//! Writes the members of an object.

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::{Map, Value};

use super::group::{OptionalValues, Values};

/// The part of an object that is written besides its own members: nothing, the members of an open object,
/// or a branch.
pub trait OtherValues: Copy {
    /// Writes what comes before the members.
    fn write_first<M: SerializeMap>(self, out: &mut Writer<'_, M>) {
        let _ = out;
    }

    /// Writes what comes after the members.
    fn write_last<M: SerializeMap>(self, out: &mut Writer<'_, M>) {
        let _ = out;
    }
}

impl OtherValues for () {}

/// Members that the schema does not list, except those that have been written already.
impl OtherValues for &Map<String, Value> {
    fn write_first<M: SerializeMap>(self, out: &mut Writer<'_, M>) {
        out.written = (!self.is_empty()).then(Vec::new);
    }

    fn write_last<M: SerializeMap>(self, out: &mut Writer<'_, M>) {
        let written = out.written.take().unwrap_or_default();
        out.unlisted(self, &written);
    }
}

/// Writes members one after the other, until one fails.
///
/// The failure is stored and reported at the end, so that generated code need not check each call.
#[derive(Debug)]
pub struct Writer<'m, M: SerializeMap> {
    map: &'m mut M,
    failure: Option<M::Error>,
    /// The names written so far, where members follow that might repeat them.
    written: Option<Vec<&'static str>>,
}

impl<'m, M: SerializeMap> Writer<'m, M> {
    pub(super) fn new(map: &'m mut M) -> Self {
        Self { map, failure: None, written: None }
    }

    pub(super) fn into_failure(self) -> Option<M::Error> {
        self.failure
    }

    /// Writes all members: the mandatory ones, which are first in `names`, the optional ones that are not
    /// absent, and others before or after these.
    #[inline]
    pub fn object(
        &mut self,
        names: &'static [&'static str],
        mandatory: impl Values,
        optional: impl OptionalValues,
        others: impl OtherValues,
    ) {
        others.write_first(self);
        self.values(names, mandatory, optional);
        others.write_last(self);
    }

    fn values<R: Values>(
        &mut self,
        names: &'static [&'static str],
        mandatory: R,
        optional: impl OptionalValues,
    ) {
        let (first, rest) = names.split_at_checked(R::LEN).unwrap_or((names, &[]));
        mandatory.write(first, self);
        optional.write(rest, self);
    }

    /// Writes a mandatory member.
    pub fn member<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        if let Some(written) = &mut self.written {
            written.push(name);
        }
        self.entry(name, value);
    }

    /// Writes an optional member, unless it is absent.
    pub fn optional<T: Serialize>(&mut self, name: &'static str, value: &Option<T>) {
        if let Some(value) = value {
            self.member(name, value);
        }
    }

    /// Writes members that the schema does not list, except those with a name in `listed`.
    pub fn unlisted(&mut self, members: &Map<String, Value>, listed: &[&str]) {
        for (name, value) in members {
            if !listed.contains(&name.as_str()) {
                self.entry(name, value);
            }
        }
    }

    fn entry<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if self.failure.is_none() {
            self.failure = self.map.serialize_entry(name, value).err();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::io::{self, Write};

    use crate::{QmpError, decode};

    /// A writer with room for this many bytes, such as a disk that is nearly full.
    struct Room(usize);

    impl Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Members are written without a check after each, and whichever fails is reported at the end.
    #[test]
    fn an_object_that_is_not_written_to_its_end_is_an_error() {
        let text = r#"{"class":"GenericError","desc":"no","data":{"x":[1,2]},"more":true}"#;
        let error: QmpError = decode(text).unwrap();
        for room in 0..text.len() {
            assert!(serde_json::to_writer(Room(room), &error).is_err(), "{room} bytes");
        }
        serde_json::to_writer(Room(text.len()), &error).unwrap();
    }
}
