//! Exact introspection: imports a reply so that it can be exported byte for byte.
//!
//! A schema says what a reply means. A [`Record`] keeps what is left: the numbers and the order of
//! types, types that nothing refers to, and the layout of the text. For replies of QEMU, that is all.
//! For others, it also has exceptions: members in another order, and members that the schema cannot
//! express, which are kept as they are.

mod json;
mod layout;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{ImportError, ImportErrorKind};
use super::export;
use super::import::Import;
use super::names::Names;
use super::naming::Unreachable;
use super::raw::{Body, Index, Raw};
use super::reply;
use crate::schema::Schema;
use crate::shape;
use layout::Layout;
use tree::{Exceptions, Tree};

pub use json::RecordError;

/// The parts of a reply to `query-qmp-schema` that its schema does not express; see
/// [`import_exact`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    entries: Vec<Slot>,
    /// The names on the wire of the types that nothing refers to.
    unreachable: BTreeSet<String>,
    /// The differences between entries and their export, by name on the wire.
    exceptions: BTreeMap<String, Exceptions>,
    layout: Layout,
}

/// An entry of a reply.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Slot {
    /// A command or an event.
    Root(String),
    /// A type.
    Type {
        /// Its name in the reply, which is a number in those of QEMU.
        wire: String,
        /// Its name in an unmasked export.
        name: String,
    },
    /// An entry that the schema cannot express, such as a second name of a built-in type.
    Verbatim {
        /// Its name in the reply.
        wire: String,
        /// Its text.
        text: String,
    },
}

impl Slot {
    fn wire(&self) -> &str {
        match self {
            Self::Root(wire) | Self::Type { wire, .. } | Self::Verbatim { wire, .. } => wire,
        }
    }
}

/// Reads a reply to `query-qmp-schema` as [`import`](super::import()) does, with everything that is
/// needed to export it byte for byte.
///
/// The schema also has the types that nothing refers to. If it is unchanged, [`Record::export`]
/// returns the same text: `text` itself, or the array in it if `text` is a whole reply. If it has
/// been changed, what is left keeps its number and its place.
///
/// ```
/// use qmp_codegen::introspection::{Names, import_exact};
///
/// let reply = "[{\"meta-type\": \"command\", \"name\": \"park\", \"arg-type\": \"0\", \
///              \"ret-type\": \"0\"}, {\"meta-type\": \"object\", \"name\": \"0\", \"members\": []}]";
/// let (schema, record) = import_exact(reply, &Names::none())?;
/// assert_eq!(record.export(&schema, &|_| true), reply);
/// # Ok::<(), qmp_codegen::introspection::ImportError>(())
/// ```
///
/// # Errors
///
/// Returns the errors of [`import`](super::import()). Also returns an error if the text cannot be
/// exported byte for byte, because its whitespace is irregular, or a name of a member is repeated or
/// has escapes.
pub fn import_exact(text: &str, names: &Names) -> Result<(Schema, Record), ImportError> {
    let raw = Raw::parse(text)?;
    let import = Import::new(&raw, names, Unreachable::Kept);
    let schema = import.schema()?;
    let (array, texts) = (reply::array(text)?, reply::entries(text)?);
    let (reached, unreached) = export::everything(&schema, &|_| true);
    let exported = reached.iter().chain(&unreached).map(key).collect();
    let mut record = record(&raw, &import, &texts, exported);
    record.layout = Layout::detect(array, &texts);
    let trees = record.trees(&schema, &|_| true);
    for (tree, text) in trees.iter().zip(&texts) {
        let exceptions = tree::exceptions(tree, text);
        if let Some(wire) = tree.name().filter(|_| !exceptions.is_empty()) {
            record.exceptions.insert(wire, exceptions);
        }
    }
    let again = record.export(&schema, &|_| true);
    if again == array {
        return Ok((schema, record));
    }
    let same = again.bytes().zip(array.bytes()).take_while(|(a, b)| a == b).count();
    let end = |text: &&&RawValue| reply::offset(text.get(), array) + text.get().len();
    let entry = texts.iter().take_while(|text| end(text) <= same).count();
    Err(ImportError::new(format!("[{entry}]"), ImportErrorKind::Layout))
}

/// Records the entries of a reply. An export of the schema has entries with these keys.
fn record(
    raw: &Raw,
    import: &Import<'_>,
    texts: &[&RawValue],
    mut exported: HashSet<Key>,
) -> Record {
    let reachable = raw.reachable();
    let (mut entries, mut unreachable) = (Vec::new(), BTreeSet::new());
    for (index, name) in unmasked(raw, import).into_iter().enumerate() {
        let wire = raw.entries[index].name.clone();
        if !reachable.contains(&index) {
            unreachable.insert(wire.clone());
        }
        entries.push(match name {
            None => Slot::Root(wire),
            Some(name) if exported.remove(&(true, name.clone())) => Slot::Type { wire, name },
            Some(_) => Slot::Verbatim { wire, text: texts[index].get().to_owned() },
        });
    }
    Record { entries, unreachable, exceptions: BTreeMap::new(), layout: Layout::default() }
}

