//! The common properties of devices: for each type that several devices inherit from, those that
//! all of them have.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::accept::Device;

/// The largest number of ancestors of a device that are looked at. QEMU's have at most eight.
const MAX_ANCESTORS: usize = 32;

/// The types that become base structs.
#[derive(Debug, Default)]
pub(super) struct Bases<'d> {
    /// By name. A base comes after its own base in `order`.
    pub(super) bases: HashMap<&'d str, Base<'d>>,
    pub(super) order: Vec<&'d str>,
}

/// A type that several devices inherit from.
#[derive(Debug, Default)]
pub(super) struct Base<'d> {
    /// The nearest base above.
    pub(super) above: Option<&'d str>,
    /// The properties that all devices have, and that no base above has.
    pub(super) properties: Vec<usize>,
}

impl<'d> Bases<'d> {
    pub(super) fn of(devices: &[Device<'d>]) -> Self {
        let mut bases = Self::default();
        // The ancestors farthest from the devices come first.
        let mut levels: BTreeMap<usize, Vec<&'d str>> = BTreeMap::new();
        let mut heirs: HashMap<&'d str, Vec<&Device<'d>>> = HashMap::new();
        for device in devices {
            for (name, depth) in chain(device) {
                let heirs = heirs.entry(name).or_default();
                if heirs.is_empty() {
                    levels.entry(depth).or_default().push(name);
                }
                heirs.push(device);
            }
        }
        for name in levels.into_values().flatten() {
            let heirs = heirs.get(name).map(Vec::as_slice).unwrap_or_default();
            if heirs.len() > 1 {
                bases.add(name, heirs);
            }
        }
        bases
    }

    fn add(&mut self, name: &'d str, heirs: &[&Device<'d>]) {
        // Types of one QEMU are a tree. If an answer says otherwise, they share nothing.
        let mut above = heirs.iter().map(|heir| self.above(heir, name));
        let first = above.next().flatten();
        if !above.all(|other| other == first) {
            return;
        }
        let inherited: HashSet<usize> = self.inherited(first).collect();
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for property in heirs.iter().flat_map(|heir| &heir.properties) {
            *counts.entry(*property).or_default() += 1;
        }
        let common = |property: &&usize| {
            counts.get(property) == Some(&heirs.len()) && !inherited.contains(property)
        };
        let candidates = heirs.first().map(|heir| heir.properties.as_slice()).unwrap_or_default();
        let properties: Vec<usize> = candidates.iter().filter(common).copied().collect();
        if !properties.is_empty() {
            self.bases.insert(name, Base { above: first, properties });
            self.order.push(name);
        }
    }

    /// Returns the base of a device that is nearest above one of its ancestors.
    fn above(&self, device: &Device<'d>, below: &str) -> Option<&'d str> {
        let mut chain = chain(device).map(|(name, _)| name).skip_while(|name| *name != below);
        chain.next();
        chain.find(|name| self.bases.contains_key(name))
    }

    /// Returns the nearest base of a device.
    pub(super) fn nearest(&self, device: &Device<'d>) -> Option<&'d str> {
        chain(device).map(|(name, _)| name).find(|name| self.bases.contains_key(name))
    }

    /// Returns the properties of a base and of those above.
    pub(super) fn inherited(&self, base: Option<&'d str>) -> impl Iterator<Item = usize> {
        let next = |name: &&'d str| self.bases.get(name)?.above;
        let names = std::iter::successors(base, next);
        names
            .filter_map(|name| self.bases.get(name))
            .flat_map(|base| base.properties.iter().copied())
    }
}

/// Returns a device and its ancestors, each with its distance from the root.
fn chain<'d>(device: &Device<'d>) -> impl Iterator<Item = (&'d str, usize)> {
    let source = device.source;
    let depth = source.ancestors.len().min(MAX_ANCESTORS);
    let names = std::iter::once(&source.name).chain(&source.ancestors[..depth]);
    names.enumerate().map(move |(distance, name)| (name.as_str(), depth - distance))
}
