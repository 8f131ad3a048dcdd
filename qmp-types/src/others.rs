//! The members of an object that its type does not list.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use crate::any::{Any, text_of};
use crate::json;
use crate::printable::Printable;

/// The members of an object that its type does not list, as the server has written them.
///
/// They are kept as JSON text, and become values when they are asked for.
///
/// ```
/// let text = r#"{"class": "GenericError", "desc": "no", "data": {"name": "quit"}}"#;
/// let error: qmp_types::QmpError = qmp_types::decode(text)?;
/// assert_eq!(error.rest.get("data").unwrap()["name"], "quit");
/// # Ok::<(), qmp_types::DecodeError>(())
/// ```
#[derive(Clone, Default)]
pub struct OtherMembers {
    /// The text of an object; empty if there are none.
    text: Box<str>,
}

impl OtherMembers {
    /// Keeps the members of an object in a text that has been checked, without those of these names.
    pub(crate) fn of(object: &str, without: &[&str]) -> Self {
        let mut text = String::new();
        json::members(object, &mut |inside, member| {
            if !without.iter().any(|name| json::is_text(inside, name)) {
                text.push(if text.is_empty() { '{' } else { ',' });
                text.push_str(member);
            }
        });
        if !text.is_empty() {
            text.push('}');
        }
        Self { text: text.into() }
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the text of an object with these members.
    #[must_use]
    pub fn text(&self) -> &str {
        if self.text.is_empty() { "{}" } else { &self.text }
    }

    /// Returns the value of a member. One that is nested more than 128 levels deep is not read.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        let Any(value) = json::from_str(json::member(self.text(), name)?).ok()?;
        Some(value)
    }

    /// Returns all of them. If one is nested more than 128 levels deep, none is read.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        match json::from_str(self.text()) {
            Ok(Any(Value::Object(members))) => members,
            _ => Map::new(),
        }
    }

    /// Adds a member, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let mut members = self.to_map();
        members.insert(name.into(), value.into());
        *self = members.into();
    }
}

impl From<Map<String, Value>> for OtherMembers {
    fn from(members: Map<String, Value>) -> Self {
        if members.is_empty() {
            return Self::default();
        }
        Self { text: text_of(&Value::Object(members)).into() }
    }
}

impl fmt::Debug for OtherMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(self.text()).fmt(f)
    }
}

/// Two are equal if their values are, however they are written.
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
        let others = OtherMembers::of(OBJECT, &["class"]);
        assert_eq!(others.text(), r#"{"a" : 1,"b": {"class": [2, "}"]},"a": "last"}"#);
        assert_eq!(others.get("a"), Some(json!("last")));
        assert_eq!(others.get("b"), Some(json!({"class": [2, "}"]})));
        assert_eq!(others.get("class"), None);
        let none = OtherMembers::of(OBJECT, &["a", "b", "class"]);
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

    /// A value that no program could read is kept, and takes no stack.
    #[test]
    fn deep_members_are_passed_on() {
        let deep = format!(r#"{{"a": {}{}, "b": 1}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let others = OtherMembers::of(&deep, &["b"]);
        assert_eq!(others.text().len(), 200_000 + r#"{"a": }"#.len());
        assert_eq!(others.get("a"), None);
        assert!(others.to_map().is_empty() && !others.is_empty());
    }
}
