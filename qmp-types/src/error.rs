//! Errors, as servers report them.

use std::fmt;

use serde::de::{Deserializer, MapAccess};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::enumeration;
use crate::json;
use crate::lenient::AnyText;
use crate::object::{self, Members, Object, Writer};
use crate::others::OtherMembers;
use crate::printable::Excerpt;

/// The class of an error (QMP specification, section "Error").
///
/// QEMU has classes of their own only for errors that clients must distinguish.
#[derive(Clone, Debug, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Every error without a class of its own.
    GenericError,
    /// The command does not exist, or not in the current state of the virtual machine.
    CommandNotFound,
    /// The device exists but is not active.
    DeviceNotActive,
    /// The device does not exist.
    DeviceNotFound,
    /// The host's KVM lacks a capability.
    KvmMissingCap,
    /// A class that this crate does not know.
    Unknown(Box<str>),
}

crate::enumeration! { ErrorClass = "QapiErrorClass" {
    GenericError: "GenericError",
    CommandNotFound: "CommandNotFound",
    DeviceNotActive: "DeviceNotActive",
    DeviceNotFound: "DeviceNotFound",
    KvmMissingCap: "KVMMissingCap",
} }

/// The error of a command, as the server reported it.
///
/// `Display` shows the server's description, followed by the class in parentheses unless that is
/// [`ErrorClass::GenericError`]. Both are fit for a terminal: control characters and invisible ones
/// are escaped, and long texts are cut off.
///
/// Any value decodes, so that no reply is lost with its error. A class that is missing or not a
/// string counts as [`ErrorClass::GenericError`], and the description of an error without one is
/// its JSON text.
#[derive(Clone, PartialEq)]
pub struct QmpError {
    /// The class, by which programs distinguish errors; nearly always [`ErrorClass::GenericError`].
    pub class: ErrorClass,
    /// The description, for people to read. It may change between releases: never parse it. Of a
    /// long one, the first 64 KiB are kept.
    pub desc: String,
    /// All other members of the error, and those above whose values are not strings. They are
    /// written back.
    pub rest: OtherMembers,
}

impl QmpError {
    /// Creates an error of class [`ErrorClass::GenericError`].
    pub fn generic(desc: impl Into<String>) -> Self {
        Self::new(ErrorClass::GenericError, desc)
    }

    /// Creates an error.
    pub fn new(class: ErrorClass, desc: impl Into<String>) -> Self {
        Self { class, desc: desc.into(), rest: OtherMembers::default() }
    }

    /// Reads an error of any form from its text.
    pub(crate) fn from_text(text: &str) -> Self {
        let is_object = text.starts_with('{');
        let member = |name| if is_object { json::member(text, name) } else { None };
        let class = member("class").and_then(json::string);
        let desc = member("desc");
        let has_desc = desc.is_some_and(|desc| desc.starts_with('"'));
        // All of an error without a legible description is shown.
        let desc = desc.unwrap_or(text);
        let desc = json::string(desc).unwrap_or(desc.into());
        let mut error = Self::generic(match beginning(&desc) {
            whole if whole.len() == desc.len() => desc.into_owned(),
            part => format!("{part}…"),
        });
        if is_object {
            let read = [class.is_some().then_some("class"), has_desc.then_some("desc")];
            error.rest = OtherMembers::of(text, &read);
        }
        if let Some(class) = class {
            error.class = enumeration::parse(beginning(&class));
        }
        error
    }
}

/// The longest class and the longest description that are kept, in bytes.
const LONGEST: usize = 64 << 10;

/// Returns the beginning of a text, which is all of it if it is not too long.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Shows the other members as JSON text, of which the end of a long one is cut off.
impl fmt::Debug for QmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, desc, rest } = self;
        let mut shown = f.debug_struct("QmpError");
        shown.field("class", class).field("desc", desc).field("rest", rest).finish()
    }
}

impl fmt::Display for QmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Excerpt(&*self.desc, MAX_DESC).fmt(f)?;
        match &self.class {
            ErrorClass::GenericError => Ok(()),
            class => write!(f, " ({})", Excerpt(class.as_str(), MAX_CLASS)),
        }
    }
}

/// How much of a description an error shows, in bytes.
const MAX_DESC: usize = 900;
/// How much of a class an error shows, in bytes; the longest that QEMU has takes 15.
const MAX_CLASS: usize = 60;

impl std::error::Error for QmpError {}

impl Object for QmpError {
    const NAME: &'static str = "Error";
    const MEMBERS: &'static [&'static str] = &["class", "desc"];

    fn read<'de, A: MapAccess<'de>>(members: &mut Members<'_, 'de, A>) -> Result<Self, A::Error> {
        let mut all = Map::new();
        while members.next_or_keep(&[], &mut all)?.is_some() {}
        Ok(Self::from_text(OtherMembers::from(all).text()))
    }

    fn write<M: SerializeMap>(&self, out: &mut Writer<'_, M>) {
        let rest = self.rest.to_map();
        if !rest.contains_key("class") {
            out.member("class", &self.class);
        }
        if !rest.contains_key("desc") {
            out.member("desc", &self.desc);
        }
        out.unlisted(&rest, &[]);
    }
}

