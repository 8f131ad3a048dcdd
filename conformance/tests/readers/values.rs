//! Makes values of the types of a schema.

use qmp_codegen::schema::{
    Arguments, Base, Builtin, Member, Schema, Type, TypeId, TypeKind, TypeRef, Union,
};
use serde_json::{Map, Value, json};

/// A repeatable sequence of numbers.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from((self.0 >> 33) % sides as u64).unwrap()
    }

    pub(crate) fn pick<'t, T>(&mut self, all: &'t [T]) -> Option<&'t T> {
        if all.is_empty() { None } else { all.get(self.roll(all.len())) }
    }
}

/// From this depth on, optional members are left out and arrays are empty.
const DEEP: usize = 5;

/// Makes values of a schema's types.
#[derive(Debug)]
pub(crate) struct Values<'s>(&'s Schema);

impl<'s> Values<'s> {
    pub(crate) fn new(schema: &'s Schema) -> Self {
        Self(schema)
    }

    /// Returns a value of a type.
    pub(crate) fn of(&self, ty: &TypeRef, dice: &mut Dice) -> Value {
        self.value(ty, 0, dice)
    }

    /// Returns the arguments of a command, or the data of an event.
    pub(crate) fn arguments(&self, arguments: &Arguments, dice: &mut Dice) -> Value {
        match arguments {
            Arguments::Inline(members) => {
                let mut object = Map::new();
                self.add_members(members, &mut object, 0, dice);
                Value::Object(object)
            }
            Arguments::Named { ty, .. } => self.of(&TypeRef::Defined(*ty), dice),
        }
    }

    fn get(&self, id: TypeId) -> &'s Type {
        &self.0.types[id.0 as usize]
    }

    fn value(&self, ty: &TypeRef, depth: usize, dice: &mut Dice) -> Value {
        match ty {
            TypeRef::Builtin(builtin) => self.builtin(*builtin, dice),
            TypeRef::Array(element) => {
                let count = if depth < DEEP { dice.roll(4) } else { 0 };
                (0..count).map(|_| self.value(element, depth + 1, dice)).collect()
            }
            TypeRef::Defined(id) => match &self.get(*id).kind {
                TypeKind::Enum(data) => match dice.pick(&data.values) {
                    Some(value) if dice.roll(10) > 0 => json!(value.name),
                    _ => json!("of-the-future"),
                },
                TypeKind::Alternate(data) => match dice.pick(&data.alternatives) {
                    Some(alternative) => self.value(&alternative.ty, depth + 1, dice),
                    None => Value::Null,
                },
                TypeKind::Struct(_) | TypeKind::Union(_) => {
                    let mut object = Map::new();
                    self.add(*id, &mut object, depth, dice);
                    Value::Object(object)
                }
            },
        }
    }

    fn builtin(&self, builtin: Builtin, dice: &mut Dice) -> Value {
        let natural = [0, 1, 100, 127];
        match builtin {
            Builtin::Str | Builtin::QType => {
                json!(dice.pick(&["", "disk0", "a \"quoted\" name", "ä\n\u{1f600}", "0123456789"]))
            }
            Builtin::Number => json!(dice.pick(&[0.0, 0.5, -3.25])),
            Builtin::Int | Builtin::Int64 => json!(dice.pick(&[0, -1, i64::MIN, i64::MAX])),
            Builtin::Int8 | Builtin::Int16 | Builtin::Int32 => json!(dice.pick(&[0, -1, 127])),
            Builtin::Uint8 | Builtin::Uint16 | Builtin::Uint32 => json!(dice.pick(&natural)),
            Builtin::Uint64 | Builtin::Size => json!(dice.pick(&[0, 1, u64::MAX])),
            Builtin::Bool => json!(dice.roll(2) == 0),
            Builtin::Null => Value::Null,
            Builtin::Any => json!({"any": [1, {"thing": null}], "": "x"}),
        }
    }

    fn add_members(
        &self,
        members: &[Member],
        object: &mut Map<String, Value>,
        depth: usize,
        dice: &mut Dice,
    ) {
        for member in members {
            let is_left_out = member.optional && (depth >= DEEP || dice.roll(3) == 0);
            if !is_left_out && !object.contains_key(&member.name) {
                let value = self.value(&member.ty, depth + 1, dice);
                object.insert(member.name.clone(), value);
            }
        }
    }

    /// Adds the members of a struct or of a union.
    fn add(&self, id: TypeId, object: &mut Map<String, Value>, depth: usize, dice: &mut Dice) {
        match &self.get(id).kind {
            TypeKind::Struct(data) => {
                data.base.iter().for_each(|base| self.add(*base, object, depth, dice));
                self.add_members(&data.members, object, depth, dice);
            }
            TypeKind::Union(data) => self.add_union(data, object, depth, dice),
            TypeKind::Enum(_) | TypeKind::Alternate(_) => {}
        }
    }

    fn add_union(
        &self,
        union: &Union,
        object: &mut Map<String, Value>,
        depth: usize,
        dice: &mut Dice,
    ) {
        // A type may contain itself in most of its branches: deep down, one without members is taken.
        let TypeKind::Enum(values) = &self.get(union.discriminator_type).kind else { return };
        let branch = |name: &str| union.branches.iter().find(|branch| branch.name == name);
        let empty = values.values.iter().find(|value| branch(&value.name).is_none());
        let value = match (empty, dice.pick(&values.values)) {
            (Some(empty), _) if depth >= DEEP => &empty.name,
            (_, Some(value)) if depth < DEEP => &value.name,
            _ => "of-the-future",
        };
        object.insert(union.discriminator.clone(), json!(value));
        match &union.base {
            Base::Named(base) => self.add(*base, object, depth, dice),
            Base::Inline(members) => self.add_members(members, object, depth, dice),
        }
        if let Some(branch) = branch(value) {
            self.add(branch.ty, object, depth, dice);
        }
    }
}
