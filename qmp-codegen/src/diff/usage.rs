//! Finds the changes that touch what clients have sent and received.
//!
//! ```text
//! arguments, replies, data ──> Visit ──(old type, new type, value)──> changes that the value meets
//!                                 ^
//!                comparison of each pair of types, once ───────────────┘
//! ```
//!
//! The rules are those of the comparison of schemas. A value only selects which of the changes of its
//! types it meets, and which types are compared next.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

use serde_json::Value;

use super::change::{Change, Direction, Root, RootKind, What};
use super::comparison::{Found, Level, Parts, Schemas, announced, feature_changes, path};
use super::object::{Side, SideKey};
use super::scope::Scope;
use super::step::{Case, Step};
use super::values::{fits, fits_deeply, is_secret};
use crate::schema::{Builtin, Command, Definition, Event, Schema, TypeRef};

/// The changes between two schemas, as clients meet them.
///
/// A change that breaks some clients does not break those that do not use what was changed. Each
/// method takes a message that a client has sent or received when the old schema was in force, and
/// returns the changes that it meets:
///
/// - its command or event was removed, or became deprecated or unstable;
/// - it has members, values, branches or types that the new schema does not have;
/// - it was sent without a member that is now mandatory;
/// - it was received with a member that readers could rely on, and can no longer.
///
/// A path leads to the place in the message. Additions are not met, and neither are features, except
/// those that announce changes.
///
/// ```
/// use qmp_codegen::diff::{Scope, Usage};
/// use qmp_codegen::{Root, load};
/// use serde_json::json;
///
/// let schema = |members: &str| {
///     let text = format!("{{ 'command': 'paint', 'data': {{ {members} }} }}\n");
///     load([Root::Text { name: "paint.json".into(), text }]).map(|loaded| loaded.schema)
/// };
/// let (old, new) = (schema("'color': 'str', '*coats': 'int'")?, schema("'color': 'str'")?);
/// let mut usage = Usage::new(&old, &new, Scope::Schema);
/// let met = usage.command("paint", &json!({"color": "red"}), false);
/// assert_eq!(met, Some(vec![]));
/// let met = usage.command("paint", &json!({"color": "red", "coats": 2}), false).unwrap();
/// assert_eq!(met[0].to_string(), "command paint: argument coats: removed, was optional");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Usage<'a> {
    schemas: Schemas<'a>,
    commands: HashMap<&'a str, (&'a Command, Option<&'a Command>)>,
    events: HashMap<&'a str, (&'a Event, Option<&'a Event>)>,
    levels: HashMap<LevelKey<'a>, Rc<Level<'a>>>,
}

type LevelKey<'a> = (SideKey<'a>, SideKey<'a>, Vec<String>, Direction);

impl fmt::Debug for Usage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage").finish_non_exhaustive()
    }
}

