//! Observation of a release: the items of the schema that it has, found by following both from their
//! commands and events, because introspection does not contain the names of types.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use qmp_codegen::introspection::{Names, Naming, export, import};
use qmp_codegen::schema::{
    Arguments, Base, Builtin, Definition, Feature, Member, Schema, Type, TypeId, TypeKind, TypeRef,
    Union,
};

use super::written::{Item, Kind, owner_of};

/// An item as a release shows it, in all places where the schema has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    /// Whether any place has it.
    pub(crate) present: bool,
    /// The special features of those places.
    pub(crate) features: BTreeSet<String>,
}

/// Our schema, as its author wrote it and as introspection shows it.
pub(crate) struct Ours {
    pub(crate) written: Schema,
    pub(crate) shown: Schema,
    ids: HashMap<String, TypeId>,
}

impl Ours {
    pub(crate) fn new(written: Schema) -> Self {
        let shown = export(&written, Naming::Unmasked, &|_| true).to_string();
        let shown = import(&shown, &Names::from_schema(&written)).unwrap();
        let id = |index: usize| TypeId(u32::try_from(index).unwrap());
        let types = written.types.iter().enumerate();
        let ids = types.map(|(index, ty)| (ty.definition.name.clone(), id(index))).collect();
        Self { written, shown, ids }
    }

    /// Returns what a release shows of each item. An item is left out if the release has none of
    /// the places where it could be.
    pub(crate) fn seen_in(&self, release: &Schema) -> BTreeMap<Item, Sight> {
        let mut walk = Walk {
            ours: self,
            theirs: release,
            seen: BTreeMap::new(),
            open: Vec::new(),
            known: HashSet::new(),
        };
        walk.roots();
        while let Some((ours, theirs)) = walk.open.pop() {
            walk.types(ours, theirs);
        }
        walk.seen
    }
}

struct Walk<'a> {
    ours: &'a Ours,
    theirs: &'a Schema,
    seen: BTreeMap<Item, Sight>,
    /// Pairs of types in the same place that have not been compared.
    open: Vec<(TypeId, TypeId)>,
    known: HashSet<(TypeId, TypeId)>,
}

/// The members and branches of one side's object.
struct Object<'a> {
    members: Vec<&'a Member>,
    union: Option<&'a Union>,
}

impl<'a> Walk<'a> {
    fn roots(&mut self) {
        let (ours, theirs) = (&self.ours.shown, self.theirs);
        let find: HashMap<_, _> = theirs.commands.iter().map(|c| (&c.definition.name, c)).collect();
        for command in &ours.commands {
            let other = find.get(&command.definition.name).copied();
            self.root(Kind::Command, &command.definition, other.map(|other| &other.definition));
            let Some(other) = other else { continue };
            let name = &command.definition.name;
            self.arguments(Kind::Argument, name, &command.arguments, &other.arguments);
            if let (Some(ours), Some(theirs)) = (&command.returns, &other.returns) {
                self.refs(ours, theirs);
            }
        }
        let find: HashMap<_, _> = theirs.events.iter().map(|e| (&e.definition.name, e)).collect();
        for event in &ours.events {
            let other = find.get(&event.definition.name).copied();
            self.root(Kind::Event, &event.definition, other.map(|other| &other.definition));
            let Some(other) = other else { continue };
            self.arguments(Kind::Datum, &event.definition.name, &event.data, &other.data);
        }
    }

    fn root(&mut self, kind: Kind, ours: &Definition, theirs: Option<&Definition>) {
        self.see(kind, &ours.name, "", theirs.map(|theirs| &theirs.features[..]));
    }

    fn see(&mut self, kind: Kind, owner: &str, name: &str, features: Option<&[Feature]>) {
        let item = Item { kind, owner: owner.to_owned(), name: name.to_owned() };
        let sight = self.seen.entry(item).or_default();
        sight.present |= features.is_some();
        let names = features.unwrap_or_default().iter().map(|feature| feature.name.clone());
        sight.features.extend(names);
    }

    fn arguments(&mut self, kind: Kind, owner: &str, ours: &'a Arguments, theirs: &'a Arguments) {
        match (ours, theirs) {
            (Arguments::Named { ty: ours, .. }, Arguments::Named { ty: theirs, .. }) => {
                self.pair(*ours, *theirs);
            }
            (Arguments::Named { ty, .. }, Arguments::Inline(members)) => {
                let theirs = Object { members: members.iter().collect(), union: None };
                self.objects(*ty, &theirs);
            }
            (Arguments::Inline(members), _) => {
                let theirs = match theirs {
                    Arguments::Inline(members) => {
                        Object { members: members.iter().collect(), union: None }
                    }
                    Arguments::Named { ty, .. } => object(type_of(self.theirs, *ty)),
                };
                for member in members {
                    self.member(kind, owner, member, &theirs);
                }
            }
        }
    }

    fn refs(&mut self, ours: &TypeRef, theirs: &TypeRef) {
        match (ours, theirs) {
            (TypeRef::Array(ours), TypeRef::Array(theirs)) => self.refs(ours, theirs),
            (TypeRef::Defined(ours), TypeRef::Defined(theirs)) => self.pair(*ours, *theirs),
            // What used to be of one type is an alternate today.
            (TypeRef::Defined(id), _) => {
                if let TypeKind::Alternate(data) = &type_of(&self.ours.shown, *id).kind {
                    let json = json_type(self.theirs, theirs);
                    let same = |ty: &TypeRef| json_type(&self.ours.shown, ty) == json;
                    if let Some(one) = data.alternatives.iter().find(|one| same(&one.ty)) {
                        self.refs(&one.ty, theirs);
                    }
                }
            }
            _ => {}
        }
    }