impl Serialize for QmpError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for QmpError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AnyText::deserialize(deserializer).map(|AnyText(text)| Self::from_text(&text))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::{ServerMessage, decode};

    /// Rust prints `Debug` of an error that `main` returns.
    #[test]
    fn debug_is_fit_for_a_terminal() {
        let error: QmpError =
            decode("{\"desc\":\"x\u{9b}\",\"k\u{7f}\":\"\u{9b}31m\u{202e}\\u001b\"}").unwrap();
        let shown = format!("{error:?}");
        assert!(!shown.contains(crate::Printable::escapes), "{shown:?}");
        assert!(shown.contains("31m"), "{shown}");
    }

    /// An error of a megabyte lost all that it said if its description was not found.
    #[test]
    fn a_long_error_always_says_something() {
        let long = "b".repeat(70_000);
        for desc in [r#""desc":"a\ud800","#, r#""d\u0065s":"hello","#, ""] {
            let text = format!(r#"{{"error": {{"class":"DeviceNotFound",{desc}"x":"{long}"}}}}"#);
            let ServerMessage::Error { error, .. } = decode(&text).unwrap() else { panic!() };
            assert_eq!(error.class, ErrorClass::DeviceNotFound);
            assert!(error.desc.starts_with(r#"{"class":"DeviceNotFound""#), "{:.40}", error.desc);
        }
    }

    /// The names of members were compared as they are written, in long errors alone.
    #[test]
    fn names_of_members_may_have_escapes() {
        for rest in ["", &"b".repeat(70_000)] {
            let text = format!(
                r#"{{"\u0065rror": {{"class":"First","\u0063lass":"DeviceNotFound","de\u0073c":"no","x":"{rest}"}}}}"#
            );
            let ServerMessage::Error { error, .. } = decode(&text).unwrap() else { panic!() };
            assert_eq!(error.class, ErrorClass::DeviceNotFound, "{}", rest.len());
            assert_eq!(error.desc, "no", "{}", rest.len());
        }
    }

    #[test]
    fn an_error_of_any_form_answers_its_command() {
        for (error, class, desc) in [
            (r#"{"class":"GenericError","desc":"no"}"#, ErrorClass::GenericError, "no"),
            (r#"{"class":7,"desc":"no"}"#, ErrorClass::GenericError, "no"),
            (r#"{"class":"DeviceNotFound","desc":["a"]}"#, ErrorClass::DeviceNotFound, r#"["a"]"#),
        ] {
            let text = format!(r#"{{"error": {error}, "id": {{"a": [1]}}}}"#);
            let ServerMessage::Error { id, error: decoded } = decode(&text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(id.unwrap().get(), r#"{"a": [1]}"#);
            assert_eq!((&decoded.class, decoded.desc.as_str()), (&class, desc), "{text}");
            assert_eq!(serde_json::to_value(&decoded).unwrap().to_string(), error);
        }
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for (error, desc) in [
            (&*deep, &*deep),
            (r#"{"desc": "no"}"#, "no"),
            (r#"{"code": 1}"#, r#"{"code": 1}"#),
            (r#""no""#, "no"),
            ("null", "null"),
            ("[1]", "[1]"),
        ] {
            let text = format!(r#"{{"error": {error}}}"#);
            let ServerMessage::Error { error, .. } = decode(&text).unwrap() else {
                panic!("{text}")
            };
            assert_eq!((error.class, error.desc.as_str()), (ErrorClass::GenericError, desc));
        }
    }

    /// A member of which no value can be made does not affect the others.
    #[test]
    fn other_members_are_kept_beside_those_without_a_value() {
        for bad in [r#""\ud800""#, r#"["\ud800"]"#, "1e999"] {
            let text = format!(
                r#"{{"error": {{"class": "DeviceNotFound", "desc": "no", "bad": {bad}, "data": {{"x": 1}}}}}}"#
            );
            let ServerMessage::Error { error, .. } = decode(&text).unwrap() else { panic!() };
            assert_eq!((&error.class, &*error.desc), (&ErrorClass::DeviceNotFound, "no"));
            let written = r#"{"class":"DeviceNotFound","data":{"x":1},"desc":"no"}"#;
            assert_eq!(serde_json::to_value(&error).unwrap().to_string(), written);
        }
    }

    #[test]
    fn an_error_keeps_unknown_members() {
        let text = r#"{"id": 7, "error": {"class": "NewClass", "desc": "no", "data": {"x": 1}}}"#;
        let ServerMessage::Error { id, error } = decode(text).unwrap() else { panic!("{text}") };
        assert_eq!(id.unwrap().get(), "7");
        assert_eq!(error.class, ErrorClass::Unknown("NewClass".into()));
        assert_eq!(error.rest.get("data").unwrap()["x"], 1);
        assert_eq!(serde_json::to_value(&error).unwrap()["class"], "NewClass");
    }
}
