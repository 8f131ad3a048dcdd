//! Writes the members of an object.

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::{Map, Value};

use super::group::{OptionalValues, Values};

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

    /// Writes the mandatory members, which are first in `names`, and the optional ones that are not
    /// absent.
    #[inline]
    pub fn members<R: Values, O: OptionalValues>(
        &mut self,
        names: &'static [&'static str],
        mandatory: R,
        optional: O,
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

    /// Prepares for [`open`](Self::open), before any member is written.
    pub fn prepare_open(&mut self, members: &Map<String, Value>) {
        self.written = (!members.is_empty()).then(Vec::new);
    }

    /// Writes members that the schema does not list, except those that have been written already.
    pub fn open(&mut self, members: &Map<String, Value>) {
        let written = self.written.take().unwrap_or_default();
        self.unlisted(members, &written);
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