impl<'a> Usage<'a> {
    /// Compares two schemas within a scope, on demand.
    ///
    /// ```
    /// use qmp_codegen::diff::{Scope, Usage};
    /// use serde_json::json;
    /// # use qmp_codegen::{Root, load};
    /// # let read = |text: &str| load([Root::Text { name: "garage.json".into(), text: text.into() }]);
    /// let old = read("{ 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }")?.schema;
    /// let new = read("{ 'command': 'park', 'data': { 'plate': 'str' } }")?.schema;
    /// let mut usage = Usage::new(&old, &new, Scope::Schema);
    /// let changes = usage.command("park", &json!({"plate": "BN-AB 123", "color": "red"}), false);
    /// assert_eq!(changes.map(|changes| changes.len()), Some(1));
    /// // A program that does not send the argument does not meet the change.
    /// let changes = usage.command("park", &json!({"plate": "BN-AB 123"}), false);
    /// assert_eq!(changes.map(|changes| changes.len()), Some(0));
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    #[must_use]
    pub fn new(old: &'a Schema, new: &'a Schema, scope: Scope) -> Self {
        let commands: HashMap<&str, &Command> =
            new.commands.iter().map(|new| (&*new.definition.name, new)).collect();
        let events: HashMap<&str, &Event> =
            new.events.iter().map(|new| (&*new.definition.name, new)).collect();
        let command = |old: &'a Command| {
            let name = &*old.definition.name;
            (name, (old, commands.get(name).copied()))
        };
        let event = |old: &'a Event| {
            let name = &*old.definition.name;
            (name, (old, events.get(name).copied()))
        };
        Self {
            schemas: Schemas { old, new, scope },
            commands: old.commands.iter().map(command).collect(),
            events: old.events.iter().map(event).collect(),
            levels: HashMap::new(),
        }
    }

    /// Returns the changes that a command meets, or none if the old schema does not have the command.
    ///
    /// ```
    /// use qmp_codegen::diff::{Scope, Usage};
    /// use serde_json::json;
    /// # use qmp_codegen::{Root, load};
    /// # let read = |text: &str| load([Root::Text { name: "garage.json".into(), text: text.into() }]);
    /// let old = read("{ 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }")?.schema;
    /// let new = read("{ 'command': 'park', 'data': { 'plate': 'str' } }")?.schema;
    /// let mut usage = Usage::new(&old, &new, Scope::Schema);
    /// let changes = usage.command("park", &json!({"plate": "BN-AB 123", "color": "red"}), false);
    /// assert_eq!(changes.map(|changes| changes.len()), Some(1));
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    pub fn command(
        &mut self,
        name: &str,
        arguments: &Value,
        out_of_band: bool,
    ) -> Option<Vec<Change>> {
        let (old, new) = *self.commands.get(name)?;
        let mut visit = Visit::new(self, RootKind::Command, &old.definition, Direction::Sent);
        let Some(new) = new else {
            visit.meets_root(What::Removed, true);
            return Some(visit.changes);
        };
        visit.definitions(&old.definition, &new.definition);
        for (what, breaking) in visit.usage.schemas.flags(old, new) {
            let is_met = out_of_band || !matches!(what, What::Flag { name: "allow-oob", .. });
            if breaking && is_met {
                visit.meets_root(what, breaking);
            }
        }
        let sides = (Side::of_arguments(&old.arguments), Side::of_arguments(&new.arguments));
        Some(visit.within("argument", sides, arguments))
    }

    /// Returns the changes that the return value of a command meets, or none if the old schema does
    /// not have the command. A command that was removed is not reported again.
    ///
    /// ```
    /// use qmp_codegen::diff::{Scope, Usage};
    /// use serde_json::json;
    /// # use qmp_codegen::{Root, load};
    /// # let read = |text: &str| load([Root::Text { name: "garage.json".into(), text: text.into() }]);
    /// let old = read("{ 'command': 'park', 'data': { 'plate': 'str', '*color': 'str' } }")?.schema;
    /// let new = read("{ 'command': 'park', 'data': { 'plate': 'str' } }")?.schema;
    /// let mut usage = Usage::new(&old, &new, Scope::Schema);
    /// assert_eq!(usage.reply("park", &json!({})), Some(Vec::new()));
    /// assert_eq!(usage.reply("leave", &json!({})), None);
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    pub fn reply(&mut self, command: &str, value: &Value) -> Option<Vec<Change>> {
        let (old, new) = *self.commands.get(command)?;
        let visit = Visit::new(self, RootKind::Command, &old.definition, Direction::Received);
        let Some(new) = new else { return Some(Vec::new()) };
        let side = |ty: &'a Option<TypeRef>| Side::of_optional(ty.as_ref());
        Some(visit.within("return", (side(&old.returns), side(&new.returns)), value))
    }

    /// Returns the changes that an event meets, or none if the old schema does not have the event.
    pub fn event(&mut self, name: &str, data: &Value) -> Option<Vec<Change>> {
        let (old, new) = *self.events.get(name)?;
        let mut visit = Visit::new(self, RootKind::Event, &old.definition, Direction::Received);
        let Some(new) = new else {
            visit.meets_root(What::Removed, true);
            return Some(visit.changes);
        };
        visit.definitions(&old.definition, &new.definition);
        let sides = (Side::of_arguments(&old.data), Side::of_arguments(&new.data));
        Some(visit.within("data", sides, data))
    }

    fn level(
        &mut self,
        sides: (Side<'a>, Side<'a>),
        ignored: &[String],
        direction: Direction,
    ) -> Rc<Level<'a>> {
        let key = (sides.0.key(), sides.1.key(), ignored.to_vec(), direction);
        let schemas = self.schemas;
        let compare = || Rc::new(schemas.compare(sides, ignored.to_vec(), direction));
        Rc::clone(self.levels.entry(key).or_insert_with(compare))
    }
}

