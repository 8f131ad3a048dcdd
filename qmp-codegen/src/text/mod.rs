//! Writes a schema as QAPI text.

mod described;
mod doc;
mod layout;
mod order;
mod pragma;

use crate::schema::{
    Alternate, Arguments, Base, Command, Condition, Enum, Event, Feature, Member, Schema, Struct,
    Type, TypeId, TypeKind, TypeRef, Union,
};
use crate::shape;
use described::Described;
use layout::Node;
use order::Item;

/// Writes a schema as a single file, in the order of its definitions and in the layout of QEMU's
/// schemas.
///
/// The text describes the same schema, with its documentation, and with pragmas for all names that
/// need an exception. Only the division into files is lost.
///
/// ```
/// use qmp_codegen::{Root, load, text};
///
/// let schema = "{ 'command': 'park', 'data': {'plate': 'str'} }";
/// let loaded = load([Root::Text { name: "garage.json".into(), text: schema.into() }])?;
/// assert!(text::write(&loaded.schema).contains("{ 'command': 'park',\n"));
/// # Ok::<(), qmp_codegen::LoadError>(())
/// ```
#[must_use]
pub fn write(schema: &Schema) -> String {
    let mut text = String::from("# -*- Mode: Python -*-\n# vim: filetype=python\n");
    let mut part = |part: String| {
        if !part.is_empty() {
            text.push('\n');
            text.push_str(&part);
        }
    };
    let items = order::items(schema);
    part(pragma::pragmas(schema, &items));
    let mut introduced = false;
    for item in items {
        let text = match item {
            Item::Introduction(text) => doc::free_form(text),
            Item::Type(ty) => type_text(schema, ty),
            Item::Command(command) => command_text(schema, command),
            Item::Event(event) => event_text(schema, event),
        };
        // Separate free-form documentation from an undocumented definition, as the two together
        // would be an error.
        if introduced && text.starts_with('{') {
            part(String::from("{ 'pragma': { } }\n"));
        }
        introduced = matches!(item, Item::Introduction(_));
        part(text);
    }
    text
}

fn type_text(schema: &Schema, ty: &Type) -> String {
    let (meta_type, keys) = match &ty.kind {
        TypeKind::Enum(values) => ("enum", enum_keys(values)),
        TypeKind::Struct(object) => ("struct", struct_keys(schema, object)),
        TypeKind::Union(union) => ("union", union_keys(schema, union)),
        TypeKind::Alternate(alternate) => ("alternate", alternate_keys(schema, alternate)),
    };
    text(meta_type, keys, &Described::of_type(ty))
}

fn struct_keys(schema: &Schema, object: &Struct) -> Keys {
    let mut keys = Keys::default();
    if let Some(base) = object.base {
        keys.push("base", Node::text(name(schema, base)));
    }
    keys.push("data", members(schema, &object.members));
    keys
}

fn union_keys(schema: &Schema, union: &Union) -> Keys {
    let mut keys = Keys::default();
    keys.push(
        "base",
        match &union.base {
            Base::Named(base) => Node::text(name(schema, *base)),
            Base::Inline(base) => members(schema, base),
        },
    );
    let branches = union.branches.iter().map(|branch| {
        let ty = Node::text(name(schema, branch.ty));
        (branch.name.clone(), short("type", ty, branch.condition.as_ref(), &[]))
    });
    keys.push("discriminator", Node::text(&union.discriminator));
    keys.push("data", Node::Object(branches.collect()));
    keys
}

fn alternate_keys(schema: &Schema, alternate: &Alternate) -> Keys {
    let mut keys = Keys::default();
    let data = alternate.alternatives.iter().map(|one| {
        let ty = type_ref(schema, &one.ty);
        (one.name.clone(), short("type", ty, one.condition.as_ref(), &[]))
    });
    keys.push("data", Node::Object(data.collect()));
    keys
}

fn enum_keys(values: &Enum) -> Keys {
    let mut keys = Keys::default();
    if let Some(prefix) = &values.prefix {
        keys.push("prefix", Node::text(prefix));
    }
    let data = values.values.iter().map(|value| {
        short("name", Node::text(&value.name), value.condition.as_ref(), &value.features)
    });
    keys.push("data", Node::List(data.collect()));
    keys
}

