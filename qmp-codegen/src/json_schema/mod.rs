//! JSON Schema: describes the messages of a schema for programs in other languages, and for editors.
//!
//! The dialect is draft 2020-12. These are the `$defs` of the document:
//!
//! | name | describes |
//! | --- | --- |
//! | `message:command`, `message:reply`, `message:event`, `message:greeting` | what is sent as one JSON value; the document itself is any of them |
//! | `NAME:arguments`, `NAME:returns` | a command |
//! | `NAME:data` | an event |
//! | `NAME` | a type, with only the members and values that the schema has |
//! | `NAME:open` | a type, with any others as well |
//! | `NAME:part` | the members of a type that others extend |
//!
//! Arguments never have unknown members or values, except for the members of a command whose schema
//! says `'gen': false`. Whether replies and events have them depends on the [`Role`].
//!
//! Documentation is in `title` and `description`, as Markdown. `deprecated` marks what has the feature
//! of this name, and `writeOnly` what is secret. Where JSON Schema has no keyword, there is one that
//! validators ignore: `x-since` is the release as written in the schema, `x-unstable` is `true` for
//! what has the feature `unstable`, `x-features` lists the other features, and `x-if` is the
//! condition on the server's build, in the notation of the schema.

mod annotations;
mod messages;
mod types;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::schema::{Schema, TypeId};
use crate::shape;

/// The program whose messages are described.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Role {
    /// A client: what it receives can be from a later release than the schema, and have members and
    /// values that the schema lacks.
    #[default]
    Client,
    /// A server: what it sends has only the members and values that the schema has.
    Server,
}

/// Returns a JSON Schema of all messages, and of every type, command, and event.
///
/// It has everything that is in the schema, with its condition, since a client cannot know how its
/// server was built. For a certain server, resolve the conditions beforehand:
/// `export(&schema.resolved(&|symbol| symbol == "CONFIG_LINUX"), role)`.
///
/// ```
/// use qmp_codegen::json_schema::{Role, export};
/// use qmp_codegen::{Root, load};
///
/// let text = "{ 'command': 'park', 'data': { 'plate': 'str' } }";
/// let loaded = load([Root::Text { name: "garage.json".into(), text: text.into() }])?;
/// let schema = export(&loaded.schema, Role::Server);
/// assert!(schema.to_string().contains("\"plate\""));
/// # Ok::<(), qmp_codegen::LoadError>(())
/// ```
#[must_use]
pub fn export(schema: &Schema, role: Role) -> Value {
    let mut export = Export {
        schema,
        received: if role == Role::Client { Form::Open } else { Form::Closed },
        parts: shape::parts(schema),
        used: HashSet::new(),
        queue: Vec::new(),
        definitions: Map::new(),
    };
    let messages = export.messages();
    export.types();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Messages",
        "description": "The messages of a protocol that is described by a QAPI schema.",
        "anyOf": messages,
        "$defs": export.definitions,
    })
}

/// The members of a JSON object.
type Object = Map<String, Value>;

/// The ways in which a type is described.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Form {
    /// Without members and values that the schema lacks.
    Closed,
    /// With any others as well.
    Open,
    /// A part of a closed type, which has others.
    Part,
}

impl Form {
    /// Returns the form of a base or a branch of a type in this form.
    fn part(self) -> Self {
        if self == Self::Open { Self::Open } else { Self::Part }
    }

    /// Returns the form of a member of a type in this form.
    fn member(self) -> Self {
        if self == Self::Open { Self::Open } else { Self::Closed }
    }
}

struct Export<'a> {
    schema: &'a Schema,
    /// The form of replies and events.
    received: Form,
    /// The types that others extend.
    parts: HashSet<TypeId>,
    /// The types that are described, in each form.
    used: HashSet<(TypeId, Form)>,
    /// Those of them that are yet to be described.
    queue: Vec<(TypeId, Form)>,
    definitions: Object,
}

impl Export<'_> {
    /// Describes the types that are used, and those that nothing uses.
    fn types(&mut self) {
        self.queued_types();
        for id in shape::type_ids(self.schema) {
            if [Form::Closed, Form::Open].iter().all(|form| !self.used.contains(&(id, *form))) {
                self.reference(id, Form::Closed);
                self.queued_types();
            }
        }
    }

    fn queued_types(&mut self) {
        while let Some((id, form)) = self.queue.pop() {
            let definition = self.describe(id, form);
            self.definitions.insert(self.name(id, form), definition.into());
        }
    }

    fn name(&self, id: TypeId, form: Form) -> String {
        let suffix = match form {
            Form::Closed => "",
            Form::Open => ":open",
            Form::Part => ":part",
        };
        format!("{}{suffix}", shape::type_of(self.schema, id).definition.name)
    }
}

/// Returns a reference to one of the `$defs`, whose name needs no escapes.
fn reference(name: &str) -> Object {
    object([("$ref", format!("#/$defs/{name}").into())])
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Object {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns a schema that holds if a member has a value.
fn selects(member: &str, value: &str) -> Value {
    json!({"properties": {member: {"const": value}}, "required": [member]})
}
