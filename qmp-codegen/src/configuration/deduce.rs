//! Deduces which symbols hold from what a binary has of its schema.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Configuration;
use crate::schema::{
    Arguments, Condition, Definition, Feature, Member, Schema, TypeId, TypeKind, TypeRef,
};
use crate::shape;

/// How often all facts are looked at. Each time, symbols become known on which others depend.
const MAX_ROUNDS: usize = 20;

/// A condition of the schema, and whether it holds in the binary.
pub(super) type Fact<'s> = (&'s Condition, bool);

/// Returns a fact for each condition on the way from the commands and events of the schema through
/// what the binary has, too.
pub(super) fn facts<'s>(schema: &'s Schema, binary: &Schema) -> Vec<Fact<'s>> {
    let mut walk =
        Walk { schema, binary, facts: Vec::new(), seen: HashSet::new(), todo: Vec::new() };
    let commands: HashMap<&str, _> =
        binary.commands.iter().map(|command| (&*command.definition.name, command)).collect();
    for command in &schema.commands {
        let found = commands.get(&*command.definition.name);
        if walk.definition(&command.definition, found.map(|found| &found.definition)) {
            if let Some(found) = found {
                walk.arguments(&command.arguments, &found.arguments);
                if let (Some(own), Some(found)) = (&command.returns, &found.returns) {
                    walk.reference(own, found);
                }
            }
        }
    }
    let events: HashMap<&str, _> =
        binary.events.iter().map(|event| (&*event.definition.name, event)).collect();
    for event in &schema.events {
        let found = events.get(&*event.definition.name);
        if walk.definition(&event.definition, found.map(|found| &found.definition)) {
            if let Some(found) = found {
                walk.arguments(&event.data, &found.data);
            }
        }
    }
    while let Some((own, found)) = walk.todo.pop() {
        walk.types(own, found);
    }
    walk.facts
}

/// A walk over a schema and a binary's, side by side.
struct Walk<'s, 'b> {
    schema: &'s Schema,
    binary: &'b Schema,
    facts: Vec<Fact<'s>>,
    /// The types of the schema that have been reached.
    seen: HashSet<TypeId>,
    todo: Vec<(TypeId, TypeId)>,
}

impl<'s, 'b> Walk<'s, 'b> {
    /// Notes whether something exists that depends on a condition. Returns whether it does.
    fn note(&mut self, condition: Option<&'s Condition>, exists: bool) -> bool {
        self.facts.extend(condition.map(|condition| (condition, exists)));
        exists
    }

    fn definition(&mut self, own: &'s Definition, found: Option<&Definition>) -> bool {
        if let Some(found) = found {
            self.features(&own.features, &found.features);
        }
        self.note(own.condition.as_ref(), found.is_some())
    }

    fn features(&mut self, own: &'s [Feature], found: &[Feature]) {
        let found: HashSet<&str> = found.iter().map(|feature| &*feature.name).collect();
        for feature in own {
            self.note(feature.condition.as_ref(), found.contains(&*feature.name));
        }
    }

    fn arguments(&mut self, own: &'s Arguments, found: &'b Arguments) {
        if let (Arguments::Named { ty: own, .. }, Arguments::Named { ty: found, .. }) = (own, found)
        {
            self.reach(*own, *found);
            return;
        }
        let members = |schema: &'b Schema, arguments: &'b Arguments| match arguments {
            Arguments::Inline(members) => members.iter().collect(),
            Arguments::Named { ty, .. } => shape::common_members(schema, *ty),
        };
        let found = members(self.binary, found);
        let own = match own {
            Arguments::Inline(members) => members.iter().collect(),
            Arguments::Named { ty, .. } => shape::common_members(self.schema, *ty),
        };
        self.members(own, found);
    }

    fn members(&mut self, own: Vec<&'s Member>, found: Vec<&'b Member>) {
        let found: HashMap<&str, &Member> =
            found.into_iter().map(|member| (&*member.name, member)).collect();
        for member in own {
            let found = found.get(&*member.name).copied();
            if let Some(found) = found {
                self.features(&member.features, &found.features);
                self.reference(&member.ty, &found.ty);
            }
            self.note(member.condition.as_ref(), found.is_some());
        }
    }

    fn reference(&mut self, own: &'s TypeRef, found: &'b TypeRef) {
        match (own, found) {
            (TypeRef::Defined(own), TypeRef::Defined(found)) => self.reach(*own, *found),
            (TypeRef::Array(own), TypeRef::Array(found)) => self.reference(own, found),
            _ => {}
        }
    }

