//! A place in the arguments of a command: which members an object has there, and their documentation.

use super::given::Given;
use crate::reference::{self, Definition, Reference};
use crate::shell::types::{Member, Schema, Shape};
use qmp_types::qmp::types::SchemaInfoObject;

/// The arguments of a command, the data of an action or of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    /// The command, action or event.
    pub(super) command: &'p str,
    /// The type of its arguments.
    pub(super) root: Option<&'p str>,
    /// The arguments that are given already.
    pub(super) given: &'p Given,
}

impl<'p> Place<'p> {
    /// Returns the object at a path.
    pub(super) fn object(&self, schema: &'p Schema, path: &[&str]) -> Option<&'p SchemaInfoObject> {
        let mut object = object_of(schema, self.root?)?;
        for (depth, name) in path.iter().enumerate() {
            let outer = path.get(..depth).unwrap_or_default();
            let ty = self.member(schema, object, outer, name)?.ty;
            object = object_of(schema, ty)?;
        }
        Some(object)
    }

    /// Returns a member of an object, also one of a branch that is not selected.
    pub(super) fn member(
        &self,
        schema: &'p Schema,
        object: &'p SchemaInfoObject,
        path: &[&str],
        name: &str,
    ) -> Option<Member<'p>> {
        let selected = self.members(schema, object, path);
        let find = |members: Vec<Member<'p>>| members.into_iter().find(|m| m.name == name);
        find(selected).or_else(|| find(schema.all_members(object)))
    }

    /// Returns the members of the object at a path, as far as its discriminators are given.
    pub(super) fn members(
        &self,
        schema: &'p Schema,
        object: &'p SchemaInfoObject,
        path: &[&str],
    ) -> Vec<Member<'p>> {
        schema.members(object, &|tag| self.given.value(path, tag))
    }

    /// Returns the documentation of the members of the object at a path.
    pub(super) fn documented(
        &self,
        reference: &Reference,
        path: &[&str],
    ) -> Vec<reference::Member> {
        let Some(mut definition) = reference.find(self.command) else { return Vec::new() };
        for (depth, name) in path.iter().enumerate() {
            let outer = path.get(..depth).unwrap_or_default();
            let members = self.with_branch(reference, definition, outer);
            let Some(member) = members.into_iter().find(|member| member.name == *name) else {
                return Vec::new();
            };
            let Some(inner) = structure(reference, &member.ty) else { return Vec::new() };
            definition = inner;
        }
        self.with_branch(reference, definition, path)
    }

    /// Returns the members of a definition, and those of the branch that is selected.
    fn with_branch(
        &self,
        reference: &Reference,
        definition: Definition,
        path: &[&str],
    ) -> Vec<reference::Member> {
        let mut members = definition.members;
        let Some(tag) = &definition.discriminator else { return members };
        let Some(value) = self.given.value(path, tag) else { return members };
        let branch = definition.branches.iter().find(|branch| branch.name == value);
        if let Some(branch) = branch.and_then(|branch| reference.find(&branch.ty)) {
            members.extend(branch.members);
        }
        members
    }
}

/// Returns the object that a value of a type can be.
pub(super) fn object_of<'s>(schema: &'s Schema, ty: &str) -> Option<&'s SchemaInfoObject> {
    match schema.shape(ty) {
        Shape::Object(object) => Some(object),
        Shape::Array(element) => match schema.shape(element) {
            Shape::Object(object) => Some(object),
            _ => None,
        },
        Shape::Alternate(alternatives) => {
            alternatives.iter().find_map(|alternative| match schema.shape(&alternative.type_) {
                Shape::Object(object) => Some(object),
                _ => None,
            })
        }
        _ => None,
    }
}

/// Returns the definition of the object that a documented type can be.
fn structure(reference: &Reference, ty: &str) -> Option<Definition> {
    let definition = reference.find(ty.trim_matches(['[', ']']))?;
    if definition.kind != reference::Kind::Alternate {
        return Some(definition);
    }
    definition.branches.iter().find_map(|branch| {
        let alternative = reference.find(&branch.ty)?;
        matches!(alternative.kind, reference::Kind::Struct | reference::Kind::Union)
            .then_some(alternative)
    })
}
