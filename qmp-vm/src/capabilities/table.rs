//! The reply to `query-qmp-schema` as text, with an index of its entries.
//!
//! A QEMU describes itself in 250 KiB of text, which take four times as much memory as values, and of
//! which a program asks for a few. So entries are found in the text, and decoded when they are asked
//! for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use qmp_types::qmp::types::SchemaInfo;

/// The text, and where its entries are.
#[derive(Debug, Default)]
pub(super) struct Table {
    text: Box<str>,
    /// Where each entry is, by its name.
    entries: HashMap<Box<str>, Range<usize>>,
}

impl Table {
    /// Makes the index of a text, which must be JSON. Returns what is not as expected.
    pub(super) fn new(text: Box<str>) -> Result<Self, &'static str> {
        let entries = Scan { text: &text, at: 0 }.entries()?;
        Ok(Self { text, entries })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the place of the entry with a name. Each entry has another.
    pub(super) fn find(&self, name: &str) -> Option<Place> {
        self.entries.get(name).cloned().map(Place)
    }

    /// Decodes the entry at a place. An entry of another form than QEMU's does not exist.
    pub(super) fn decode(&self, place: &Place) -> Option<SchemaInfo> {
        qmp_types::decode(self.text.get(place.0.clone())?).ok()
    }
}

/// The place of an entry in the text.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Place(Range<usize>);

/// A scan of an array of objects. The text is known to be JSON: only brackets and strings are looked
/// at.
struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scan<'t> {
    fn entries(mut self) -> Result<HashMap<Box<str>, Range<usize>>, &'static str> {
        if self.next() != Some(b'[') {
            return Err("expected an array");
        }
        let mut entries = HashMap::new();
        loop {
            match self.next() {
                Some(b']') => return Ok(entries),
                Some(b',') => {}
                Some(b'{') => {
                    let start = self.at - 1;
                    let name = self.entry()?;
                    entries.insert(name, start..self.at);
                }
                _ => return Err("expected an object in the array"),
            }
        }
    }

    /// Reads the rest of an entry. Returns its name.
    fn entry(&mut self) -> Result<Box<str>, &'static str> {
        let mut name = None;
        let mut depth = 1_usize;
        let mut is_key = true;
        while depth > 0 {
            match self.next().ok_or("expected the end of an object")? {
                b'"' => {
                    let start = self.at - 1;
                    self.string()?;
                    let may_be_name = depth == 1 && is_key;
                    is_key = false;
                    if may_be_name && unquoted(self.slice(start)).is_some_and(|key| key == "name") {
                        name = Some(self.name()?);
                    }
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b',' => is_key = true,
                _ => {}
            }
        }
        name.ok_or("missing member `name` of an object")
    }

    /// Reads `: "name"`.
    fn name(&mut self) -> Result<Box<str>, &'static str> {
        const ERROR: &str = "expected a string for the member `name`";
        if (self.next(), self.next()) != (Some(b':'), Some(b'"')) {
            return Err(ERROR);
        }
        let start = self.at - 1;
        self.string()?;
        unquoted(self.slice(start)).map(Into::into).ok_or(ERROR)
    }

    /// Returns the next byte that is not white space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
        }
    }

    /// Reads the rest of a string.
    fn string(&mut self) -> Result<(), &'static str> {
        let bytes = self.text.as_bytes();
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            let length = length.ok_or("expected the end of a string")?;
            self.at += length + 1;
            if rest[length] == b'"' {
                return Ok(());
            }
            self.at += 1;
        }
    }

    /// Returns the text from an index up to here.
    fn slice(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// Returns the text that a string stands for.
fn unquoted(string: &str) -> Option<Cow<'_, str>> {
    if string.contains('\\') {
        return serde_json::from_str(string).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(string.trim_matches('"')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table, &'static str> {
        Table::new(text.into())
    }

    #[test]
    fn entries_are_found_wherever_their_names_are() {
        let text = r#" [ {"arg-type":"0","name":"a","ret-type":"[1]","meta-type":"command"},
            {"members": [{"name": "x"}, {"name": "\"}{"}], "values": [], "name" : "1" , "meta-type": "enum"},
            {"n\u0061me":"\u0062\"","element-type":"1","meta-type":"array"},
            {"name":"first","meta-type":"array","name":"last","element-type":"1"} ] "#;
        let table = table(text).unwrap();
        assert_eq!(table.len(), 4);
        for (name, kind) in [("a", "command"), ("1", "enum"), ("b\"", "array"), ("last", "array")] {
            let entry = table.decode(&table.find(name).unwrap()).unwrap();
            let entry = serde_json::to_value(entry).unwrap();
            assert_eq!((&entry["name"], &entry["meta-type"]), (&name.into(), &kind.into()));
        }
        assert_eq!(table.find("x"), None);
        assert_eq!(table.find("first"), None);
        assert_eq!(table.find("name"), None);
    }

    #[test]
    fn what_is_not_a_schema_is_an_error() {
        for (text, error) in [
            ("{}", "expected an array"),
            ("\"x\"", "expected an array"),
            ("[1]", "expected an object in the array"),
            ("[{}]", "missing member `name` of an object"),
            ("[{\"x\": {\"name\": \"y\"}}]", "missing member `name` of an object"),
            ("[{\"x\": \"name\"}]", "missing member `name` of an object"),
            ("[{\"name\": 1}]", "expected a string for the member `name`"),
            // Not JSON, which no reply is.
            ("[{", "expected the end of an object"),
            ("[{\"x", "expected the end of a string"),
            ("[{\"x\\", "expected the end of a string"),
            ("[", "expected an object in the array"),
            ("", "expected an array"),
        ] {
            assert_eq!(table(text).map(|_| ()).unwrap_err(), error, "{text}");
        }
        let entry = table("[{\"name\": \"x\"}]").unwrap();
        assert_eq!(entry.decode(&entry.find("x").unwrap()), None, "the entry lacks its type");
    }
}
