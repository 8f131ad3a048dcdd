//! Compares two types, without the types that they refer to.
//!
//! The types that both refer to are compared next, as far as they are reached: a
//! [`Walk`](super::walk::Walk) reaches all of them, and a [`Usage`](super::usage::Usage) those of a
//! message.

use super::change::{Announced, Direction, What};
use super::object::Side;
use super::scope::Scope;
use super::step::Step;
use crate::schema::{Command, Feature, Schema};

/// Two schemas that are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schemas<'a> {
    pub(super) old: &'a Schema,
    pub(super) new: &'a Schema,
    pub(super) scope: Scope,
}

/// A comparison of two types in one direction.
pub(super) struct Comparison<'a> {
    pub(super) old: &'a Schema,
    pub(super) new: &'a Schema,
    pub(super) direction: Direction,
    pub(super) sides: (Side<'a>, Side<'a>),
    /// Members of a branch that are also common members on the other side, where they are compared.
    pub(super) ignored: Vec<String>,
    scope: Scope,
    level: Level<'a>,
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub(super) struct Level<'a> {
    pub(super) found: Vec<Found<'a>>,
    pub(super) parts: Vec<Parts<'a>>,
}

/// A change of one of the types.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) step: Step<'a>,
    pub(super) what: What,
    pub(super) breaking: bool,
    pub(super) announced: Option<Announced>,
}

/// Two types to which the compared ones refer.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) step: Step<'a>,
    pub(super) sides: (Side<'a>, Side<'a>),
    pub(super) ignored: Vec<String>,
}

impl<'a> Schemas<'a> {
    /// Returns the flags of a command that differ, and whether the difference breaks clients.
    pub(super) fn flags(self, old: &Command, new: &Command) -> Vec<(What, bool)> {
        // The last value of each flag is the one that restricts clients.
        let mut flags = vec![("allow-oob", old.allow_oob, new.allow_oob, false)];
        if self.scope == Scope::Schema {
            flags.extend([
                ("success-response", old.success_response, new.success_response, false),
                ("gen", old.generated, new.generated, true),
                ("allow-preconfig", old.allow_preconfig, new.allow_preconfig, false),
            ]);
        }
        let differs = flags.into_iter().filter(|(_, old, now, _)| old != now);
        differs.map(|(name, _, now, worse)| (What::Flag { name, now }, now == worse)).collect()
    }

    /// Compares two types.
    pub(super) fn compare(
        self,
        sides: (Side<'a>, Side<'a>),
        ignored: Vec<String>,
        direction: Direction,
    ) -> Level<'a> {
        let Self { old, new, scope } = self;
        let level = Level::default();
        let mut comparison = Comparison { old, new, direction, sides, ignored, scope, level };
        comparison.compare();
        comparison.level
    }
}

impl<'a> Comparison<'a> {
    pub(super) fn is_sent(&self) -> bool {
        self.direction == Direction::Sent
    }

    pub(super) fn compares_ranges(&self) -> bool {
        self.scope == Scope::Schema
    }

    pub(super) fn report(
        &mut self,
        step: Step<'a>,
        what: What,
        breaking: bool,
        announced: Option<Announced>,
    ) {
        self.level.found.push(Found { step, what, breaking, announced });
    }

    pub(super) fn follow(
        &mut self,
        step: Step<'a>,
        sides: (Side<'a>, Side<'a>),
        ignored: Vec<String>,
    ) {
        self.level.parts.push(Parts { step, sides, ignored });
    }
}

/// Returns the change that the features announce.
pub(super) fn announced(features: &[Feature]) -> Option<Announced> {
    let has = |name: &str| features.iter().any(|feature| feature.name == name);
    let deprecated = has("deprecated").then_some(Announced::Deprecated);
    deprecated.or_else(|| has("unstable").then_some(Announced::Unstable))
}

/// Returns the features that were removed or added.
pub(super) fn feature_changes(old: &[Feature], new: &[Feature]) -> Vec<What> {
    let missing = |from: &[Feature], name: &str| from.iter().all(|other| other.name != name);
    let removed = old.iter().filter(|feature| missing(new, &feature.name));
    let added = new.iter().filter(|feature| missing(old, &feature.name));
    removed
        .map(|feature| What::FeatureRemoved(feature.name.clone()))
        .chain(added.map(|feature| What::FeatureAdded(feature.name.clone())))
        .collect()
}

/// The maximum number of steps in a path that are shown.
const LONG_PATH: usize = 24;

/// Formats steps as a path. A very long path is abbreviated in the middle.
pub(super) fn path(mut steps: Vec<&str>) -> String {
    steps.retain(|step| !step.is_empty());
    if let Some(too_many) = steps.len().checked_sub(LONG_PATH).filter(|more| *more > 0) {
        steps.splice(LONG_PATH / 2..LONG_PATH / 2 + too_many, [" ... "]);
    }
    match steps.split_first() {
        Some((&"argument", [first, rest @ ..])) => {
            format!("argument {}{}", first.trim_start_matches('.'), rest.concat())
        }
        _ => steps.concat(),
    }
}
