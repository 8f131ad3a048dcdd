//! Walks two schemas in parallel, starting at their commands and events.
//!
//! Types are compared in pairs, breadth first and once per pair and direction. Therefore, recursion
//! ends, and a change of a shared type is reported once and with its shortest path.

use std::collections::{HashMap, HashSet, VecDeque};

use super::change::{Announced, Change, Difference, Direction, Root, RootKind, What};
use super::comparison::{Found, Parts, Schemas, announced, feature_changes, path};
use super::object::{Side, SideKey};
use super::scope::Scope;
use crate::schema::{Arguments, Command, Definition, Event, Schema, TypeRef};

pub(super) struct Walk<'a> {
    schemas: Schemas<'a>,
    roots: Vec<RootInfo>,
    pairs: Vec<Pair<'a>>,
    known: HashMap<PairKey<'a>, usize>,
    queue: VecDeque<(usize, Direction)>,
    findings: Vec<Finding>,
    /// The index of the finding of a pair at a step, so that the other direction is added to it.
    found: HashMap<(usize, String, What), usize>,
}

struct RootInfo {
    root: Root,
    announced: Option<Announced>,
}

/// Two types that are compared with each other.
struct Pair<'a> {
    old: Side<'a>,
    new: Side<'a>,
    /// Members of a branch that are also common members on the other side, where they are compared.
    ignored: Vec<String>,
    /// The commands, events, and pairs that refer to the pair.
    from: HashSet<From>,
    /// The first location at which the pair was reached in each direction.
    locations: [Option<Location>; 2],
}

type PairKey<'a> = (SideKey<'a>, SideKey<'a>, Vec<String>);

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum From {
    Root(usize),
    Pair(usize),
}

/// A location as a step from another, so that the total size of locations is linear in the length
/// of a chain.
#[derive(Clone)]
struct Location {
    root: usize,
    from: Option<At>,
    step: String,
}

struct Finding {
    /// The pair, or `None` for a command or event itself.
    pair: Option<usize>,
    location: Location,
    what: What,
    breaking: bool,
    directions: Vec<Direction>,
    announced: Option<Announced>,
}

/// A pair that is being compared.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) pair: usize,
    pub(super) direction: Direction,
}

impl<'a> Walk<'a> {
    pub(super) fn new(old: &'a Schema, new: &'a Schema, scope: Scope) -> Self {
        Self {
            schemas: Schemas { old, new, scope },
            roots: Vec::new(),
            pairs: Vec::new(),
            known: HashMap::new(),
            queue: VecDeque::new(),
            findings: Vec::new(),
            found: HashMap::new(),
        }
    }

    /// Compares commands and events themselves, and queues their types.
    pub(super) fn roots(&mut self) {
        self.commands();
        self.events();
    }

    /// Returns the next pair to compare.
    pub(super) fn next_pair(&mut self) -> Option<At> {
        self.queue.pop_front().map(|(pair, direction)| At { pair, direction })
    }

    /// Returns everything that was reported.
    pub(super) fn difference(mut self) -> Difference {
        self.findings.sort_by_key(|finding| finding.location.root);
        Difference { changes: self.findings.iter().map(|finding| self.change(finding)).collect() }
    }
}

/// Commands and events.
impl<'a> Walk<'a> {
    fn commands(&mut self) {
        let Schemas { old, new, .. } = self.schemas;
        let named = |name: &str| new.commands.iter().find(|one| one.definition.name == name);
        for command in &old.commands {
            let root = self.root(RootKind::Command, &command.definition);
            match named(&command.definition.name) {
                Some(new) => self.command(root, command, new),
                None => self.report_root(root, What::Removed, true),
            }
        }
        let known: HashSet<&str> = old.commands.iter().map(|c| &*c.definition.name).collect();
        for command in &new.commands {
            if !known.contains(&*command.definition.name) {
                let root = self.root(RootKind::Command, &command.definition);
                self.report_root(root, What::Added, false);
            }
        }
    }

    fn events(&mut self) {
        let Schemas { old, new, .. } = self.schemas;
        let named = |name: &str| new.events.iter().find(|one| one.definition.name == name);
        for event in &old.events {
            let root = self.root(RootKind::Event, &event.definition);
            match named(&event.definition.name) {
                Some(new) => self.event(root, event, new),
                None => self.report_root(root, What::Removed, true),
            }
        }
        let known: HashSet<&str> = old.events.iter().map(|e| &*e.definition.name).collect();
        for event in &new.events {
            if !known.contains(&*event.definition.name) {
                let root = self.root(RootKind::Event, &event.definition);
                self.report_root(root, What::Added, false);
            }
        }
    }

    fn command(&mut self, root: usize, old: &'a Command, new: &'a Command) {
        self.root_features(root, &old.definition, &new.definition);
        for (what, breaking) in self.schemas.flags(old, new) {
            self.report_root(root, what, breaking);
        }
        self.arguments(root, "argument", Direction::Sent, &old.arguments, &new.arguments);
        let returns = |ty: &'a Option<TypeRef>| Side::of_optional(ty.as_ref());
        let location = Location { root, from: None, step: String::from("return") };
        let sides = (returns(&old.returns), returns(&new.returns));
        self.enqueue(From::Root(root), sides, Vec::new(), Direction::Received, location);
    }

