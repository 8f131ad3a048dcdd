//! JSON values whose members have an order, and exceptions from it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::reply;

/// A JSON value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Tree {
    Object(Vec<(String, Tree)>),
    Array(Vec<Tree>),
    /// The text of any other value, or of one that is kept as it is.
    Scalar(String),
}

/// The members of objects that differ from those of an export, by path.
pub(super) type Exceptions = BTreeMap<String, Vec<Kept>>;

/// A member of an object: its name, and its text if the schema does not express it.
pub(super) type Kept = (String, Option<String>);

/// The order in which QEMU sends members. Its objects are hash tables of a fixed size, with a fixed
/// hash.
const ORDER: [&str; 16] = [
    "case",
    "name",
    "default",
    "element-type",
    "json-type",
    "ret-type",
    "tag",
    "allow-oob",
    "type",
    "variants",
    "members",
    "meta-type",
    "arg-type",
    "values",
    "features",
    "",
];

/// The members that refer to types.
const REFERENCES: [&str; 4] = ["arg-type", "ret-type", "element-type", "type"];

impl Tree {
    /// Converts an entry, with names of types on the wire. Only types have a name that is replaced.
    pub(super) fn new(entry: Value, is_type: bool, wires: &HashMap<String, String>) -> Self {
        match entry {
            Value::Object(members) => {
                let rank = |name: &str| ORDER.iter().position(|one| *one == name);
                let mut members: Vec<(String, Value)> = members.into_iter().collect();
                members.sort_by_key(|(name, _)| rank(name));
                let convert = |(name, mut value): (String, Value)| {
                    let refers = REFERENCES.contains(&&*name) || (is_type && name == "name");
                    let wire = value.as_str().filter(|_| refers).and_then(|name| wires.get(name));
                    if let Some(wire) = wire {
                        value = wire.as_str().into();
                    }
                    (name, Self::new(value, false, wires))
                };
                Self::Object(members.into_iter().map(convert).collect())
            }
            Value::Array(elements) => {
                let convert = |element| Self::new(element, false, wires);
                Self::Array(elements.into_iter().map(convert).collect())
            }
            scalar => Self::Scalar(scalar.to_string()),
        }
    }

    /// Returns the member `name`.
    pub(super) fn name(&self) -> Option<String> {
        let Self::Object(members) = self else { return None };
        match &members.iter().find(|(name, _)| name == "name")?.1 {
            Self::Scalar(text) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }

    /// Applies exceptions.
    pub(super) fn except(&mut self, exceptions: &Exceptions, path: &str) {
        match self {
            Self::Object(members) => {
                for (name, value) in &mut *members {
                    value.except(exceptions, &format!("{path}/{name}"));
                }
                if let Some(kept) = exceptions.get(path) {
                    let take = |(name, text): &Kept| {
                        let value = match text {
                            Some(text) => Self::Scalar(text.clone()),
                            None => members.iter().find(|(other, _)| other == name)?.1.clone(),
                        };
                        Some((name.clone(), value))
                    };
                    *members = kept.iter().filter_map(take).collect();
                }
            }
            Self::Array(elements) => {
                for (index, element) in elements.iter_mut().enumerate() {
                    element.except(exceptions, &format!("{path}/{index}"));
                }
            }
            Self::Scalar(_) => {}
        }
    }
}

/// Returns the exceptions with which an entry has this text.
pub(super) fn exceptions(tree: &Tree, text: &RawValue) -> Exceptions {
    let mut exceptions = Exceptions::new();
    if !compare(tree, text.get(), "", &mut exceptions) {
        exceptions.clear();
    }
    exceptions
}

/// Returns whether a value has a text, apart from whitespace and with exceptions, which are added.
fn compare(tree: &Tree, text: &str, path: &str, exceptions: &mut Exceptions) -> bool {
    match tree {
        Tree::Object(members) => {
            let Some(texts) = reply::members(text) else { return false };
            let is_same = |(index, (name, text)): (usize, &(String, &str))| {
                let at_its_place = members.get(index).is_some_and(|(other, _)| other == name);
                let member = members.iter().find(|(other, _)| other == name)?;
                let mut inner = Exceptions::new();
                let path = format!("{path}/{name}");
                compare(&member.1, text, &path, &mut inner).then_some((at_its_place, inner))
            };
            let mut is_regular = members.len() == texts.len();
            let mut kept = Vec::new();
            for (index, member) in texts.iter().enumerate() {
                let (name, text) = member;
                match is_same((index, member)) {
                    Some((at_its_place, inner)) => {
                        is_regular &= at_its_place;
                        exceptions.extend(inner);
                        kept.push((name.clone(), None));
                    }
                    None => {
                        is_regular = false;
                        kept.push((name.clone(), Some((*text).to_owned())));
                    }
                }
            }
            if !is_regular {
                exceptions.insert(path.to_owned(), kept);
            }
            true
        }
        Tree::Array(elements) => {
            let Ok(texts) = serde_json::from_str::<Vec<&RawValue>>(text) else { return false };
            let mut pairs = elements.iter().zip(&texts).enumerate();
            elements.len() == texts.len()
                && pairs.all(|(index, (element, text))| {
                    compare(element, text.get(), &format!("{path}/{index}"), exceptions)
                })
        }
        Tree::Scalar(scalar) => scalar == text,
    }
}