/// A message, and the way to the value in it that is compared.
struct Visit<'u, 'a> {
    usage: &'u mut Usage<'a>,
    direction: Direction,
    root: Root,
    root_announced: Option<super::Announced>,
    prefix: &'static str,
    steps: Vec<Step<'a>>,
    changes: Vec<Change>,
    /// Elements of an array meet the same changes.
    met: HashSet<(String, What)>,
}

impl<'u, 'a> Visit<'u, 'a> {
    fn new(
        usage: &'u mut Usage<'a>,
        kind: RootKind,
        definition: &Definition,
        direction: Direction,
    ) -> Self {
        Self {
            usage,
            direction,
            root: Root { kind, name: definition.name.clone() },
            root_announced: announced(&definition.features),
            prefix: "",
            steps: Vec::new(),
            changes: Vec::new(),
            met: HashSet::new(),
        }
    }

    fn definitions(&mut self, old: &Definition, new: &Definition) {
        for what in feature_changes(&old.features, &new.features) {
            if announces(&what) {
                self.meets_root(what, false);
            }
        }
    }

    fn within(
        mut self,
        prefix: &'static str,
        sides: (Side<'a>, Side<'a>),
        value: &Value,
    ) -> Vec<Change> {
        self.prefix = prefix;
        self.value(sides, &[], value);
        self.changes
    }

    /// Compares the types of a value, and of what it contains.
    fn value(&mut self, sides: (Side<'a>, Side<'a>), ignored: &[String], value: &Value) {
        if is_secret(value) {
            return;
        }
        let level = self.usage.level(sides, ignored, self.direction);
        for found in &level.found {
            if self.is_met(found, sides, value) {
                self.steps.push(found.step);
                self.meets(found);
                self.steps.pop();
            }
        }
        for Parts { step, sides, ignored } in &level.parts {
            self.steps.push(*step);
            for part in parts(*step, value) {
                if *step != Step::Itself || fits(self.usage.schemas.old, sides.0, part, false) {
                    self.value(*sides, ignored, part);
                }
            }
            self.steps.pop();
        }
    }

