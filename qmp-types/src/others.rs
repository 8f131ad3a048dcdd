//! The members of an object that its type does not list.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use crate::any::{Any, text_of};
use crate::json;
use crate::printable::Printable;

/// The members of an object that its type does not list.
///
/// They are kept as the server has written them, and become values when they are asked for. A member that
/// [`decode`](crate::decode()) cannot read as a value is left out then, also when they are written back: it is
/// nested more than 128 levels deep, takes tens of mebibytes, or contains a number that is out of range or a
/// string with half of a surrogate pair. Of an object of more than 64 KiB, none is kept.
///
/// ```
/// let text = r#"{"class": "GenericError", "desc": "no", "data": {"name": "quit"}}"#;
/// let error: qmp_types::QmpError = qmp_types::decode(text)?;
/// assert_eq!(error.rest.get("data").unwrap()["name"], "quit");
/// # Ok::<(), qmp_types::DecodeError>(())
/// ```
#[derive(Clone, Default)]
pub struct OtherMembers {
    /// The text of an object, or nothing if it would be empty.
    text: Box<str>,
}

impl OtherMembers {
    /// Keeps the members of an object in a text that has been checked, without those of these names.
    pub(crate) fn of(object: &str, without: &[Option<&str>]) -> Self {
        if object.len() > LONGEST {
            return Self::default();
        }
        Self::in_any(object, without)
    }

    fn in_any(object: &str, without: &[Option<&str>]) -> Self {
        let mut text = String::new();
        json::members(object, &mut |member| {
            if !without.iter().flatten().any(|name| json::is_text(member.name, name)) {
                text.push(if text.is_empty() { '{' } else { ',' });
                text.push_str(member.text);
            }
        });
        if !text.is_empty() {
            text.push('}');
        }
        Self { text: text.into() }
    }

    /// Returns whether the object has no other members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the text of an object with these members.
    #[must_use]
    pub fn text(&self) -> &str {
        if self.text.is_empty() { "{}" } else { &self.text }
    }

    /// Returns the value of a member, if it exists.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        value(json::member(self.text(), name)?)
    }

    /// Returns all of them. Of members with the same name, the last one counts.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        let mut map = Map::new();
        json::members(self.text(), &mut |member| {
            if let Some(name) = json::unescaped(member.name) {
                match value(member.value) {
                    Some(value) => map.insert(name.into_owned(), value),
                    None => map.remove(&*name),
                };
            }
        });
        map
    }

    /// Adds a member, or replaces the one of that name. All members are copied: many are better converted
    /// from a map.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let name = name.into();
        let others = Self::in_any(self.text(), &[Some(&name)]);
        let added = Self::from(Map::from_iter([(name, value.into())]));
        *self = match others.text.strip_suffix('}') {
            Some(others) => Self { text: format!("{others},{}", &added.text[1..]).into() },
            None => added,
        };
    }
}

/// The longest object of which members are kept, in bytes.
const LONGEST: usize = 64 << 10;

fn value(text: &str) -> Option<Value> {
    json::from_str(text).ok().map(|Any(value)| value)
}

impl From<Map<String, Value>> for OtherMembers {
    fn from(members: Map<String, Value>) -> Self {
        if members.is_empty() {
            return Self::default();
        }
        Self { text: text_of(&Value::Object(members)).into() }
    }
}

/// Shows the text, of which the end is cut off if it is long.
impl fmt::Debug for OtherMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Printable(self.text()), f)
    }
}

/// Two are equal if their [values](Self::to_map) are, however they are written. Members without a value do
/// not count.
impl PartialEq for OtherMembers {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text || self.to_map() == other.to_map()
    }
}

impl Eq for OtherMembers {}

impl Hash for OtherMembers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_map().hash(state);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use serde_json::json;

    use super::*;

    const OBJECT: &str =
        r#"{ "a" : 1, "cl\u0061ss": "x", "b": {"class": [2, "}"]}, "class": 3, "a": "last" }"#;

    #[test]
    fn members_are_kept_as_they_are_written() {
        let others = OtherMembers::of(OBJECT, &[Some("class")]);
        assert_eq!(others.text(), r#"{"a" : 1,"b": {"class": [2, "}"]},"a": "last"}"#);
        assert_eq!(others.get("a"), Some(json!("last")));
        assert_eq!(others.get("b"), Some(json!({"class": [2, "}"]})));
        assert_eq!(others.get("class"), None);
        let none = OtherMembers::of(OBJECT, &["a", "b", "class"].map(Some));
        assert!(none.is_empty() && none.to_map().is_empty() && none.get("a").is_none());
        assert_eq!(none.text(), "{}");
    }

    #[test]
    fn equal_values_are_equal() {
        let first = OtherMembers::of(r#"{"a": 1, "\u0062": [ ]}"#, &[]);
        let mut second = OtherMembers::default();
        assert_ne!(first, second);
        second.insert("b", json!([]));
        second.insert("a", 2);
        assert_ne!(first, second);
        second.insert("a", 1);
        assert_eq!(first, second);
        let hash = |others: &OtherMembers| {
            let mut hasher = std::hash::DefaultHasher::new();
            others.hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&first), hash(&second));
    }

    /// A member of which no value can be made is kept, takes no stack, and does not affect the others.
    #[test]
    fn other_members_of_those_without_a_value_are_read() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        for bad in [&*deep, "1e999", r#""\ud800""#, r#"["\ud800"]"#] {
            let text = format!(r#"{{"a":1,"bad": {bad} ,"b":[2]}}"#);
            let mut others = OtherMembers::of(&text, &[]);
            assert_eq!(others.text(), text.replace(" ,", ","));
            assert_eq!(others.get("bad"), None);
            assert_eq!(Value::Object(others.to_map()), json!({"a": 1, "b": [2]}));
            others.insert("a", 3);
            assert!(others.text().contains(bad));
            assert_eq!(Value::Object(others.to_map()), json!({"a": 3, "b": [2]}));
        }
        let full = format!(r#"{{"a":{}{}}}"#, "[".repeat(128), "]".repeat(128));
        let full = OtherMembers::of(&full, &[]);
        assert_eq!(full.to_map().get("a"), full.get("a").as_ref());
        assert!(full.get("a").is_some());
    }

    #[test]
    fn the_end_of_a_long_text_is_not_shown() {
        let mut others = OtherMembers::default();
        others.insert("data", "\u{9b}x".repeat(100_000));
        let shown = format!("{others:?}");
        assert!(shown.starts_with("{\"data\":\"") && shown.len() < 1100, "{}", shown.len());
        assert!(!shown.contains('\u{9b}'));
    }
}
