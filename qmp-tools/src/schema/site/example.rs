//! Examples that are valid by their types.

use qmp_codegen::schema::{
    Alternate, Arguments, Base, Builtin, Feature, Member, Schema, TypeId, TypeKind, TypeRef, Union,
};
use serde_json::{Map, Value, json};

/// The number of steps after which an example is given up: types of a hostile schema can be endless.
const MAX_STEPS: usize = 4000;
/// The depth of the deepest value.
const MAX_DEPTH: usize = 24;

/// Returns an example of the arguments of a command, or the data of an event: the mandatory members.
pub(super) fn members(schema: &Schema, arguments: &Arguments) -> Option<Map<String, Value>> {
    let mut example = Example { schema, steps: 0 };
    match arguments {
        Arguments::Inline(members) => {
            let mut object = Map::new();
            example.add(&mut object, members, 0)?;
            Some(object)
        }
        Arguments::Named { ty, .. } => example.object(*ty, 0),
    }
}

/// Returns an example of a value.
pub(super) fn value(schema: &Schema, ty: &TypeRef) -> Option<Value> {
    Example { schema, steps: 0 }.value(ty, "", 0)
}

/// Returns a command in the syntax of the shell, or none if it cannot be written.
pub(super) fn shell(name: &str, arguments: &Map<String, Value>) -> String {
    let mut line = name.to_owned();
    write(&mut line, "", arguments);
    line
}

fn write(line: &mut String, prefix: &str, members: &Map<String, Value>) {
    for (name, value) in members {
        let key = format!("{prefix}{name}");
        match value {
            Value::Object(inner)
                if !inner.is_empty() && !inner.keys().any(|key| key.contains('.')) =>
            {
                write(line, &format!("{key}."), inner);
            }
            Value::String(text) if is_plain(text) => *line += &format!(" {key}={text}"),
            Value::String(text) if !text.contains(['\'', '\\']) => {
                *line += &format!(" {key}='{text}'")
            }
            other => *line += &format!(" {key}={other}"),
        }
    }
}

/// Returns whether the shell reads a word as this text.
fn is_plain(text: &str) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    !text.is_empty()
        && text.chars().all(is_safe)
        && serde_json::from_str::<Value>(text).is_err()
        && !text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

struct Example<'s> {
    schema: &'s Schema,
    steps: usize,
}

impl Example<'_> {
    fn value(&mut self, ty: &TypeRef, name: &str, depth: usize) -> Option<Value> {
        self.steps += 1;
        if self.steps > MAX_STEPS || depth > MAX_DEPTH {
            return None;
        }
        match ty {
            TypeRef::Builtin(builtin) => Some(scalar(*builtin, name)),
            TypeRef::Array(element) => Some(json!([self.value(element, name, depth + 1)?])),
            TypeRef::Defined(id) => match &self.schema.types.get(id.0 as usize)?.kind {
                TypeKind::Enum(values) => {
                    let current = values.values.iter().find(|value| is_current(&value.features));
                    let value = current.or(values.values.first())?;
                    Some(Value::String(value.name.clone()))
                }
                TypeKind::Alternate(alternate) => self.alternative(alternate, name, depth),
                TypeKind::Struct(_) | TypeKind::Union(_) => {
                    self.object(*id, depth + 1).map(Value::Object)
                }
            },
        }
    }

    /// Returns the simplest alternative.
    fn alternative(&mut self, alternate: &Alternate, name: &str, depth: usize) -> Option<Value> {
        let is_null = |ty: &TypeRef| *ty == TypeRef::Builtin(Builtin::Null);
        let is_scalar = |ty: &TypeRef| matches!(ty, TypeRef::Builtin(_)) && !is_null(ty);
        let all = alternate.alternatives.iter().map(|alternative| &alternative.ty);
        let first = all.clone().find(|ty| is_scalar(ty));
        first.into_iter().chain(all).find_map(|ty| self.value(ty, name, depth + 1))
    }

    fn object(&mut self, id: TypeId, depth: usize) -> Option<Map<String, Value>> {
        let mut object = Map::new();
        self.fill(&mut object, id, depth)?;
        Some(object)
    }

    fn fill(&mut self, object: &mut Map<String, Value>, id: TypeId, depth: usize) -> Option<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS || depth > MAX_DEPTH {
            return None;
        }
        let schema = self.schema;
        match &schema.types.get(id.0 as usize)?.kind {
            TypeKind::Struct(data) => {
                if let Some(base) = data.base {
                    self.fill(object, base, depth + 1)?;
                }
                self.add(object, &data.members, depth)
            }
            TypeKind::Union(union) => {
                match &union.base {
                    Base::Named(base) => self.fill(object, *base, depth + 1)?,
                    Base::Inline(members) => self.add(object, members, depth)?,
                }
                self.branch(object, union, depth)
            }
            TypeKind::Enum(_) | TypeKind::Alternate(_) => None,
        }
    }

    /// Selects a branch that everyone can use, and adds its members.
    fn branch(
        &mut self,
        object: &mut Map<String, Value>,
        union: &Union,
        depth: usize,
    ) -> Option<()> {
        let schema = self.schema;
        let TypeKind::Enum(values) = &schema.types.get(union.discriminator_type.0 as usize)?.kind
        else {
            return None;
        };
        let (mut simple, mut other) = (Vec::new(), Vec::new());
        for value in &values.values {
            let branch = union.branches.iter().find(|branch| branch.name == value.name);
            let conditional = value.condition.is_some()
                || branch.is_some_and(|branch| branch.condition.is_some());
            let plain = is_current(&value.features) && !conditional;
            let list = if plain { &mut simple } else { &mut other };
            list.push((value, branch));
        }
        // Branches with members say more about a union.
        simple.sort_by_key(|(_, branch)| branch.is_none());
        for (value, branch) in simple.into_iter().chain(other) {
            let mut filled = object.clone();
            filled.insert(union.discriminator.clone(), value.name.clone().into());
            let done = match branch {
                Some(branch) => self.fill(&mut filled, branch.ty, depth + 1),
                None => Some(()),
            };
            if done.is_some() {
                *object = filled;
                return Some(());
            }
        }
        None
    }

    fn add(
        &mut self,
        object: &mut Map<String, Value>,
        members: &[Member],
        depth: usize,
    ) -> Option<()> {
        for member in members.iter().filter(|member| !member.optional) {
            let value = self.value(&member.ty, &member.name, depth + 1)?;
            object.insert(member.name.clone(), value);
        }
        Some(())
    }
}

fn is_current(features: &[Feature]) -> bool {
    !features.iter().any(|feature| matches!(&*feature.name, "deprecated" | "unstable"))
}

fn scalar(builtin: Builtin, name: &str) -> Value {
    match builtin {
        Builtin::Str => text(name).into(),
        Builtin::Bool => true.into(),
        Builtin::Null => Value::Null,
        Builtin::Size => (1 << 20).into(),
        Builtin::Any => "text".into(),
        Builtin::QType => "qstring".into(),
        _ => 1.into(),
    }
}

/// Returns a text that such a member often has.
fn text(name: &str) -> &'static str {
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match name {
        "device" | "node-name" | "node" | "target" | "base" | "overlay" => "node0",
        "id" => "id0",
        "path" if name == "path" => "/machine",
        "host" => "127.0.0.1",
        "port" => "4444",
        "command-line" => "info status",
        "uri" => "tcp:127.0.0.1:4444",
        "driver" | "qom-type" | "typename" => "virtio-rng-pci",
        _ if ends(&["file", "filename"]) => "/tmp/file",
        _ if ends(&["id", "name", "device"]) => "name0",
        _ => "text",
    }
}
