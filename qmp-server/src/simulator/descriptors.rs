//! File descriptors that clients pass to the machine.

use std::fs::File;
use std::sync::Arc;

use qmp_types::QmpError;
use qmp_types::qmp::commands::{AddFd, Closefd, Getfd, QueryFdsets, RemoveFd};
use serde_json::{Value, json};

use super::descriptor_set::{self, Member, Set};
use super::machine::Machine;
use super::replies::{Arguments, Handle, Reply, done, refuse};
use crate::context::Context;
use crate::router::Router;

/// The first number of the descriptors that `add-fd` reports.
const FIRST: i64 = 20;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<Getfd>(|machine, arguments, context| machine.get_descriptor(arguments, context))
        .on::<Closefd>(|machine, arguments, _| {
            let name = arguments.required("fdname");
            match machine.descriptors.remove(name) {
                Some(_) => done(),
                None => refuse(format!("File descriptor named '{name}' not found")),
            }
        })
        .on::<AddFd>(|machine, arguments, context| machine.add_descriptor(arguments, context))
        .on::<RemoveFd>(|machine, arguments, _| machine.remove_descriptor(arguments))
        .on::<QueryFdsets>(|machine, _, _| {
            machine.drop_unused_sets();
            Ok(machine.descriptors.query())
        })
}

/// The descriptors by name, and the sets of descriptors by number.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    named: Vec<(String, File)>,
    sets: Vec<Set>,
    /// The number of descriptors that were added to sets.
    count: i64,
}

impl Descriptors {
    /// Takes the descriptor that has a name: a command uses it up, even if it fails.
    pub(super) fn take(&mut self, name: &str) -> Result<File, QmpError> {
        let missing = format!("File descriptor named '{name}' has not been found");
        self.remove(name).ok_or_else(|| QmpError::generic(missing))
    }

    /// Returns a descriptor of the set that a path names, for access as in `flags` of `open`, or
    /// `None` if the path names no set.
    pub(super) fn open(&self, path: &str, flags: u32) -> Option<Result<Arc<File>, QmpError>> {
        let id = path.strip_prefix(descriptor_set::PREFIX)?;
        let Ok(id) = id.parse::<i64>() else {
            return Some(refuse(format!("Could not parse fdset {path}")));
        };
        let Some(set) = self.sets.iter().find(|set| set.id == id) else {
            return Some(refuse(format!("Failed to find fdset {path}")));
        };
        let missing = format!("Failed to find file descriptor with matching flags=0x{flags:x}");
        Some(set.open(flags).ok_or_else(|| QmpError::generic(missing)))
    }

    fn remove(&mut self, name: &str) -> Option<File> {
        let at = self.named.iter().position(|(known, _)| known == name)?;
        Some(self.named.remove(at).1)
    }

    /// Describes the sets, those with the highest numbers first, as QEMU does.
    fn query(&self) -> Value {
        let sets = self.sets.iter().rev().map(|set| {
            let members = set.members.iter().map(|member| {
                let mut info = json!({"fd": member.number});
                if let Some(opaque) = &member.opaque {
                    info["opaque"] = opaque.as_str().into();
                }
                info
            });
            json!({"fdset-id": set.id, "fds": members.collect::<Value>()})
        });
        sets.collect()
    }
}

/// Takes the descriptor that a client has sent with its command.
fn received(context: &mut Context) -> Option<File> {
    #[cfg(unix)]
    return context.take_descriptor().map(File::from);
    #[cfg(not(unix))]
    context.take_descriptor().map(|never| match never {})
}

impl Machine {
    fn get_descriptor(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let name = arguments.required("fdname");
        let Some(file) = received(context) else {
            return refuse("No file descriptor supplied via SCM_RIGHTS");
        };
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            return refuse("Parameter 'fdname' expects a name not starting with a digit");
        }
        self.descriptors.remove(name);
        self.descriptors.named.push((name.to_owned(), file));
        done()
    }

    fn add_descriptor(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let Some(file) = received(context) else {
            return refuse("No file descriptor supplied via SCM_RIGHTS");
        };
        self.drop_unused_sets();
        let wanted = arguments.integer("fdset-id");
        if wanted.is_some_and(|id| id < 0) {
            return refuse("Parameter 'fdset-id' expects a non-negative value");
        }
        let descriptors = &mut self.descriptors;
        let is_free = |id: &i64| descriptors.sets.iter().all(|set| set.id != *id);
        let id = wanted.or_else(|| (0..).find(is_free)).unwrap_or_default();
        if is_free(&id) {
            descriptors.sets.push(Set { id, members: Vec::new() });
            descriptors.sets.sort_by_key(|set| set.id);
        }
        let number = FIRST + descriptors.count;
        descriptors.count += 1;
        let opaque = arguments.text("opaque").map(str::to_owned);
        if let Some(set) = descriptors.sets.iter_mut().find(|set| set.id == id) {
            set.members.push(Member { number, opaque, file: Arc::new(file) });
        }
        Ok(json!({"fdset-id": id, "fd": number}))
    }

    fn remove_descriptor(&mut self, arguments: &Arguments) -> Reply {
        let id = arguments.integer("fdset-id").unwrap_or_default();
        let number = arguments.integer("fd");
        self.drop_unused_sets();
        let missing = || match number {
            Some(fd) => refuse(format!("File descriptor named 'fdset-id:{id}, fd:{fd}' not found")),
            None => refuse(format!("File descriptor named 'fdset-id:{id}' not found")),
        };
        let Some(set) = self.descriptors.sets.iter_mut().find(|set| set.id == id) else {
            return missing();
        };
        let before = set.members.len();
        set.members.retain(|member| number.is_some_and(|number| member.number != number));
        if set.members.len() == before {
            return missing();
        }
        self.drop_unused_sets();
        done()
    }

    /// Removes the sets that have lost their descriptors, except those that nodes use.
    fn drop_unused_sets(&mut self) {
        let nodes = &self.nodes;
        self.descriptors.sets.retain(|set| {
            let path = format!("{}{}", descriptor_set::PREFIX, set.id);
            !set.members.is_empty() || nodes.iter().any(|node| node.filename == path)
        });
    }
}
