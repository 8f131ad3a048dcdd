//! Compares types of all kinds.

use super::change::What;
use super::comparison::{Comparison, announced, feature_changes};
use super::describe::{self, Relation, describe, describe_alternative};
use super::object::Side;
use super::step::Step;
use crate::schema::{Alternate, Builtin, Enum, Schema, TypeKind, TypeRef};
use crate::shape;

impl<'a> Comparison<'a> {
    pub(super) fn compare(&mut self) {
        let (old, new) = self.sides;
        for what in feature_changes(old.features(self.old), new.features(self.new)) {
            self.report(Step::Itself, what, false, None);
        }
        if let (Some(old), Some(new)) = (old.object(self.old), new.object(self.new)) {
            return self.objects(&old, &new);
        }
        match (old, new) {
            (Side::Array(old), Side::Array(new)) => {
                self.follow(Step::Element, (Side::of(old), Side::of(new)), Vec::new());
            }
            _ => match (self.kind(self.old, old), self.kind(self.new, new)) {
                (Leaf::Enum(old), Leaf::Enum(new)) => self.values(old, new),
                (Leaf::Alternate(old), Leaf::Alternate(new)) => self.alternates(old, new),
                (Leaf::Alternate(alternate), _) => self.alternate_removed(alternate, new),
                (_, Leaf::Alternate(alternate)) => self.alternate_introduced(old, alternate),
                (old_leaf, new_leaf) => {
                    self.types(self.relation(&old_leaf, &new_leaf));
                }
            },
        }
    }

    fn kind(&self, schema: &'a Schema, side: Side<'a>) -> Leaf<'a> {
        match side {
            Side::Defined(id) => match &shape::type_of(schema, id).kind {
                TypeKind::Enum(values) => Leaf::Enum(values),
                TypeKind::Alternate(alternate) => Leaf::Alternate(alternate),
                TypeKind::Struct(_) | TypeKind::Union(_) => Leaf::Compound,
            },
            Side::Builtin(builtin) => Leaf::Builtin(builtin),
            Side::Members(_) | Side::Array(_) => Leaf::Compound,
        }
    }

    fn relation(&self, old: &Leaf<'_>, new: &Leaf<'_>) -> Relation {
        let is_open = |leaf: &Leaf<'_>, json_type| match leaf {
            Leaf::Builtin(builtin) => shape::builtin_json_type(*builtin) == json_type,
            _ => false,
        };
        match (old, new) {
            (Leaf::Builtin(old), Leaf::Builtin(new)) => {
                describe::relate(*old, *new, self.compares_ranges())
            }
            (Leaf::Enum(_), new) if is_open(new, "string") => Relation::Wider,
            (old, Leaf::Enum(_)) if is_open(old, "string") => Relation::Narrower,
            (_, new) if is_open(new, "any") => Relation::Wider,
            (old, _) if is_open(old, "any") => Relation::Narrower,
            _ => Relation::Other,
        }
    }

    /// Reports a change of type.
    fn types(&mut self, relation: Relation) {
        let breaking = match (relation, self.is_sent()) {
            (Relation::Same, _) => return,
            (Relation::Wider, true) | (Relation::Narrower, false) => false,
            _ => true,
        };
        let (old, new) = self.sides;
        let (old, new) = (describe(self.old, old), describe(self.new, new));
        self.report(Step::Itself, What::Type { old, new }, breaking, None);
    }

    fn values(&mut self, old: &'a Enum, new: &'a Enum) {
        let sent = self.is_sent();
        for value in &old.values {
            match new.values.iter().find(|other| other.name == value.name) {
                Some(other) => {
                    for what in feature_changes(&value.features, &other.features) {
                        self.report(Step::Value(&value.name), what, false, None);
                    }
                }
                None => {
                    let what = What::ValueRemoved(value.name.clone());
                    self.report(Step::Itself, what, sent, announced(&value.features));
                }
            }
        }
        for value in &new.values {
            if old.values.iter().all(|other| other.name != value.name) {
                self.report(Step::Itself, What::ValueAdded(value.name.clone()), false, None);
            }
        }
    }

    fn alternates(&mut self, old: &'a Alternate, new: &'a Alternate) {
        for one in &old.alternatives {
            match self.alternative(self.new, new, shape::json_type(self.old, &one.ty)) {
                Some(other) => {
                    self.follow(Step::Itself, (Side::of(&one.ty), Side::of(other)), Vec::new());
                }
                None => {
                    let what = What::AlternativeRemoved(describe_alternative(self.old, &one.ty));
                    self.report(Step::Itself, what, self.is_sent(), None);
                }
            }
        }
        for one in &new.alternatives {
            if self.alternative(self.old, old, shape::json_type(self.new, &one.ty)).is_none() {
                let what = What::AlternativeAdded(describe_alternative(self.new, &one.ty));
                self.report(Step::Itself, what, false, None);
            }
        }
    }

    /// Compares an alternate with another type that replaces it.
    fn alternate_removed(&mut self, old: &'a Alternate, new: Side<'a>) {
        match self.alternative(self.old, old, new.json_type(self.new)) {
            Some(ty) => {
                self.types(Relation::Narrower);
                self.follow(Step::Itself, (Side::of(ty), new), Vec::new());
            }
            None if new.json_type(self.new) == "any" => self.types(Relation::Wider),
            None => self.types(Relation::Other),
        }
    }

    /// Compares a type with an alternate that replaces it.
    fn alternate_introduced(&mut self, old: Side<'a>, new: &'a Alternate) {
        match self.alternative(self.new, new, old.json_type(self.old)) {
            Some(ty) => {
                self.types(Relation::Wider);
                self.follow(Step::Itself, (old, Side::of(ty)), Vec::new());
            }
            None if old.json_type(self.old) == "any" => self.types(Relation::Narrower),
            None => self.types(Relation::Other),
        }
    }

    fn alternative(
        &self,
        schema: &Schema,
        alternate: &'a Alternate,
        json_type: &str,
    ) -> Option<&'a TypeRef> {
        let mut types = alternate.alternatives.iter().map(|one| &one.ty);
        types.find(|ty| shape::json_type(schema, ty) == json_type)
    }
}

/// The kinds of types that are compared as a whole.
enum Leaf<'a> {
    Builtin(Builtin),
    Enum(&'a Enum),
    Alternate(&'a Alternate),
    /// An object or array.
    Compound,
}
