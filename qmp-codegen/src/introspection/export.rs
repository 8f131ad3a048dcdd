//! Exports a schema as introspection.
//!
//! The order and numbers are those of QEMU's generator, so that its reply can be compared entry by
//! entry. Commands and events come first, in the order of the schema's files, and then types in the
//! order in which they are reached. Numbers are assigned before conditions are resolved.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::schema::{
    Alternate, Arguments, Builtin, Command, Condition, Definition, Enum, Event, Feature, Member,
    Schema, TypeId, TypeKind, TypeRef,
};
use crate::shape::{self, Kind};

/// The names of types in exported introspection.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Naming {
    /// Numbers, as in the replies of QEMU, whose type names are not part of the interface.
    #[default]
    Masked,
    /// The names of the schema. A type without a name is `q_empty` if it has no members, and
    /// `q_obj_NAME-arg` for the arguments of a command or the data of an event.
    Unmasked,
}

/// Returns the reply of a server with this schema to `query-qmp-schema`, an array of `SchemaInfo`
/// objects.
///
/// `holds` tells which configuration symbols are set in the server. With `&|_| true`, everything in
/// the schema is shown except what depends on a symbol not being set.
///
/// ```
/// use qmp_codegen::introspection::{Naming, export};
/// use qmp_codegen::{Root, load};
///
/// let text = "{ 'command': 'park', 'data': { 'plate': 'str' } }";
/// let loaded = load([Root::Text { name: "garage.json".into(), text: text.into() }])?;
/// let reply = export(&loaded.schema, Naming::Masked, &|_| true);
/// assert_eq!(reply[0]["name"], "park");
/// # Ok::<(), qmp_codegen::LoadError>(())
/// ```
#[must_use]
pub fn export(schema: &Schema, naming: Naming, holds: &dyn Fn(&str) -> bool) -> Value {
    export_where(schema, naming, &|condition| condition.holds(holds))
}

/// Returns introspection of everything whose condition satisfies a predicate.
pub(crate) fn export_where(
    schema: &Schema,
    naming: Naming,
    exists: &dyn Fn(&Condition) -> bool,
) -> Value {
    let mut export = Export::new(schema, naming, exists);
    export.roots();
    export.queued();
    Value::Array(export.entries)
}

/// Returns the unmasked entries that a server with this schema has, and then the entries of all types
/// that nothing refers to, of arrays of all types, and of all built-in types.
pub(super) fn everything(
    schema: &Schema,
    holds: &dyn Fn(&str) -> bool,
) -> (Vec<Value>, Vec<Value>) {
    use Builtin::{Any, Bool, Int, Null, Number, QType, Str};
    let builtins = [Str, Number, Int, Bool, Null, Any, QType].map(TypeRef::Builtin);
    let defined = shape::type_ids(schema).map(TypeRef::Defined);
    let elements: Vec<TypeRef> = builtins.into_iter().chain(defined).collect();
    let exists = |condition: &Condition| condition.holds(holds);
    let mut export = Export::new(schema, Naming::Unmasked, &exists);
    export.roots();
    export.queued();
    let reached = std::mem::take(&mut export.entries);
    export.use_entry(Entry::Empty);
    for element in &elements {
        export.use_type(element);
        export.use_entry(Entry::Array(element));
    }
    export.queued();
    (reached, export.entries)
}

/// The unmasked name of the object without members.
pub(super) const EMPTY: &str = "q_empty";

/// Returns the unmasked name of the members of a command or event.
pub(super) fn arguments_name(definition: &str) -> String {
    format!("q_obj_{definition}-arg")
}

/// Returns the name of an array.
pub(super) fn array_name(element: &str) -> String {
    format!("[{element}]")
}

#[derive(Clone, Copy)]
enum Root<'a> {
    Command(&'a Command),
    Event(&'a Event),
}

impl<'a> Root<'a> {
    fn definition(self) -> &'a Definition {
        match self {
            Self::Command(command) => &command.definition,
            Self::Event(event) => &event.definition,
        }
    }
}

/// Returns commands and events in the order of files, and of definitions within a file. Without a
/// known location, commands come first.
fn roots(schema: &Schema) -> Vec<Root<'_>> {
    let mut roots: Vec<Root<'_>> = schema.commands.iter().map(Root::Command).collect();
    roots.extend(schema.events.iter().map(Root::Event));
    roots.sort_by_key(|root| {
        let definition = root.definition();
        (definition.module, definition.span.map(|span| span.start))
    });
    roots
}

/// A type that has its own entry.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Entry<'a> {
    /// The object without members.
    Empty,
    Builtin(Builtin),
    Defined(TypeId),
    /// Inline members of a command or event, as an index of [`Export::arguments`].
    Arguments(usize),
    /// An array of this type.
    Array(&'a TypeRef),
}