/// Returns the name of each entry in an unmasked export; `None` for commands and events.
fn unmasked(raw: &Raw, import: &Import<'_>) -> Vec<Option<String>> {
    let mut arguments = HashMap::new();
    for entry in &raw.entries {
        if let Body::Command { arguments: ty, .. } | Body::Event { data: ty } = &entry.body {
            arguments.insert(*ty, export::arguments_name(&entry.name));
        }
    }
    let element = |index: Index| match (raw.body(index), import.name(index)) {
        (Body::Builtin(builtin), _) => shape::builtin_name(*builtin).to_owned(),
        (_, Some(name)) => name.to_owned(),
        _ if import.is_empty_object(index) => String::from(export::EMPTY),
        _ => arguments.get(&index).cloned().unwrap_or_default(),
    };
    let name = |index: Index| match raw.body(index) {
        Body::Command { .. } | Body::Event { .. } => None,
        Body::Array(ty) => Some(export::array_name(&element(*ty))),
        _ => Some(element(index)),
    };
    (0..raw.entries.len()).map(name).collect()
}

/// Names an entry: whether it is a type, and its name in an unmasked export.
type Key = (bool, String);

fn key(entry: &Value) -> Key {
    let is_root = matches!(entry["meta-type"].as_str(), Some("command" | "event"));
    (!is_root, entry["name"].as_str().unwrap_or_default().to_owned())
}

impl Record {
    /// Exports a schema as introspection, with everything that has been recorded.
    ///
    /// Commands, events, and types that the record lacks come last, and such types have the numbers
    /// that follow. Types that nothing refers to any more are left out. `holds` is as in
    /// [`export`](super::export()).
    #[must_use]
    pub fn export(&self, schema: &Schema, holds: &dyn Fn(&str) -> bool) -> String {
        self.layout.write(&self.trees(schema, holds))
    }

    /// Returns whether the schema expresses all of the reply, in the order of members that QEMU
    /// has.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        let mut slots = self.entries.iter();
        self.exceptions.is_empty() && !slots.any(|slot| matches!(slot, Slot::Verbatim { .. }))
    }

    fn trees(&self, schema: &Schema, holds: &dyn Fn(&str) -> bool) -> Vec<Tree> {
        let (reached, unreached) = export::everything(schema, holds);
        let order: Vec<Key> = reached.iter().map(key).collect();
        let wires = self.wires(&reached);
        let mut kept: HashMap<Key, Value> =
            reached.into_iter().map(|entry| (key(&entry), entry)).collect();
        let is_kept = |(is_type, name): &Key| {
            *is_type && wires.get(name).is_some_and(|wire| self.unreachable.contains(wire))
        };
        let others = unreached.into_iter().map(|entry| (key(&entry), entry));
        kept.extend(others.filter(|(key, _)| is_kept(key)));

        let mut trees = Vec::new();
        let mut take = |key: &Key| {
            let entry = kept.remove(key);
            entry.map(|entry| self.tree(entry, key.0, &wires))
        };
        for slot in &self.entries {
            trees.extend(match slot {
                Slot::Root(name) => take(&(false, name.clone())),
                Slot::Type { name, .. } => take(&(true, name.clone())),
                Slot::Verbatim { text, .. } => Some(Tree::Scalar(text.clone())),
            });
        }
        trees.extend(order.iter().filter_map(take));
        trees
    }

    fn tree(&self, entry: Value, is_type: bool, wires: &HashMap<String, String>) -> Tree {
        let mut tree = Tree::new(entry, is_type, wires);
        if let Some(exceptions) = tree.name().and_then(|name| self.exceptions.get(&name)) {
            tree.except(exceptions, "");
        }
        tree
    }

    /// Returns the names on the wire by those in an unmasked export. New types get the next numbers.
    fn wires(&self, reached: &[Value]) -> HashMap<String, String> {
        let mut wires: HashMap<String, String> = HashMap::new();
        for slot in &self.entries {
            if let Slot::Type { wire, name } = slot {
                wires.insert(name.clone(), wire.clone());
            }
        }
        let numbers = self.entries.iter().filter_map(|slot| slot.wire().parse::<u64>().ok());
        let mut next = numbers.max();
        let (mut arrays, mut numbered) = (Vec::new(), HashMap::new());
        for entry in reached {
            let (is_type, name) = key(entry);
            match entry["meta-type"].as_str() {
                _ if !is_type || wires.contains_key(&name) => {}
                Some("array") => arrays.push(name),
                Some("builtin") | None => {}
                Some(_) => {
                    next = next.and_then(|number| number.checked_add(1));
                    numbered.extend(next.map(|number| (name, number.to_string())));
                }
            }
        }
        wires.extend(numbered);
        for array in arrays {
            let element = array.trim_start_matches('[').trim_end_matches(']');
            if let Some(element) = wires.get(element) {
                let wire = export::array_name(element);
                wires.insert(array, wire);
            }
        }
        wires
    }
}
