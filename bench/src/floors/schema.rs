//! The lower bound of decoding a schema into types: one pass by hand, for these types and this reply.
//!
//! Members may come in any order, and unknown ones are skipped. Strings are checked, and their escapes
//! replaced, except in names of members. An error is only `None`; depth and memory have no limit.

use qmp_client::qmp::types::{
    JSONType, SchemaInfo, SchemaInfoAlternate, SchemaInfoAlternateMember, SchemaInfoArray,
    SchemaInfoBuiltin, SchemaInfoCommand, SchemaInfoEnum, SchemaInfoEnumMember, SchemaInfoEvent,
    SchemaInfoMetaType, SchemaInfoObject, SchemaInfoObjectMember, SchemaInfoObjectVariant,
};

use serde_json::Value;

/// Decodes a whole reply.
pub fn decode(text: &str) -> Option<Vec<SchemaInfo>> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0 };
    let entries = reader.list(entry)?;
    reader.peek().is_none().then_some(entries)
}

/// An entry, with the members of all kinds.
#[derive(Default)]
struct Entry {
    name: Option<String>,
    features: Option<Vec<String>>,
    json_type: Option<JSONType>,
    values: Option<Vec<String>>,
    element_type: Option<String>,
    tag: Option<String>,
    variants: Option<Vec<SchemaInfoObjectVariant>>,
    arg_type: Option<String>,
    ret_type: Option<String>,
    allow_oob: Option<bool>,
    members: Members,
}

/// The member `members`, whose type depends on the kind of the entry.
#[derive(Default)]
enum Members {
    #[default]
    None,
    Enum(Vec<SchemaInfoEnumMember>),
    Object(Vec<SchemaInfoObjectMember>),
    Alternate(Vec<SchemaInfoAlternateMember>),
}

fn entry(reader: &mut Reader<'_>) -> Option<SchemaInfo> {
    let mut entry = Entry::default();
    let mut kind = None;
    reader.object(|reader, name| {
        match name {
            "name" => entry.name = Some(reader.string()?),
            "meta-type" => kind = Some(reader.plain()?),
            "features" => entry.features = Some(reader.list(Reader::string)?),
            "json-type" => entry.json_type = Some(reader.plain()?.parse().ok()?),
            "values" => entry.values = Some(reader.list(Reader::string)?),
            "element-type" => entry.element_type = Some(reader.string()?),
            "tag" => entry.tag = Some(reader.string()?),
            "variants" => entry.variants = Some(reader.list(variant)?),
            "arg-type" => entry.arg_type = Some(reader.string()?),
            "ret-type" => entry.ret_type = Some(reader.string()?),
            "allow-oob" => entry.allow_oob = Some(reader.boolean()?),
            "members" => {
                let kind = kind.or_else(|| reader.kind_ahead())?;
                entry.members = match kind {
                    "enum" => Members::Enum(reader.list(enum_member)?),
                    "object" => Members::Object(reader.list(object_member)?),
                    "alternate" => Members::Alternate(reader.list(alternate_member)?),
                    _ => return reader.skip(),
                };
            }
            _ => return reader.skip(),
        }
        Some(())
    })?;
    entry.finish(kind?)
}

impl Entry {
    #[allow(deprecated)]
    fn finish(self, kind: &str) -> Option<SchemaInfo> {
        let kind: SchemaInfoMetaType = match (kind, self.members) {
            ("builtin", _) => SchemaInfoBuiltin::new(self.json_type?).into(),
            ("enum", Members::Enum(members)) => SchemaInfoEnum::new(members, self.values?).into(),
            ("array", _) => SchemaInfoArray::new(self.element_type?).into(),
            ("object", Members::Object(members)) => {
                let mut object = SchemaInfoObject::new(members);
                object.tag = self.tag;
                object.variants = self.variants;
                object.into()
            }
            ("alternate", Members::Alternate(members)) => SchemaInfoAlternate::new(members).into(),
            ("command", _) => {
                let mut command = SchemaInfoCommand::new(self.arg_type?, self.ret_type?);
                command.allow_oob = self.allow_oob;
                command.into()
            }
            ("event", _) => SchemaInfoEvent::new(self.arg_type?).into(),
            _ => return None,
        };
        let mut entry = SchemaInfo::new(self.name?, kind);
        entry.features = self.features;
        Some(entry)
    }
}

