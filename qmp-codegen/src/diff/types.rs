//! Compares types of all kinds.

use super::change::{Direction, What};
use super::describe::{self, Relation, describe, describe_alternative};
use super::object::Side;
use super::walk::{At, Walk, announced, feature_changes};
use crate::schema::{Alternate, Builtin, Enum, Schema, TypeKind, TypeRef};
use crate::shape;

impl<'a> Walk<'a> {
    pub(super) fn compare(&mut self, at: At) {
        let (old, new) = self.sides(at);
        for what in feature_changes(old.features(self.old), new.features(self.new)) {
            self.report(at, "", what, false, None);
        }
        if let (Some(old), Some(new)) = (old.object(self.old), new.object(self.new)) {
            return self.objects(at, &old, &new);
        }
        match (old, new) {
            (Side::Array(old), Side::Array(new)) => {
                self.follow(at, "[]", (Side::of(old), Side::of(new)), Vec::new());
            }
            _ => match (self.kind(self.old, old), self.kind(self.new, new)) {
                (Leaf::Enum(old), Leaf::Enum(new)) => self.values(at, old, new),
                (Leaf::Alternate(old), Leaf::Alternate(new)) => self.alternates(at, old, new),
                (Leaf::Alternate(alternate), _) => self.alternate_removed(at, alternate, new),
                (_, Leaf::Alternate(alternate)) => self.alternate_introduced(at, old, alternate),
                (old_leaf, new_leaf) => {
                    self.types(at, self.relation(&old_leaf, &new_leaf));
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
    fn types(&mut self, at: At, relation: Relation) {
        let breaking = match (relation, at.direction) {
            (Relation::Same, _) => return,
            (Relation::Wider, Direction::Sent) | (Relation::Narrower, Direction::Received) => false,
            _ => true,
        };
        let (old, new) = self.sides(at);
        let (old, new) = (describe(self.old, old), describe(self.new, new));
        self.report(at, "", What::Type { old, new }, breaking, None);
    }

    fn values(&mut self, at: At, old: &Enum, new: &Enum) {
        let sent = at.direction == Direction::Sent;
        for value in &old.values {
            match new.values.iter().find(|other| other.name == value.name) {
                Some(other) => {
                    for what in feature_changes(&value.features, &other.features) {
                        self.report(at, &format!("={}", value.name), what, false, None);
                    }
                }
                None => {
                    let what = What::ValueRemoved(value.name.clone());
                    self.report(at, "", what, sent, announced(&value.features));
                }
            }
        }
        for value in &new.values {
            if old.values.iter().all(|other| other.name != value.name) {
                self.report(at, "", What::ValueAdded(value.name.clone()), false, None);
            }
        }
    }

    fn alternates(&mut self, at: At, old: &'a Alternate, new: &'a Alternate) {
        for one in &old.alternatives {
            match self.alternative(self.new, new, shape::json_type(self.old, &one.ty)) {
                Some(other) => {
                    self.follow(at, "", (Side::of(&one.ty), Side::of(other)), Vec::new());
                }
                None => {
                    let what = What::AlternativeRemoved(describe_alternative(self.old, &one.ty));
                    self.report(at, "", what, at.direction == Direction::Sent, None);
                }
            }
        }
        for one in &new.alternatives {
            if self.alternative(self.old, old, shape::json_type(self.new, &one.ty)).is_none() {
                let what = What::AlternativeAdded(describe_alternative(self.new, &one.ty));
                self.report(at, "", what, false, None);
            }
        }
    }

    /// Compares an alternate with another type that replaces it.
    fn alternate_removed(&mut self, at: At, old: &'a Alternate, new: Side<'a>) {
        match self.alternative(self.old, old, new.json_type(self.new)) {
            Some(ty) => {
                self.types(at, Relation::Narrower);
                self.follow(at, "", (Side::of(ty), new), Vec::new());
            }
            None if new.json_type(self.new) == "any" => self.types(at, Relation::Wider),
            None => self.types(at, Relation::Other),
        }
    }

    /// Compares a type with an alternate that replaces it.
    fn alternate_introduced(&mut self, at: At, old: Side<'a>, new: &'a Alternate) {
        match self.alternative(self.new, new, old.json_type(self.old)) {
            Some(ty) => {
                self.types(at, Relation::Wider);
                self.follow(at, "", (old, Side::of(ty)), Vec::new());
            }
            None if old.json_type(self.old) == "any" => self.types(at, Relation::Narrower),
            None => self.types(at, Relation::Other),
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
