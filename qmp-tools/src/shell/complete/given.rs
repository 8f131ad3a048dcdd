//! The arguments that are given already.

use crate::shell::syntax::literal::{self, Kind, Literal};
use crate::shell::syntax::words::Word;

/// Dotted keys with their values as text; objects and lists have an empty one.
#[derive(Debug, Default)]
pub(super) struct Given {
    keys: Vec<(String, String)>,
}

impl Given {
    /// Reads words of the form `key=value`; others are skipped.
    pub(super) fn new(text: &str, words: &[Word<'_>]) -> Self {
        let mut given = Self::default();
        for word in words {
            let Some((key, _, value)) = word.argument() else { continue };
            if value.text.starts_with(['{', '[']) {
                if let Ok(literal) = literal::whole(text, value.span()) {
                    given.literal(key.text, &literal);
                    continue;
                }
            }
            let quoted = literal::unquoted(text, value.span()).and_then(Result::ok);
            given.add(key.text, quoted.as_deref().unwrap_or(value.text));
        }
        given
    }

    pub(super) fn add(&mut self, key: &str, value: &str) {
        self.keys.push((key.to_owned(), value.to_owned()));
    }

    fn literal(&mut self, key: &str, literal: &Literal) {
        match &literal.kind {
            Kind::Object(members) => {
                self.add(key, "");
                for (name, _, value) in members {
                    self.literal(&format!("{key}.{name}"), value);
                }
            }
            Kind::String(text) | Kind::Word(text) | Kind::Number(text) => self.add(key, text),
            Kind::Boolean(value) => self.add(key, &value.to_string()),
            _ => self.add(key, ""),
        }
    }

    /// Returns the value of a key.
    pub(super) fn value(&self, path: &[&str], name: &str) -> Option<String> {
        let key = joined(path, name);
        self.keys.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone())
    }

    /// Returns whether a key has a value.
    pub(super) fn has(&self, path: &[&str], name: &str) -> bool {
        self.value(path, name).is_some()
    }

    /// Returns whether a key has members.
    pub(super) fn has_members(&self, path: &[&str], name: &str) -> bool {
        let prefix = joined(path, name) + ".";
        self.keys.iter().any(|(key, _)| key.starts_with(&prefix))
    }
}

fn joined(path: &[&str], name: &str) -> String {
    let mut key = path.join(".");
    if !path.is_empty() {
        key.push('.');
    }
    key + name
}