    /// Returns whether a value meets a change of its types.
    fn is_met(&self, found: &Found<'a>, sides: (Side<'a>, Side<'a>), value: &Value) -> bool {
        let Schemas { old, new, scope } = self.usage.schemas;
        let is_sent = self.direction == Direction::Sent;
        let is_present = || parts(found.step, value).next().is_some();
        match &found.what {
            What::Added
            | What::BranchAdded(_)
            | What::ValueAdded(_)
            | What::AlternativeAdded(_)
            | What::FeatureRemoved(_) => false,
            What::FeatureAdded(_) => announces(&found.what) && is_present(),
            What::MemberRemoved { .. } => is_present(),
            What::MadeOptional => !is_sent && is_present(),
            What::MemberAdded { optional } | What::MemberWidened { optional, .. } if *optional => {
                false
            }
            What::MemberAdded { .. } | What::MemberWidened { .. } | What::MadeMandatory => {
                is_sent && is_absent(found.step, value)
            }
            What::MemberNarrowed { branches, .. } => {
                let tag = sides.1.object(new).and_then(|object| object.tag);
                let case = tag.and_then(|tag| value.get(tag)).and_then(Value::as_str);
                is_present() && !case.is_some_and(|case| branches.iter().any(|one| one == case))
            }
            What::ValueRemoved(name) => value == name.as_str(),
            What::BranchRemoved(case) => {
                let tag = sides.0.object(old).and_then(|object| object.tag);
                tag.is_some_and(|tag| {
                    value.get(tag).is_some_and(|value| value == case.as_str())
                        // Otherwise the discriminator meets a change, for the same reason.
                        && sides.1.object(new).is_some_and(|object| {
                            object.member(tag).is_some_and(|member| {
                                fits(new, Side::of(&member.ty), &Value::from(case.as_str()), false)
                            })
                        })
                })
            }
            // Of what could be anything, no part is compared.
            What::Type { .. } if is_sent && matches!(sides.0, Side::Builtin(Builtin::Any)) => {
                !fits_deeply(new, sides.1, value, scope == Scope::Schema)
            }
            What::Type { .. } | What::AlternativeRemoved(_) if is_sent => {
                !fits(new, sides.1, value, scope == Scope::Schema)
            }
            What::AlternativeRemoved(_) => !fits(new, sides.1, value, false),
            What::Type { .. } => found.breaking,
            What::Removed | What::Flag { .. } => true,
        }
    }

    fn meets(&mut self, found: &Found<'a>) {
        let steps: Vec<String> = self.steps.iter().map(Step::to_string).collect();
        let mut all = vec![self.prefix];
        all.extend(steps.iter().map(String::as_str));
        let path = path(all);
        if self.met.insert((path.clone(), found.what.clone())) {
            self.changes.push(Change {
                root: self.root.clone(),
                path,
                what: found.what.clone(),
                breaking: found.breaking,
                directions: vec![self.direction],
                announced: found.announced.or(self.root_announced),
                also: Vec::new(),
            });
        }
    }

    fn meets_root(&mut self, what: What, breaking: bool) {
        let announced = self.root_announced;
        let (root, path) = (self.root.clone(), String::new());
        let (directions, also) = (Vec::new(), Vec::new());
        self.changes.push(Change { root, path, what, breaking, directions, announced, also });
    }
}

/// Returns whether a change is that of a feature that announces changes.
fn announces(what: &What) -> bool {
    matches!(what, What::FeatureAdded(name) if name == "deprecated" || name == "unstable")
}

/// Returns the parts of a value to which a step leads.
fn parts<'v>(step: Step<'_>, value: &'v Value) -> Box<dyn Iterator<Item = &'v Value> + 'v> {
    match step {
        Step::Itself => Box::new(std::iter::once(value)),
        Step::Member(name) => Box::new(value.get(name).into_iter()),
        Step::Branch(case) => Box::new(selected(case, value).into_iter()),
        Step::BranchMember(case, name) => {
            Box::new(selected(case, value).and_then(|value| value.get(name)).into_iter())
        }
        Step::Element => Box::new(value.as_array().into_iter().flatten()),
        Step::Value(name) => Box::new((value == name).then_some(value).into_iter()),
    }
}

/// Returns whether a value is an object that has no member where a step leads to one.
fn is_absent(step: Step<'_>, value: &Value) -> bool {
    match step {
        Step::Member(name) => value.is_object() && value.get(name).is_none(),
        Step::BranchMember(case, name) => {
            selected(case, value).is_some_and(|value| value.get(name).is_none())
        }
        _ => false,
    }
}

/// Returns a value if it is of this case.
fn selected<'v>(case: Case<'_>, value: &'v Value) -> Option<&'v Value> {
    value.get(case.tag).filter(|tag| *tag == case.value).map(|_| value)
}
