//! Examples that are valid by their types.

use serde_json::{Map, Value, json};

use super::{Branch, Definition, Feature, Kind, Member, Reference};

/// The number of steps after which an example is given up: types of a hostile schema can be endless.
const MAX_STEPS: usize = 4000;
/// The depth of the deepest value.
const MAX_DEPTH: usize = 24;

/// Returns an example of the arguments of a command, or the data of an event: the mandatory members.
/// `None` if the types are endless.
#[must_use]
pub fn members(reference: &Reference, definition: &Definition) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    Example { reference, steps: 0 }.fill(&mut object, definition, 0)?;
    Some(object)
}

/// Returns an example of a value of a type. `None` if the type is endless.
#[must_use]
pub fn value(reference: &Reference, ty: &str) -> Option<Value> {
    Example { reference, steps: 0 }.value(ty, "", 0)
}

struct Example<'r> {
    reference: &'r Reference,
    steps: usize,
}

impl Example<'_> {
    fn value(&mut self, ty: &str, name: &str, depth: usize) -> Option<Value> {
        self.step(depth)?;
        if let Some(element) = ty.strip_prefix('[').and_then(|ty| ty.strip_suffix(']')) {
            return Some(json!([self.value(element, name, depth + 1)?]));
        }
        if let Some(value) = scalar(ty, name) {
            return Some(value);
        }
        let definition = self.reference.find(ty)?;
        match definition.kind {
            Kind::Enumeration => {
                let values = &definition.values;
                let current = values.iter().find(|value| is_current(&value.features));
                Some(Value::String(current.or(values.first())?.name.clone()))
            }
            Kind::Alternate => self.alternative(&definition.branches, name, depth),
            _ => {
                let mut object = Map::new();
                self.fill(&mut object, &definition, depth + 1)?;
                Some(Value::Object(object))
            }
        }
    }

    fn step(&mut self, depth: usize) -> Option<()> {
        self.steps += 1;
        (self.steps <= MAX_STEPS && depth <= MAX_DEPTH).then_some(())
    }

    /// Returns the simplest alternative.
    fn alternative(&mut self, branches: &[Branch], name: &str, depth: usize) -> Option<Value> {
        let is_simple = |ty: &&str| *ty != "null" && scalar(ty, name).is_some();
        let all = branches.iter().map(|branch| branch.ty.as_str());
        let first = all.clone().find(is_simple);
        first.into_iter().chain(all).find_map(|ty| self.value(ty, name, depth + 1))
    }

    fn fill(
        &mut self,
        object: &mut Map<String, Value>,
        definition: &Definition,
        depth: usize,
    ) -> Option<()> {
        self.step(depth)?;
        for member in definition.members.iter().filter(|member| !member.optional) {
            let value = self.value(&member.ty, &member.name, depth + 1)?;
            object.insert(member.name.clone(), value);
        }
        let tag = definition.discriminator.as_ref();
        let tag = tag.and_then(|tag| definition.members.iter().find(|member| member.name == *tag));
        tag.map_or(Some(()), |tag| self.branch(object, tag, &definition.branches, depth))
    }

    /// Selects a branch that everyone can use, and adds its members.
    fn branch(
        &mut self,
        object: &mut Map<String, Value>,
        tag: &Member,
        branches: &[Branch],
        depth: usize,
    ) -> Option<()> {
        let values = self.reference.find(&tag.ty)?.values;
        let with_branch = values
            .iter()
            .map(|value| (value, branches.iter().find(|branch| branch.name == value.name)));
        let mut choices: Vec<_> = with_branch.collect();
        // Values for everyone first; among these, branches with members say more about a union.
        choices.sort_by_key(|(value, branch)| {
            let conditional = value.condition.is_some()
                || branch.is_some_and(|branch| branch.condition.is_some());
            match is_current(&value.features) && !conditional {
                true => u8::from(branch.is_none()),
                false => 2,
            }
        });
        choices.into_iter().find_map(|(value, branch)| {
            let mut filled = object.clone();
            filled.insert(tag.name.clone(), value.name.clone().into());
            if let Some(branch) = branch {
                let definition = self.reference.find(&branch.ty)?;
                self.fill(&mut filled, &definition, depth + 1)?;
            }
            *object = filled;
            Some(())
        })
    }
}

fn is_current(features: &[Feature]) -> bool {
    !features.iter().any(|feature| matches!(&*feature.name, "deprecated" | "unstable"))
}

/// Returns a value of a builtin type.
fn scalar(ty: &str, name: &str) -> Option<Value> {
    Some(match ty {
        "str" => text(name).into(),
        "bool" => true.into(),
        "null" => Value::Null,
        "size" => (1 << 20).into(),
        "any" => "text".into(),
        "QType" => "qstring".into(),
        "number" | "int" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32"
        | "uint64" => 1.into(),
        _ => return None,
    })
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