    fn reach(&mut self, own: TypeId, found: TypeId) {
        if self.seen.insert(own) {
            self.todo.push((own, found));
        }
    }

    fn types(&mut self, own: TypeId, found: TypeId) {
        let (own_type, found_type) =
            (shape::type_of(self.schema, own), shape::type_of(self.binary, found));
        self.features(&own_type.definition.features, &found_type.definition.features);
        match (&own_type.kind, &found_type.kind) {
            (TypeKind::Enum(own), TypeKind::Enum(found)) => {
                let found: HashMap<&str, _> =
                    found.values.iter().map(|value| (&*value.name, value)).collect();
                for value in &own.values {
                    let found = found.get(&*value.name);
                    if let Some(found) = found {
                        self.features(&value.features, &found.features);
                    }
                    self.note(value.condition.as_ref(), found.is_some());
                }
                return;
            }
            (TypeKind::Union(own), TypeKind::Union(found)) => {
                self.reach(own.discriminator_type, found.discriminator_type);
                let found: HashMap<&str, TypeId> =
                    found.branches.iter().map(|branch| (&*branch.name, branch.ty)).collect();
                // A value whose branch is left out has the empty object instead.
                for branch in own.branches.iter().filter(|branch| branch.condition.is_none()) {
                    if let Some(found) = found.get(&*branch.name) {
                        self.reach(branch.ty, *found);
                    }
                }
            }
            (TypeKind::Alternate(own), TypeKind::Alternate(found)) => {
                // Alternatives have no names in introspection, but each has another JSON type.
                for one in &own.alternatives {
                    let json_type = shape::json_type(self.schema, &one.ty);
                    let same = |ty| shape::json_type(self.binary, ty) == json_type;
                    let found = found.alternatives.iter().find(|other| same(&other.ty));
                    self.note(one.condition.as_ref(), found.is_some());
                    if let Some(found) = found {
                        self.reference(&one.ty, &found.ty);
                    }
                }
            }
            _ => {}
        }
        let found = shape::common_members(self.binary, found);
        self.members(shape::common_members(self.schema, own), found);
    }
}

impl Configuration {
    /// Adds the symbols that facts decide about.
    pub(super) fn deduce(&mut self, facts: &[Fact<'_>]) {
        let mut known = Known::default();
        for _ in 0..MAX_ROUNDS {
            let before = known.states.len();
            facts.iter().for_each(|(condition, holds)| known.imply(condition, *holds));
            if known.states.len() == before {
                break;
            }
        }
        for (symbol, (yes, no)) in known.states {
            if yes && no {
                self.contradictory.push(symbol.to_owned());
            } else {
                self.symbols.insert(symbol.to_owned(), yes);
            }
        }
    }
}

/// The symbols that have been found to hold, and not to hold.
#[derive(Default)]
struct Known<'s> {
    states: BTreeMap<&'s str, (bool, bool)>,
}

impl<'s> Known<'s> {
    fn state(&self, symbol: &str) -> Option<bool> {
        match self.states.get(symbol) {
            Some((true, false)) => Some(true),
            Some((false, true)) => Some(false),
            _ => None,
        }
    }

    /// Adds what follows from a condition having a value.
    fn imply(&mut self, condition: &'s Condition, holds: bool) {
        match condition {
            Condition::Symbol(symbol) => {
                let (yes, no) = self.states.entry(symbol).or_default();
                *yes |= holds;
                *no |= !holds;
            }
            Condition::Not(condition) => self.imply(condition, !holds),
            Condition::All(conditions) => self.imply_each(conditions, holds, true),
            Condition::Any(conditions) => self.imply_each(conditions, holds, false),
        }
    }

    /// Adds what follows from all (`all`) or any of some conditions having a value.
    fn imply_each(&mut self, conditions: &'s [Condition], holds: bool, all: bool) {
        if holds == all {
            conditions.iter().for_each(|condition| self.imply(condition, holds));
            return;
        }
        // If all others are known to have the other value, the last one decides.
        let is_open = |condition: &&Condition| {
            condition.evaluate(&|symbol| self.state(symbol)) != Some(!holds)
        };
        let mut open = conditions.iter().filter(is_open);
        if let (Some(condition), None) = (open.next(), open.next()) {
            self.imply(condition, holds);
        }
    }
}