    fn event(&mut self, root: usize, old: &'a Event, new: &'a Event) {
        self.root_features(root, &old.definition, &new.definition);
        self.arguments(root, "data", Direction::Received, &old.data, &new.data);
    }

    fn arguments(
        &mut self,
        root: usize,
        path: &str,
        direction: Direction,
        old: &'a Arguments,
        new: &'a Arguments,
    ) {
        let location = Location { root, from: None, step: path.to_owned() };
        let sides = (Side::of_arguments(old), Side::of_arguments(new));
        self.enqueue(From::Root(root), sides, Vec::new(), direction, location);
    }

    fn root(&mut self, kind: RootKind, definition: &Definition) -> usize {
        let root = Root { kind, name: definition.name.clone() };
        self.roots.push(RootInfo { root, announced: announced(&definition.features) });
        self.roots.len() - 1
    }

    fn root_features(&mut self, root: usize, old: &Definition, new: &Definition) {
        for what in feature_changes(&old.features, &new.features) {
            self.report_root(root, what, false);
        }
    }

    fn report_root(&mut self, root: usize, what: What, breaking: bool) {
        let location = Location { root, from: None, step: String::new() };
        let (directions, announced) = (Vec::new(), self.roots[root].announced);
        self.findings.push(Finding { pair: None, location, what, breaking, directions, announced });
    }
}

/// Pairs and findings.
impl<'a> Walk<'a> {
    /// Compares a pair, and queues those that it refers to.
    pub(super) fn compare(&mut self, at: At) {
        let Pair { old, new, ref ignored, .. } = self.pairs[at.pair];
        let level = self.schemas.compare((old, new), ignored.clone(), at.direction);
        for found in level.found {
            self.report(at, found);
        }
        for Parts { step, sides, ignored } in level.parts {
            let location = self.location(at, step.to_string());
            self.enqueue(From::Pair(at.pair), sides, ignored, at.direction, location);
        }
    }

    fn report(&mut self, at: At, found: Found<'a>) {
        let Found { step, what, breaking, announced } = found;
        let location = self.location(at, step.to_string());
        let key = (at.pair, step.to_string(), what.clone());
        let Some(&known) = self.found.get(&key) else {
            self.found.insert(key, self.findings.len());
            let (pair, directions) = (Some(at.pair), vec![at.direction]);
            let finding = Finding { pair, location, what, breaking, directions, announced };
            self.findings.push(finding);
            return;
        };
        let finding = &mut self.findings[known];
        finding.directions.push(at.direction);
        if breaking && !finding.breaking {
            finding.breaking = true;
            finding.location = location;
        }
    }

    fn enqueue(
        &mut self,
        from: From,
        (old, new): (Side<'a>, Side<'a>),
        ignored: Vec<String>,
        direction: Direction,
        location: Location,
    ) {
        let key = (old.key(), new.key(), ignored.clone());
        let pairs = &mut self.pairs;
        let index = *self.known.entry(key).or_insert_with(|| {
            pairs.push(Pair { old, new, ignored, from: HashSet::new(), locations: [None, None] });
            pairs.len() - 1
        });
        let pair = &mut self.pairs[index];
        pair.from.insert(from);
        let known = &mut pair.locations[direction as usize];
        if known.is_none() {
            *known = Some(location);
            self.queue.push_back((index, direction));
        }
    }

    fn location(&self, at: At, step: String) -> Location {
        let from = self.pairs[at.pair].locations[at.direction as usize].as_ref();
        Location { root: from.map_or(0, |from| from.root), from: Some(at), step }
    }

    /// Formats a location as a path.
    fn path(&self, location: &Location) -> String {
        let mut steps = vec![location.step.as_str()];
        let mut next = location.from;
        while let Some(at) = next {
            let Some(location) = &self.pairs[at.pair].locations[at.direction as usize] else {
                break;
            };
            steps.push(&location.step);
            next = location.from;
        }
        steps.reverse();
        path(steps)
    }

    fn change(&self, finding: &Finding) -> Change {
        let roots = match finding.pair {
            Some(pair) => self.roots_of(pair),
            None => vec![finding.location.root],
        };
        // A shared change is announced only if it is announced for every command and event.
        let all = || roots.iter().map(|root| self.roots[*root].announced);
        let by_roots = all().all(|one| one.is_some()).then(|| all().next().flatten()).flatten();
        let others = roots.iter().filter(|root| **root != finding.location.root);
        Change {
            root: self.roots[finding.location.root].root.clone(),
            path: self.path(&finding.location),
            what: finding.what.clone(),
            breaking: finding.breaking,
            directions: finding.directions.clone(),
            announced: finding.announced.or(by_roots),
            also: others.map(|root| self.roots[*root].root.clone()).collect(),
        }
    }

    /// Returns the commands and events that refer to a pair, directly or indirectly, in order.
    fn roots_of(&self, pair: usize) -> Vec<usize> {
        let (mut roots, mut seen, mut open) = (Vec::new(), HashSet::from([pair]), vec![pair]);
        while let Some(pair) = open.pop() {
            for from in &self.pairs[pair].from {
                match from {
                    From::Root(root) => roots.push(*root),
                    From::Pair(from) if seen.insert(*from) => open.push(*from),
                    From::Pair(_) => {}
                }
            }
        }
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}
