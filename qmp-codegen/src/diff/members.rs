//! Compares objects: members and the branches of unions.
//!
//! A member can move between a union's base and its branches. On the wire, this only changes the
//! branches that gain or lose the member.

use super::change::{Announced, What};
use super::comparison::{Comparison, announced, feature_changes};
use super::object::{Object, Side};
use super::step::{Case, Step};
use crate::schema::{Member, Schema, TypeId, TypeKind, TypeRef};
use crate::shape;

impl<'a> Comparison<'a> {
    pub(super) fn objects(&mut self, old: &Object<'a>, new: &Object<'a>) {
        let ignored = self.ignored.clone();
        let is_new = |member: &&&Member| {
            old.member(&member.name).is_none() && !ignored.contains(&member.name)
        };
        for member in old.members.iter().filter(|member| !ignored.contains(&member.name)) {
            match new.member(&member.name) {
                Some(other) => self.member(None, member, other),
                None => self.removed_from_base(member, new),
            }
        }
        for member in new.members.iter().filter(is_new) {
            self.added_to_base(member, old);
        }
        self.cases(old, new, &ignored);
    }

    fn member(&mut self, case: Option<Case<'a>>, old: &'a Member, new: &'a Member) {
        let step = match case {
            Some(case) => Step::BranchMember(case, &old.name),
            None => Step::Member(&old.name),
        };
        let announced = announced(&old.features);
        let sent = self.is_sent();
        match (old.optional, new.optional) {
            (true, false) => self.report(step, What::MadeMandatory, sent, announced),
            (false, true) => self.report(step, What::MadeOptional, !sent, announced),
            _ => {}
        }
        for what in feature_changes(&old.features, &new.features) {
            self.report(step, what, false, None);
        }
        self.follow(step, (Side::of(&old.ty), Side::of(&new.ty)), Vec::new());
    }

    /// Compares a member that is no longer in the base.
    fn removed_from_base(&mut self, old: &'a Member, new: &Object<'a>) {
        let announced = announced(&old.features);
        let (branches, without) = new.cases_with(self.new, &old.name);
        if branches.is_empty() {
            return self.removed(old, announced);
        }
        for case in &branches {
            let moved = new.case(case).flatten().and_then(|id| find(self.new, id, &old.name));
            if let Some(moved) = moved {
                self.member(Some(new.step(case)), old, moved);
            }
        }
        if without > 0 {
            let what = What::MemberNarrowed { branches: owned(&branches), optional: old.optional };
            let breaking = self.is_sent() || !old.optional;
            self.report(Step::Member(&old.name), what, breaking, announced);
        }
    }

    /// Compares a member that was not in the base before.
    fn added_to_base(&mut self, new: &'a Member, old: &Object<'a>) {
        let (branches, without) = old.cases_with(self.old, &new.name);
        for case in &branches {
            let moved = old.case(case).flatten().and_then(|id| find(self.old, id, &new.name));
            if let Some(moved) = moved {
                self.member(Some(old.step(case)), moved, new);
            }
        }
        let optional = new.optional;
        let what = match branches.is_empty() {
            true => What::MemberAdded { optional },
            false => What::MemberWidened { branches: owned(&branches), optional },
        };
        if without > 0 || matches!(what, What::MemberAdded { .. }) {
            let breaking = self.is_sent() && !optional;
            self.report(Step::Member(&new.name), what, breaking, None);
        }
    }

    fn removed(&mut self, old: &'a Member, announced: Option<Announced>) {
        let what = What::MemberRemoved { optional: old.optional };
        let breaking = self.is_sent() || !old.optional;
        self.report(Step::Member(&old.name), what, breaking, announced);
    }

    fn cases(&mut self, old: &Object<'a>, new: &Object<'a>, ignored: &[String]) {
        for (case, ty) in &old.cases {
            match (ty, counterpart(old, new, case, self.new)) {
                (_, Some(other)) => self.case((old, *ty), (new, other), case, ignored),
                (Some(_), None) => {
                    let what = What::BranchRemoved((*case).to_owned());
                    self.report(Step::Itself, what, self.is_sent(), None);
                }
                (None, None) => {}
            }
        }
        for (case, ty) in &new.cases {
            if old.tag == new.tag && old.case(case).is_some() {
                continue;
            }
            match (ty, counterpart(new, old, case, self.old)) {
                (_, Some(other)) => self.case((old, other), (new, *ty), case, ignored),
                (Some(_), None) => {
                    self.report(Step::Itself, What::BranchAdded((*case).to_owned()), false, None);
                }
                (None, None) => {}
            }
        }
    }

    fn case(
        &mut self,
        old: (&Object<'a>, Option<TypeId>),
        new: (&Object<'a>, Option<TypeId>),
        case: &'a str,
        ignored: &[String],
    ) {
        if old.1.is_none() && new.1.is_none() {
            return;
        }
        let mut ignored = ignored.to_vec();
        ignored.extend(members_within(self.old, old.1, new.0));
        ignored.extend(members_within(self.new, new.1, old.0));
        ignored.sort_unstable();
        ignored.dedup();
        let side = |ty: Option<TypeId>| ty.map_or(Side::EMPTY, Side::Defined);
        let step = if old.0.tag.is_some() { old.0.step(case) } else { new.0.step(case) };
        self.follow(Step::Branch(step), (side(old.1), side(new.1)), ignored);
    }
}

/// Returns the type of an object's case in the other object. The result is `None` if the case
/// cannot occur there, and the inner option is `None` if it adds no members.
fn counterpart(
    of: &Object<'_>,
    other: &Object<'_>,
    case: &str,
    other_schema: &Schema,
) -> Option<Option<TypeId>> {
    if of.tag == other.tag {
        return other.case(case);
    }
    // If the other object is not a union, the value may still be one of the same enumeration.
    let member = other.member(of.tag?)?;
    match &member.ty {
        TypeRef::Defined(id) => match &shape::type_of(other_schema, *id).kind {
            TypeKind::Enum(values) => values.values.iter().any(|v| v.name == case).then_some(None),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the members of a branch that are common to all cases of the other object.
fn members_within(schema: &Schema, branch: Option<TypeId>, object: &Object<'_>) -> Vec<String> {
    let members = branch.map_or(Vec::new(), |id| shape::common_members(schema, id));
    let names = members.into_iter().map(|member| &member.name);
    names.filter(|name| object.member(name).is_some()).cloned().collect()
}

fn find<'a>(schema: &'a Schema, id: TypeId, name: &str) -> Option<&'a Member> {
    shape::common_members(schema, id).into_iter().find(|member| member.name == name)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
