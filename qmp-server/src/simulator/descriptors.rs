//! File descriptors that clients pass to the machine.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use qmp_types::qmp::commands::{AddFd, Closefd, Getfd, QueryFdsets, RemoveFd};
use serde_json::{Value, json};

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
            match machine.descriptors.take(name) {
                Some(_) => done(),
                None => refuse(format!("File descriptor named '{name}' not found")),
            }
        })
        .on::<AddFd>(|machine, arguments, context| machine.add_descriptor(arguments, context))
        .on::<RemoveFd>(|machine, arguments, _| machine.remove_descriptor(arguments))
        .on::<QueryFdsets>(|machine, _, _| Ok(machine.descriptors.query()))
}

/// The descriptors by name, and the sets of descriptors by number.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    named: Vec<(String, File)>,
    sets: Vec<Set>,
    /// The number of descriptors that were added to sets.
    count: i64,
}

/// A set of descriptors.
#[derive(Debug)]
pub(super) struct Set {
    id: i64,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    number: i64,
    opaque: Option<String>,
    file: File,
}

impl Set {
    /// Returns the size of the file that the first descriptor refers to, and how much of it is
    /// allocated.
    pub(super) fn file_size(&self) -> Option<(u64, u64)> {
        let metadata = self.members.first()?.file.metadata().ok()?;
        Some((metadata.len(), metadata.len()))
    }

    /// Reads the beginning of the file, after `offset` bytes.
    pub(super) fn head(&self, offset: u64) -> Vec<u8> {
        let mut head = Vec::new();
        if let Some(Ok(mut file)) = self.members.first().map(|member| member.file.try_clone()) {
            if file.metadata().is_ok_and(|metadata| metadata.is_file())
                && file.seek(SeekFrom::Start(offset)).is_ok()
            {
                // A file that cannot be read has no known format.
                let _ = file.take(64 << 10).read_to_end(&mut head);
            }
        }
        head
    }
}

impl Descriptors {
    pub(super) fn set(&self, id: i64) -> Option<&Set> {
        self.sets.iter().find(|set| set.id == id)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.named.iter().any(|(known, _)| known == name)
    }

    fn take(&mut self, name: &str) -> Option<File> {
        let at = self.named.iter().position(|(known, _)| known == name)?;
        Some(self.named.remove(at).1)
    }

    fn query(&self) -> Value {
        let sets = self.sets.iter().map(|set| {
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
        self.descriptors.take(name);
        self.descriptors.named.push((name.to_owned(), file));
        done()
    }

    fn add_descriptor(&mut self, arguments: &Arguments, context: &mut Context) -> Reply {
        let Some(file) = received(context) else {
            return refuse("No file descriptor supplied via SCM_RIGHTS");
        };
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
            set.members.push(Member { number, opaque, file });
        }
        Ok(json!({"fdset-id": id, "fd": number}))
    }

    fn remove_descriptor(&mut self, arguments: &Arguments) -> Reply {
        let id = arguments.integer("fdset-id").unwrap_or_default();
        let number = arguments.integer("fd");
        let missing = || match number {
            Some(fd) => refuse(format!("File descriptor named 'fdset-id:{id}, fd:{fd}' not found")),
            None => refuse(format!("File descriptor named 'fdset-id:{id}' not found")),
        };
        let in_use = format!("/dev/fdset/{id}");
        let Some(set) = self.descriptors.sets.iter_mut().find(|set| set.id == id) else {
            return missing();
        };
        let before = set.members.len();
        set.members.retain(|member| number.is_some_and(|number| member.number != number));
        if set.members.len() == before {
            return missing();
        }
        // A set that a node uses stays, without its descriptors.
        let is_used = self.nodes.iter().any(|node| node.filename == in_use);
        self.descriptors.sets.retain(|set| !set.members.is_empty() || is_used);
        done()
    }
}