    fn pair(&mut self, ours: TypeId, theirs: TypeId) {
        if self.known.insert((ours, theirs)) {
            self.open.push((ours, theirs));
        }
    }

    fn types(&mut self, ours: TypeId, theirs: TypeId) {
        let (our_type, their_type) =
            (type_of(&self.ours.shown, ours), type_of(self.theirs, theirs));
        match (&our_type.kind, &their_type.kind) {
            (TypeKind::Enum(values), TypeKind::Enum(others)) => {
                for value in &values.values {
                    let other = others.values.iter().find(|other| other.name == value.name);
                    let features = other.map(|other| &other.features[..]);
                    self.see(Kind::Value, &our_type.definition.name, &value.name, features);
                }
            }
            (TypeKind::Alternate(data), _) => {
                let others: Vec<TypeRef> = match &their_type.kind {
                    TypeKind::Alternate(other) => {
                        other.alternatives.iter().map(|one| one.ty.clone()).collect()
                    }
                    _ => vec![TypeRef::Defined(theirs)],
                };
                for one in &data.alternatives {
                    let json = json_type(&self.ours.shown, &one.ty);
                    let same = |other: &&TypeRef| json_type(self.theirs, other) == json;
                    if let Some(other) = others.iter().find(same) {
                        self.refs(&one.ty, other);
                    }
                }
            }
            (
                TypeKind::Struct(_) | TypeKind::Union(_),
                TypeKind::Struct(_) | TypeKind::Union(_),
            ) => {
                self.objects(ours, &object(their_type));
            }
            _ => {}
        }
    }

    /// Compares an object of ours, whose members may be written in its bases.
    fn objects(&mut self, ours: TypeId, theirs: &Object<'a>) {
        let ty = type_of(&self.ours.shown, ours);
        let name = &ty.definition.name;
        let shown = object(ty);
        self.own_members(name, &shown.members, theirs);
        if let (Some(union), Some(other)) = (shown.union, theirs.union) {
            self.branches(name, union, theirs, other);
        }
    }

    fn own_members(&mut self, name: &str, members: &[&'a Member], theirs: &Object<'a>) {
        for member in members {
            let id = self.ours.ids.get(name).copied();
            let owner = id.and_then(|id| owner_of(&self.ours.written, id, &member.name));
            self.member(Kind::Member, owner.unwrap_or(name), member, theirs);
        }
    }

    fn member(&mut self, kind: Kind, owner: &str, ours: &'a Member, theirs: &Object<'a>) {
        let named = |member: &&&'a Member| member.name == ours.name;
        let in_branches =
            || self.of_branches(theirs.union).into_iter().find(|m| m.name == ours.name);
        let found = theirs.members.iter().find(named).copied().or_else(in_branches);
        self.see(kind, owner, &ours.name, found.map(|found| &found.features[..]));
        if let Some(found) = found {
            self.refs(&ours.ty, &found.ty);
        }
    }

    /// Returns the members that only some branches of the release have.
    fn of_branches(&self, union: Option<&'a Union>) -> Vec<&'a Member> {
        let branches = union.map_or(&[][..], |union| &union.branches);
        branches.iter().flat_map(|branch| object(type_of(self.theirs, branch.ty)).members).collect()
    }

    fn branches(&mut self, name: &str, union: &'a Union, theirs: &Object<'a>, other: &'a Union) {
        let values = type_of(self.theirs, other.discriminator_type);
        for branch in &union.branches {
            let has_value = match &values.kind {
                TypeKind::Enum(data) => data.values.iter().any(|one| one.name == branch.name),
                _ => false,
            };
            self.see(Kind::Branch, name, &branch.name, has_value.then_some(&[][..]));
            if !has_value {
                continue;
            }
            let found = other.branches.iter().find(|one| one.name == branch.name);
            let found = found.map(|found| object(type_of(self.theirs, found.ty)));
            let mut found = found.unwrap_or(Object { members: Vec::new(), union: None });
            // Members of the branch may be common to all branches of the release.
            found.members.extend(&theirs.members);
            self.objects(branch.ty, &found);
        }
    }
}

fn type_of(schema: &Schema, id: TypeId) -> &Type {
    &schema.types[id.0 as usize]
}

fn object(ty: &Type) -> Object<'_> {
    match &ty.kind {
        TypeKind::Struct(data) => Object { members: data.members.iter().collect(), union: None },
        TypeKind::Union(data) => {
            // Introspection has no bases.
            let members: &[Member] = match &data.base {
                Base::Inline(members) => members,
                Base::Named(_) => &[],
            };
            Object { members: members.iter().collect(), union: Some(data) }
        }
        TypeKind::Enum(_) | TypeKind::Alternate(_) => Object { members: Vec::new(), union: None },
    }
}

/// Returns the JSON type of a type, by which an alternate selects.
fn json_type(schema: &Schema, ty: &TypeRef) -> &'static str {
    match ty {
        TypeRef::Array(_) => "array",
        TypeRef::Builtin(Builtin::Str | Builtin::QType) => "string",
        TypeRef::Builtin(Builtin::Bool) => "boolean",
        TypeRef::Builtin(Builtin::Null) => "null",
        TypeRef::Builtin(Builtin::Any) => "any",
        TypeRef::Builtin(_) => "number",
        TypeRef::Defined(id) => match type_of(schema, *id).kind {
            TypeKind::Enum(_) => "string",
            TypeKind::Struct(_) | TypeKind::Union(_) => "object",
            TypeKind::Alternate(_) => "alternate",
        },
    }
}
