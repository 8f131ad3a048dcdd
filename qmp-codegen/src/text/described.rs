//! The parts of a definition that its documentation describes.

use crate::schema::{
    Arguments, Base, Command, Definition, Doc, Event, Feature, Member, Type, TypeKind,
};

/// A definition with the parts that its documentation describes.
pub(super) struct Described<'a> {
    pub(super) definition: &'a Definition,
    /// Members, values, or alternatives, each with its description.
    pub(super) members: Vec<(&'a str, &'a str)>,
    /// Features of the definition and its parts. Those with the same name share a description.
    pub(super) features: Vec<&'a Feature>,
}

impl<'a> Described<'a> {
    pub(super) fn of_type(ty: &'a Type) -> Self {
        let mut described = Self::new(&ty.definition);
        match &ty.kind {
            TypeKind::Enum(values) => {
                for value in &values.values {
                    described.add(&value.name, &value.doc, &value.features);
                }
            }
            TypeKind::Struct(object) => described.add_members(&object.members),
            TypeKind::Union(union) => match &union.base {
                Base::Named(_) => {}
                Base::Inline(members) => described.add_members(members),
            },
            TypeKind::Alternate(alternate) => {
                for alternative in &alternate.alternatives {
                    described.add(&alternative.name, &alternative.doc, &[]);
                }
            }
        }
        described
    }

    pub(super) fn of_command(command: &'a Command) -> Self {
        Self::new(&command.definition).with_arguments(&command.arguments)
    }

    pub(super) fn of_event(event: &'a Event) -> Self {
        Self::new(&event.definition).with_arguments(&event.data)
    }

    /// Whether the definition has any documentation.
    pub(super) fn is_documented(&self) -> bool {
        self.definition.doc != Doc::default()
            || self.members.iter().any(|(_, text)| !text.is_empty())
            || self.features.iter().any(|feature| !feature.doc.is_empty())
    }

    /// Whether the documentation does not describe every member.
    pub(super) fn is_incomplete(&self) -> bool {
        self.is_documented() && self.members.iter().any(|(_, text)| text.is_empty())
    }

    /// Returns the features that are described, without duplicate names.
    pub(super) fn described_features(&self) -> Vec<&'a Feature> {
        let mut features: Vec<&Feature> = Vec::new();
        for feature in &self.features {
            if !feature.doc.is_empty() && features.iter().all(|other| other.name != feature.name) {
                features.push(feature);
            }
        }
        features
    }

    fn new(definition: &'a Definition) -> Self {
        let features = definition.features.iter().collect();
        Self { definition, members: Vec::new(), features }
    }

    fn with_arguments(mut self, arguments: &'a Arguments) -> Self {
        if let Arguments::Inline(members) = arguments {
            self.add_members(members);
        }
        self
    }

    fn add_members(&mut self, members: &'a [Member]) {
        for member in members {
            self.add(&member.name, &member.doc, &member.features);
        }
    }

    fn add(&mut self, name: &'a str, doc: &'a str, features: &'a [Feature]) {
        self.members.push((name, doc));
        self.features.extend(features);
    }
}
