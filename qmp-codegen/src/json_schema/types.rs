//! Types.

use serde_json::{Number, Value, json};

use super::{Export, Form, Object, annotations, object, reference, selects};
use crate::schema::{Alternate, Builtin, Enum, Member, TypeId, TypeKind, TypeRef};
use crate::shape::{self, Kind};

impl Export<'_> {
    /// Describes a type.
    pub(super) fn describe(&mut self, id: TypeId, form: Form) -> Object {
        let ty = shape::type_of(self.schema, id);
        let mut out = match &ty.kind {
            TypeKind::Enum(values) => enumeration(values, form),
            TypeKind::Alternate(alternate) => self.alternate(alternate, form),
            TypeKind::Struct(_) | TypeKind::Union(_) => self.object(id, form),
        };
        if form != Form::Part {
            annotations::definition(&mut out, &ty.definition, None);
        }
        out
    }

    /// Describes the value of a member.
    pub(super) fn type_ref(&mut self, ty: &TypeRef, form: Form) -> Object {
        let (ty, depth) = shape::innermost(ty);
        let innermost = match ty {
            TypeRef::Builtin(builtin) => self::builtin(*builtin),
            TypeRef::Defined(id) => self.reference(*id, form),
            TypeRef::Array(_) => Object::new(),
        };
        (0..depth).fold(innermost, |element, _| {
            object([("type", "array".into()), ("items", element.into())])
        })
    }

    /// Refers to a type, which is described later if this is its first use.
    pub(super) fn reference(&mut self, id: TypeId, form: Form) -> Object {
        if self.used.insert((id, form)) {
            self.queue.push((id, form));
        }
        reference(&self.name(id, form))
    }

    /// Describes an object with these members, and possibly others.
    pub(super) fn members(&mut self, members: &[Member], form: Form) -> Object {
        let (mut properties, mut required) = (Object::new(), Vec::new());
        for member in members {
            let mut property = self.type_ref(&member.ty, form.member());
            annotations::member(&mut property, member);
            properties.insert(member.name.clone(), property.into());
            if !member.optional {
                required.push(member.name.as_str());
            }
        }
        let properties = Value::from(properties);
        object([
            ("type", "object".into()),
            ("properties", properties),
            ("required", required.into()),
        ])
    }

    fn object(&mut self, id: TypeId, form: Form) -> Object {
        if form == Form::Closed && self.parts.contains(&id) {
            let mut out = self.reference(id, Form::Part);
            close(&mut out, form);
            return out;
        }
        let Some(object) = shape::written(self.schema, id) else { return Object::new() };
        let mut out = self.members(object.members, form);
        let mut all = Vec::new();
        if let Some(base) = object.base {
            all.push(self.reference(base, form.part()).into());
        }
        for (union, branch) in object.branches() {
            let then = self.reference(branch.ty, form.part());
            all.push(json!({"if": selects(&union.discriminator, &branch.name), "then": then}));
        }
        if !all.is_empty() {
            out.insert("allOf".into(), all.into());
        }
        close(&mut out, form);
        out
    }

    fn alternate(&mut self, alternate: &Alternate, form: Form) -> Object {
        let mut any = Vec::new();
        for alternative in &alternate.alternatives {
            let mut out = self.type_ref(&alternative.ty, form);
            annotations::alternative(&mut out, alternative);
            any.push(Value::Object(out));
        }
        // The list must not be empty.
        let any = if any.is_empty() { json!([false]) } else { any.into() };
        object([("anyOf", any)])
    }
}

/// Excludes members that have not been described.
pub(super) fn close(out: &mut Object, form: Form) {
    if form == Form::Closed {
        let is_composed = out.contains_key("$ref") || out.contains_key("allOf");
        let keyword = if is_composed { "unevaluatedProperties" } else { "additionalProperties" };
        out.insert(keyword.into(), false.into());
    }
}

fn enumeration(values: &Enum, form: Form) -> Object {
    let (mut names, mut constants) = (Vec::new(), Vec::new());
    for value in &values.values {
        let mut constant = object([("const", value.name.as_str().into())]);
        annotations::value(&mut constant, value);
        names.push(value.name.as_str());
        constants.push(constant);
    }
    let mut any = vec![json!({"enum": names})];
    if constants.iter().any(|constant| constant.len() > 1) {
        any = constants.into_iter().map(Value::Object).collect();
    }
    any.extend((form == Form::Open).then_some(json!(true)));
    object([("type", "string".into()), ("anyOf", any.into())])
}

fn builtin(builtin: Builtin) -> Object {
    let mut out = Object::new();
    if builtin != Builtin::Any {
        out.insert("type".into(), shape::builtin_json_type(builtin).into());
    }
    if shape::builtin_kind(builtin) == Kind::Integer {
        let (least, greatest) = shape::range(builtin);
        for (keyword, limit) in [("minimum", least), ("maximum", greatest)] {
            out.extend(Number::from_i128(limit).map(|number| (keyword.into(), number.into())));
        }
    }
    if builtin == Builtin::QType {
        out.insert("enum".into(), shape::QTYPE_VALUES.into_iter().collect());
    }
    out
}