struct Export<'a> {
    schema: &'a Schema,
    naming: Naming,
    exists: &'a dyn Fn(&Condition) -> bool,
    /// The names of the types reached.
    names: HashMap<Entry<'a>, String>,
    /// The number of names that are numbers.
    masked: usize,
    /// Types in the order in which they are reached.
    queue: Vec<Entry<'a>>,
    /// The number of types in the queue that have been written.
    written: usize,
    arguments: Vec<(&'a Definition, &'a [Member])>,
    entries: Vec<Value>,
}

impl<'a> Export<'a> {
    fn new(schema: &'a Schema, naming: Naming, exists: &'a dyn Fn(&Condition) -> bool) -> Self {
        Self {
            schema,
            naming,
            exists,
            names: HashMap::new(),
            masked: 0,
            queue: Vec::new(),
            written: 0,
            arguments: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn roots(&mut self) {
        for root in roots(self.schema) {
            self.root(root);
        }
    }

    /// Writes the types in the queue, which can append others to it.
    fn queued(&mut self) {
        while let Some(&ty) = self.queue.get(self.written) {
            self.ty(ty);
            self.written += 1;
        }
    }

    fn root(&mut self, root: Root<'a>) {
        let definition = root.definition();
        let mut info = Map::new();
        match root {
            Root::Command(command) => {
                info.insert("arg-type".into(), self.use_arguments(definition, &command.arguments));
                let returns = match &command.returns {
                    Some(ty) => self.use_type(ty),
                    None => self.use_entry(Entry::Empty),
                };
                info.insert("ret-type".into(), returns);
                if command.allow_oob {
                    info.insert("allow-oob".into(), true.into());
                }
                self.entry(&definition.name, "command", info, Some(definition));
            }
            Root::Event(event) => {
                info.insert("arg-type".into(), self.use_arguments(definition, &event.data));
                self.entry(&definition.name, "event", info, Some(definition));
            }
        }
    }

    fn ty(&mut self, entry: Entry<'a>) {
        let name = self.names.get(&entry).cloned().unwrap_or_default();
        match entry {
            Entry::Empty => self.entry(&name, "object", object([("members", json!([]))]), None),
            Entry::Builtin(Builtin::QType) => self.entry(&name, "enum", json_types(), None),
            Entry::Builtin(builtin) => {
                let info = object([("json-type", json_type(builtin).into())]);
                self.entry(&name, "builtin", info, None);
            }
            Entry::Array(element) => {
                let info = object([("element-type", self.use_type(element))]);
                if self.exists(self.condition_of(element)) {
                    self.entry(&name, "array", info, None);
                }
            }
            Entry::Arguments(index) => {
                let (definition, members) = self.arguments[index];
                let info = object([("members", self.members(members))]);
                if self.exists(definition.condition.as_ref()) {
                    self.entry(&name, "object", info, None);
                }
            }
            Entry::Defined(id) => self.defined(&name, id),
        }
    }

    fn defined(&mut self, name: &str, id: TypeId) {
        let ty = shape::type_of(self.schema, id);
        let (meta_type, info) = match &ty.kind {
            TypeKind::Enum(values) => ("enum", self.values(values)),
            TypeKind::Alternate(alternate) => ("alternate", self.alternatives(alternate)),
            TypeKind::Struct(_) | TypeKind::Union(_) => ("object", self.object(id)),
        };
        self.entry(name, meta_type, info, Some(&ty.definition));
    }

    fn values(&self, values: &Enum) -> Map<String, Value> {
        let existing = || values.values.iter().filter(|v| self.exists(v.condition.as_ref()));
        let members = existing().map(|value| {
            let mut info = object([("name", value.name.as_str().into())]);
            self.add_features(&mut info, &value.features);
            Value::Object(info)
        });
        // The older form without features, which QEMU still sends.
        let names = existing().map(|value| value.name.as_str());
        object([("members", members.collect()), ("values", names.collect())])
    }

    fn alternatives(&mut self, alternate: &'a Alternate) -> Map<String, Value> {
        let mut members = Vec::new();
        for alternative in &alternate.alternatives {
            let info = object([("type", self.use_type(&alternative.ty))]);
            if self.exists(alternative.condition.as_ref()) {
                members.push(Value::Object(info));
            }
        }
        object([("members", members.into())])
    }

    fn object(&mut self, id: TypeId) -> Map<String, Value> {
        let schema = self.schema;
        let mut info = object([("members", self.members(shape::common_members(schema, id)))]);
        let TypeKind::Union(union) = &shape::type_of(schema, id).kind else {
            return info;
        };
        info.insert("tag".into(), union.discriminator.as_str().into());
        let mut variants = Vec::new();
        for case in shape::cases(schema, union) {
            let ty = self.use_entry(case.ty.map_or(Entry::Empty, Entry::Defined));
            if self.exists(case.condition) {
                variants.push(json!({"case": case.name, "type": ty}));
            }
        }
        info.insert("variants".into(), variants.into());
        info
    }

    fn members(&mut self, members: impl IntoIterator<Item = &'a Member>) -> Value {
        let mut infos = Vec::new();
        for member in members {
            let mut info = object([
                ("name", member.name.as_str().into()),
                ("type", self.use_type(&member.ty)),
            ]);
            if member.optional {
                info.insert("default".into(), Value::Null);
            }
            self.add_features(&mut info, &member.features);
            if self.exists(member.condition.as_ref()) {
                infos.push(Value::Object(info));
            }
        }
        infos.into()
    }

    /// Adds an entry, unless its definition depends on a condition that does not hold.
    fn entry(
        &mut self,
        name: &str,
        meta_type: &str,
        mut info: Map<String, Value>,
        definition: Option<&Definition>,
    ) {
        info.insert("name".into(), name.into());
        info.insert("meta-type".into(), meta_type.into());
        if let Some(definition) = definition {
            if !self.exists(definition.condition.as_ref()) {
                return;
            }
            self.add_features(&mut info, &definition.features);
        }
        self.entries.push(info.into());
    }

    /// Adds the features that exist. As in QEMU, the list is empty if none of several exist.
    fn add_features(&self, info: &mut Map<String, Value>, features: &[Feature]) {
        if !features.is_empty() {
            let existing = features.iter().filter(|f| self.exists(f.condition.as_ref()));
            info.insert("features".into(), existing.map(|f| f.name.as_str()).collect());
        }
    }

    fn use_arguments(&mut self, definition: &'a Definition, arguments: &'a Arguments) -> Value {
        match arguments {
            Arguments::Named { ty, .. } => self.use_entry(Entry::Defined(*ty)),
            Arguments::Inline(members) if members.is_empty() => self.use_entry(Entry::Empty),
            Arguments::Inline(members) => {
                self.arguments.push((definition, members));
                self.use_entry(Entry::Arguments(self.arguments.len() - 1))
            }
        }
    }

    fn use_type(&mut self, ty: &'a TypeRef) -> Value {
        match ty {
            TypeRef::Builtin(builtin) => self.use_entry(Entry::Builtin(wire_builtin(*builtin))),
            TypeRef::Defined(id) => self.use_entry(Entry::Defined(*id)),
            TypeRef::Array(element) => self.use_entry(Entry::Array(wire_element(element))),
        }
    }

    /// Returns the name of a type, and queues the type if this is its first use.
    fn use_entry(&mut self, entry: Entry<'a>) -> Value {
        if let Some(name) = self.names.get(&entry) {
            return name.as_str().into();
        }
        self.queue.push(entry);
        let name = match entry {
            Entry::Builtin(builtin) if builtin != Builtin::QType => {
                shape::builtin_name(builtin).to_owned()
            }
            // The element's type is reached right after that of the array.
            Entry::Array(element) => match self.use_type(element) {
                Value::String(element) => array_name(&element),
                _ => array_name(""),
            },
            Entry::Empty | Entry::Builtin(_) | Entry::Defined(_) | Entry::Arguments(_) => {
                self.own_name(entry)
            }
        };
        self.names.insert(entry, name.clone());
        name.into()
    }

    fn own_name(&mut self, entry: Entry<'a>) -> String {
        if self.naming == Naming::Masked {
            self.masked += 1;
            return (self.masked - 1).to_string();
        }
        match entry {
            Entry::Defined(id) => shape::type_of(self.schema, id).definition.name.clone(),
            Entry::Arguments(index) => arguments_name(&self.arguments[index].0.name),
            Entry::Builtin(builtin) => shape::builtin_name(builtin).to_owned(),
            Entry::Empty | Entry::Array(_) => String::from(EMPTY),
        }
    }

    fn condition_of(&self, ty: &TypeRef) -> Option<&'a Condition> {
        match shape::innermost(ty).0 {
            TypeRef::Defined(id) => shape::type_of(self.schema, *id).definition.condition.as_ref(),
            _ => None,
        }
    }

    fn exists(&self, condition: Option<&Condition>) -> bool {
        condition.is_none_or(self.exists)
    }
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn json_type(builtin: Builtin) -> &'static str {
    match shape::builtin_kind(builtin) {
        Kind::Integer => "int",
        Kind::Number => "number",
        Kind::String => "string",
        Kind::Boolean => "boolean",
        Kind::Null => "null",
        Kind::Any => "value",
    }
}

/// Returns the values of `QType`, an enumeration that is built into QEMU.
fn json_types() -> Map<String, Value> {
    let members = shape::QTYPE_VALUES.iter().map(|name| json!({"name": name})).collect();
    object([("members", members), ("values", shape::QTYPE_VALUES.into_iter().collect())])
}

/// Maps all integer types to `int`, since they are the same on the wire.
fn wire_builtin(builtin: Builtin) -> Builtin {
    match shape::builtin_kind(builtin) {
        Kind::Integer => Builtin::Int,
        _ => builtin,
    }
}

fn wire_element(element: &TypeRef) -> &TypeRef {
    match element {
        TypeRef::Builtin(builtin) if wire_builtin(*builtin) == Builtin::Int => {
            &TypeRef::Builtin(Builtin::Int)
        }
        _ => element,
    }
}