fn enum_member(reader: &mut Reader<'_>) -> Option<SchemaInfoEnumMember> {
    let (mut name, mut features) = (None, None);
    reader.object(|reader, key| {
        match key {
            "name" => name = Some(reader.string()?),
            "features" => features = Some(reader.list(Reader::string)?),
            _ => return reader.skip(),
        }
        Some(())
    })?;
    let mut member = SchemaInfoEnumMember::new(name?);
    member.features = features;
    Some(member)
}

fn object_member(reader: &mut Reader<'_>) -> Option<SchemaInfoObjectMember> {
    let (mut name, mut ty, mut default, mut features) = (None, None, None, None);
    reader.object(|reader, key| {
        match key {
            "name" => name = Some(reader.string()?),
            "type" => ty = Some(reader.string()?),
            "default" => default = Some(reader.value()?),
            "features" => features = Some(reader.list(Reader::string)?),
            _ => return reader.skip(),
        }
        Some(())
    })?;
    let mut member = SchemaInfoObjectMember::new(name?, ty?);
    member.default = default;
    member.features = features;
    Some(member)
}

fn alternate_member(reader: &mut Reader<'_>) -> Option<SchemaInfoAlternateMember> {
    let mut ty = None;
    reader.object(|reader, key| {
        match key {
            "type" => ty = Some(reader.string()?),
            _ => return reader.skip(),
        }
        Some(())
    })?;
    Some(SchemaInfoAlternateMember::new(ty?))
}

fn variant(reader: &mut Reader<'_>) -> Option<SchemaInfoObjectVariant> {
    let (mut case, mut ty) = (None, None);
    reader.object(|reader, key| {
        match key {
            "case" => case = Some(reader.string()?),
            "type" => ty = Some(reader.string()?),
            _ => return reader.skip(),
        }
        Some(())
    })?;
    Some(SchemaInfoObjectVariant::new(case?, ty?))
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Reader<'t> {
    /// Returns the next byte that is not white space.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_after_space(),
        }
    }

    #[inline(never)]
    fn peek_after_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Option<()> {
        if self.bytes.get(self.at) != Some(&byte) && self.peek_after_space()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    #[inline(always)]
    fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = self.plain()?;
            self.take(b':')?;
            member(self, name)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(())
    }

    #[inline(always)]
    fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.take(b'[')?;
        let mut elements = Vec::new();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(elements);
        }
        loop {
            elements.push(element(self)?);
            match self.peek()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(elements)
    }

    /// Takes a string without escapes.
    #[inline(always)]
    fn plain(&mut self) -> Option<&'t str> {
        self.take(b'"')?;
        let end = self.at + qmp_types::plain_end(self.bytes.get(self.at..)?, 0);
        if *self.bytes.get(end)? != b'"' {
            return None;
        }
        let plain = self.text.get(self.at..end)?;
        self.at = end + 1;
        Some(plain)
    }

    #[inline(always)]
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        match self.plain() {
            Some(plain) => Some(plain.to_owned()),
            None => self.escaped(start),
        }
    }

    #[cold]
    fn escaped(&mut self, start: usize) -> Option<String> {
        self.at = start;
        match self.value()? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn boolean(&mut self) -> Option<bool> {
        self.peek()?;
        let rest = self.bytes.get(self.at..)?;
        let value = rest.starts_with(b"true");
        if !value && !rest.starts_with(b"false") {
            return None;
        }
        self.at += if value { 4 } else { 5 };
        Some(value)
    }

    /// Takes any value.
    fn value(&mut self) -> Option<Value> {
        self.peek()?;
        if self.bytes.get(self.at..)?.starts_with(b"null") {
            self.at += 4;
            return Some(Value::Null);
        }
        let text = self.text.get(self.at..)?;
        let mut values = serde_json::Deserializer::from_str(text).into_iter();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }

    #[cold]
    fn skip(&mut self) -> Option<()> {
        self.value().map(|_| ())
    }

    /// Returns the kind of the entry whose members come next, before its kind.
    fn kind_ahead(&self) -> Option<&'t str> {
        const NAME: &[u8; 11] = b"\"meta-type\"";
        let mut at = self.at;
        // The hyphen is rare: few places are compared.
        loop {
            at += self.text.get(at + 5..)?.find('-')?;
            if self.bytes.get(at..at + NAME.len())? == NAME {
                let mut ahead = Reader { at: at + NAME.len(), ..*self };
                // It may also be a value.
                if ahead.take(b':').is_some() {
                    return ahead.plain();
                }
            }
            at += 1;
        }
    }
}