fn command_text(schema: &Schema, command: &Command) -> String {
    let mut keys = Keys::default();
    keys.arguments(schema, &command.arguments);
    if let Some(returns) = &command.returns {
        keys.push("returns", type_ref(schema, returns));
    }
    let flags = [
        ("success-response", command.success_response, true),
        ("gen", command.generated, true),
        ("allow-oob", command.allow_oob, false),
        ("allow-preconfig", command.allow_preconfig, false),
        ("coroutine", command.coroutine, false),
    ];
    for (key, value, default) in flags {
        if value != default {
            keys.push(key, Node::Bool(value));
        }
    }
    text("command", keys, &Described::of_command(command))
}

fn event_text(schema: &Schema, event: &Event) -> String {
    let mut keys = Keys::default();
    keys.arguments(schema, &event.data);
    text("event", keys, &Described::of_event(event))
}

/// Writes a definition with its documentation.
fn text(meta_type: &str, keys: Keys, described: &Described<'_>) -> String {
    let definition = described.definition;
    let mut all = Keys::default();
    all.push(meta_type, Node::text(&definition.name));
    all.0.extend(keys.0);
    if let Some(condition) = &definition.condition {
        all.push("if", self::condition(condition));
    }
    if !definition.features.is_empty() {
        all.push("features", features(&definition.features));
    }
    doc::definition(described) + &layout::top_level(&all.0)
}

/// The keys of an expression.
#[derive(Default)]
struct Keys(Vec<(String, Node)>);

impl Keys {
    fn push(&mut self, key: &str, value: Node) {
        self.0.push((key.to_owned(), value));
    }

    fn arguments(&mut self, schema: &Schema, arguments: &Arguments) {
        match arguments {
            Arguments::Inline(inline) => {
                if !inline.is_empty() {
                    self.push("data", members(schema, inline));
                }
            }
            Arguments::Named { ty, boxed } => {
                if *boxed {
                    self.push("boxed", Node::Bool(true));
                }
                self.push("data", Node::text(name(schema, *ty)));
            }
        }
    }
}

fn members(schema: &Schema, members: &[Member]) -> Node {
    let member = |member: &Member| {
        let star = if member.optional { "*" } else { "" };
        let ty = type_ref(schema, &member.ty);
        let value = short("type", ty, member.condition.as_ref(), &member.features);
        (format!("{star}{}", member.name), value)
    };
    Node::Object(members.iter().map(member).collect())
}

/// Returns a value in its short form, or an object if it has a condition or features.
fn short(key: &str, value: Node, condition: Option<&Condition>, features: &[Feature]) -> Node {
    if condition.is_none() && features.is_empty() {
        return value;
    }
    let mut keys = Keys::default();
    keys.push(key, value);
    if let Some(condition) = condition {
        keys.push("if", self::condition(condition));
    }
    if !features.is_empty() {
        keys.push("features", self::features(features));
    }
    Node::Object(keys.0)
}

fn features(features: &[Feature]) -> Node {
    let feature = |feature: &Feature| {
        short("name", Node::text(&feature.name), feature.condition.as_ref(), &[])
    };
    Node::List(features.iter().map(feature).collect())
}

fn condition(condition: &Condition) -> Node {
    let all = |all: &[Condition]| Node::List(all.iter().map(self::condition).collect());
    let (key, value) = match condition {
        Condition::Symbol(symbol) => return Node::text(symbol),
        Condition::All(conditions) => ("all", all(conditions)),
        Condition::Any(conditions) => ("any", all(conditions)),
        Condition::Not(condition) => ("not", self::condition(condition)),
    };
    Node::Object(vec![(key.to_owned(), value)])
}

fn type_ref(schema: &Schema, ty: &TypeRef) -> Node {
    match ty {
        TypeRef::Builtin(builtin) => Node::text(shape::builtin_name(*builtin)),
        TypeRef::Defined(id) => Node::text(name(schema, *id)),
        TypeRef::Array(element) => Node::List(vec![type_ref(schema, element)]),
    }
}

fn name(schema: &Schema, id: TypeId) -> &str {
    &shape::type_of(schema, id).definition.name
}
