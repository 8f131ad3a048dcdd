//! Objects with their types.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use qmp_client::Error;
use qmp_client::blocking::{Client, Ticket};
use qmp_client::qmp::commands::QomList;
use qmp_client::qmp::types::ObjectPropertyInfo;

use super::{Branch, DEEPEST, MOST};

/// The most queries in flight.
const IN_FLIGHT: usize = 64;

/// An object that has been found.
struct Object {
    parent: usize,
    depth: usize,
    name: String,
    path: String,
    kind: String,
    /// The numbers of its children that are not drawn, by type.
    hidden: BTreeMap<&'static str, usize>,
}

/// Types of children that are only counted: devices have dozens of them.
const HIDDEN: [&str; 3] = ["irq", "memory-region", "qemu:memory-region"];

pub(super) fn tree(vm: &Client, within: Duration) -> Result<Vec<Branch>, Error> {
    let until = Instant::now().checked_add(within);
    let root = Object {
        parent: 0,
        depth: 0,
        name: "/".to_owned(),
        path: String::new(),
        kind: "container".to_owned(),
        hidden: BTreeMap::new(),
    };
    let mut objects = vec![root];
    let mut asked: VecDeque<(usize, Ticket<Vec<ObjectPropertyInfo>>)> = VecDeque::new();
    let mut next = 0;
    loop {
        while asked.len() < IN_FLIGHT && next < objects.len() {
            let object = &objects[next];
            if object.depth < DEEPEST {
                let path = if next == 0 { "/" } else { &object.path };
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                let left = left.unwrap_or(within);
                asked.push_back((next, vm.call(QomList::new(path)).within(left).send()?));
            }
            next += 1;
        }
        let Some((parent, ticket)) = asked.pop_front() else { break };
        match ticket.receive() {
            Ok(properties) => add(&mut objects, parent, &properties),
            // The object went away meanwhile.
            Err(Error::Server(error)) if parent > 0 => drop(error),
            Err(error) => return Err(error),
        }
    }
    Ok(assemble(objects))
}

/// Adds the children among the properties of an object.
fn add(objects: &mut Vec<Object>, parent: usize, properties: &[ObjectPropertyInfo]) {
    let (path, depth) = (objects[parent].path.clone(), objects[parent].depth + 1);
    for property in properties {
        let kind = property.type_.strip_prefix("child<").and_then(|kind| kind.strip_suffix('>'));
        if let Some(hidden) = HIDDEN.into_iter().find(|hidden| kind == Some(hidden)) {
            *objects[parent].hidden.entry(hidden).or_default() += 1;
        } else if let (Some(kind), true) = (kind, objects.len() < MOST) {
            objects.push(Object {
                parent,
                depth,
                name: property.name.clone(),
                path: format!("{path}/{}", property.name),
                kind: kind.to_owned(),
                hidden: BTreeMap::new(),
            });
        }
    }
}

/// Puts each object into its parent, from the last one, whose parents are all before it.
fn assemble(objects: Vec<Object>) -> Vec<Branch> {
    let parents: Vec<usize> = objects.iter().map(|object| object.parent).collect();
    let branch = |object: Object| Branch {
        name: object.name,
        details: details(&object.kind, &object.hidden),
        ..Branch::default()
    };
    let mut branches: Vec<Branch> = objects.into_iter().map(branch).collect();
    while branches.len() > 1 {
        let Some(mut child) = branches.pop() else { break };
        child.children.reverse();
        if let Some(parent) = parents.get(branches.len()).and_then(|at| branches.get_mut(*at)) {
            parent.children.push(child);
        }
    }
    branches.iter_mut().for_each(|root| root.children.reverse());
    branches
}

fn details(kind: &str, hidden: &BTreeMap<&str, usize>) -> String {
    let counts: Vec<_> = hidden.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if counts.is_empty() { kind.to_owned() } else { format!("{kind}  (+ {})", counts.join(", ")) }
}
