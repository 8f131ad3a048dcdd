//! A reply to `query-qmp-schema`, indexed by name.

use std::collections::HashMap;

use qmp_types::qmp::types::{
    JSONType, SchemaInfo, SchemaInfoMetaType as Meta, SchemaInfoObject, SchemaInfoObjectMember,
};

/// The commands, events and types that a machine has.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    entries: HashMap<String, SchemaInfo>,
    is_live: bool,
}

/// The shape of a type on the wire.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Shape<'s> {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// The value `null`.
    Null,
    /// One of these strings.
    Enumeration(&'s [qmp_types::qmp::types::SchemaInfoEnumMember]),
    /// Members, of which some may depend on the value of another.
    Object(&'s SchemaInfoObject),
    /// A list of elements of this type.
    Array(&'s str),
    /// One of these types, selected by the JSON type of the value.
    Alternate(&'s [qmp_types::qmp::types::SchemaInfoAlternateMember]),
    /// Any value, or a type that the schema does not have.
    Any,
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member<'s> {
    /// The name.
    pub name: &'s str,
    /// The name of its type.
    pub ty: &'s str,
    /// Whether it may be left out.
    pub optional: bool,
    /// Its features, such as `deprecated`.
    pub features: &'s [String],
}

impl Schema {
    /// Returns the schema that a machine has sent.
    #[must_use]
    pub fn live(reply: Vec<SchemaInfo>) -> Self {
        let entries = reply.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        Self { entries, is_live: true }
    }

    /// Returns a schema that is known from elsewhere. The connected machine may have more.
    #[must_use]
    pub fn builtin(introspection: &str) -> Self {
        let reply = qmp_types::decode(introspection).unwrap_or_default();
        Self { is_live: false, ..Self::live(reply) }
    }

    /// Returns whether the machine itself has sent the schema, so that nothing else exists.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Returns the names of all commands, in alphabetical order.
    #[must_use]
    pub fn commands(&self) -> Vec<&str> {
        self.names(|meta| matches!(meta, Meta::Command(_)))
    }

    /// Returns the names of the commands that can be executed out-of-band, in alphabetical order.
    #[must_use]
    pub fn oob_commands(&self) -> Vec<&str> {
        self.names(|meta| matches!(meta, Meta::Command(command) if command.allow_oob == Some(true)))
    }

    /// Returns the names of all events, in alphabetical order.
    #[must_use]
    pub fn events(&self) -> Vec<&str> {
        self.names(|meta| matches!(meta, Meta::Event(_)))
    }

    fn names(&self, wanted: impl Fn(&Meta) -> bool) -> Vec<&str> {
        let found = self.entries.values().filter(|entry| wanted(&entry.meta_type));
        let mut names: Vec<_> = found.map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Returns the type of a command's arguments.
    #[must_use]
    pub fn arguments_of(&self, command: &str) -> Option<&str> {
        match &self.entries.get(command)?.meta_type {
            Meta::Command(command) => Some(&command.arg_type),
            _ => None,
        }
    }

    /// Returns the type of an event's data.
    #[must_use]
    pub fn data_of(&self, event: &str) -> Option<&str> {
        match &self.entries.get(event)?.meta_type {
            Meta::Event(event) => Some(&event.arg_type),
            _ => None,
        }
    }

    /// Returns the features of a command, an event or a type.
    #[must_use]
    pub fn features_of(&self, name: &str) -> &[String] {
        self.entries.get(name).and_then(|entry| entry.features.as_deref()).unwrap_or_default()
    }

    /// Returns the shape of a type.
    #[must_use]
    pub fn shape(&self, ty: &str) -> Shape<'_> {
        let Some(entry) = self.entries.get(ty) else { return Shape::Any };
        match &entry.meta_type {
            Meta::Builtin(builtin) => match builtin.json_type {
                JSONType::String => Shape::String,
                JSONType::Int => Shape::Integer,
                JSONType::Number => Shape::Number,
                JSONType::Boolean => Shape::Boolean,
                JSONType::Null => Shape::Null,
                _ => Shape::Any,
            },
            Meta::Enum(values) => Shape::Enumeration(&values.members),
            Meta::Object(object) => Shape::Object(object),
            Meta::Array(array) => Shape::Array(&array.element_type),
            Meta::Alternate(alternate) => Shape::Alternate(&alternate.members),
            _ => Shape::Any,
        }
    }

    /// Returns the members of an object whose discriminators have these values: its own, and those of
    /// the branches that are selected, also in branches.
    #[must_use]
    pub fn members<'s>(
        &'s self,
        object: &'s SchemaInfoObject,
        value_of: &dyn Fn(&str) -> Option<String>,
    ) -> Vec<Member<'s>> {
        let mut members = Vec::new();
        let mut rest = vec![object];
        // A branch is an object of its own; a schema that contains itself ends here.
        for _ in 0..MAX_NESTING {
            let Some(object) = rest.pop() else { break };
            members.extend(object.members.iter().map(member));
            let Some(tag) = &object.tag else { continue };
            let Some(value) = value_of(tag) else { continue };
            let branches = object.variants.iter().flatten();
            let selected = branches.filter(|branch| branch.case == value);
            for branch in selected {
                if let Shape::Object(object) = self.shape(&branch.type_) {
                    rest.push(object);
                }
            }
        }
        members
    }

    /// Returns the members of all branches, each name once.
    #[must_use]
    pub fn all_members<'s>(&'s self, object: &'s SchemaInfoObject) -> Vec<Member<'s>> {
        let mut members: Vec<Member<'s>> = Vec::new();
        let mut rest = vec![(object, 0)];
        while let Some((object, depth)) = rest.pop() {
            for found in object.members.iter().map(member) {
                if !members.iter().any(|known| known.name == found.name) {
                    members.push(found);
                }
            }
            if depth == MAX_NESTING {
                continue;
            }
            for branch in object.variants.iter().flatten() {
                if let Shape::Object(object) = self.shape(&branch.type_) {
                    rest.push((object, depth + 1));
                }
            }
        }
        members
    }
}

/// The number of branches in branches that are followed. QEMU's schema has two.
const MAX_NESTING: usize = 8;

fn member(member: &SchemaInfoObjectMember) -> Member<'_> {
    Member {
        name: &member.name,
        ty: &member.type_,
        optional: member.default.is_some(),
        features: member.features.as_deref().unwrap_or_default(),
    }
}
