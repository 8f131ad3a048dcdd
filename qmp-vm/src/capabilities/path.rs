//! Follows a path through a schema.

use std::collections::HashSet;

use qmp_types::qmp::types::{SchemaInfo, SchemaInfoMetaType as Meta};

use super::table::{Place, Table};

/// Returns whether a path leads to an element of the schema.
///
/// A type may lead to others by the same step, and these to itself: QEMU decides on the graph. Each
/// place is visited once for each number of steps, and none by recursion.
pub(super) fn leads(table: &Table, path: &str) -> bool {
    let mut steps = path.split('/');
    let Some(start) = steps.next().and_then(|name| table.find(name)) else { return false };
    let steps: Vec<&str> = steps.collect();
    match table.decode(&start) {
        Some(SchemaInfo { meta_type: Meta::Command(_) | Meta::Event(_), .. }) => {}
        // The names of types are internal to QEMU, and change.
        _ => return false,
    }
    let mut walk = Walk { table, todo: vec![(start, &steps)], seen: HashSet::new() };
    while let Some((place, steps)) = walk.todo.pop() {
        if walk.seen.insert((place.clone(), steps.len()))
            && table.decode(&place).is_some_and(|entry| walk.arrives(&entry, steps))
        {
            return true;
        }
    }
    false
}

struct Walk<'w> {
    table: &'w Table,
    /// Entries, each with the steps that follow.
    todo: Vec<(Place, &'w [&'w str])>,
    seen: HashSet<(Place, usize)>,
}

impl<'w> Walk<'w> {
    /// Adds a type to those that are visited.
    fn visit(&mut self, name: &str, steps: &'w [&'w str]) -> bool {
        self.todo.extend(self.table.find(name).map(|place| (place, steps)));
        false
    }

    /// Returns whether the steps end at an entry, and otherwise adds what they lead to.
    fn arrives(&mut self, entry: &SchemaInfo, steps: &'w [&'w str]) -> bool {
        let Some((step, rest)) = steps.split_first() else { return true };
        if let Some(feature) = step.strip_prefix('$') {
            return rest.is_empty() && has_feature(entry.features.as_deref(), feature);
        }
        match &entry.meta_type {
            Meta::Command(command) => match *step {
                "arg-type" => self.visit(&command.arg_type, rest),
                "ret-type" => self.visit(&command.ret_type, rest),
                _ => self.visit(&command.arg_type, steps),
            },
            Meta::Event(event) => match *step {
                "arg-type" => self.visit(&event.arg_type, rest),
                _ => self.visit(&event.arg_type, steps),
            },
            Meta::Array(array) => self.visit(&array.element_type, steps),
            Meta::Enum(values) => {
                let value = values.members.iter().find(|value| value.name == *step);
                match (value, rest) {
                    (Some(_), []) => true,
                    (Some(value), [feature]) => feature
                        .strip_prefix('$')
                        .is_some_and(|feature| has_feature(value.features.as_deref(), feature)),
                    _ => false,
                }
            }
            Meta::Object(object) => {
                if let Some(member) = object.members.iter().find(|member| member.name == *step) {
                    let feature = match rest {
                        [feature] => feature.strip_prefix('$'),
                        _ => None,
                    };
                    let features = member.features.as_deref();
                    return feature.is_some_and(|feature| has_feature(features, feature))
                        || self.visit(&member.type_, rest);
                }
                for branch in object.variants.iter().flatten() {
                    if branch.case == *step {
                        self.visit(&branch.type_, rest);
                    }
                    self.visit(&branch.type_, steps);
                }
                false
            }
            Meta::Alternate(alternate) => {
                alternate.members.iter().for_each(|member| _ = self.visit(&member.type_, steps));
                false
            }
            _ => false,
        }
    }
}

fn has_feature(features: Option<&[String]>, wanted: &str) -> bool {
    features.unwrap_or_default().iter().any(|feature| feature == wanted)
}
