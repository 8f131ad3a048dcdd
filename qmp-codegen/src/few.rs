//! A map for few keys.

use std::collections::HashMap;
use std::hash::Hash;

/// Up to this number of keys, comparing is faster than hashing.
const FEW: usize = 16;

/// A map in the order of insertion. Most objects, enums and comments have a handful of names, but
/// they may have any number.
pub(crate) struct Few<K, V> {
    entries: Vec<(K, V)>,
    /// The index of each key, once there are many.
    index: HashMap<K, usize>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), index: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Few<K, V> {
    pub(crate) fn new() -> Self {
        Self::with_capacity(0)
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { entries: Vec::with_capacity(capacity), index: HashMap::new() }
    }

    /// Adds a key, or returns the value of one that exists.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<&V> {
        if let Some(at) = self.find(key) {
            return self.entries.get(at).map(|(_, value)| value);
        }
        self.entries.push((key, value));
        let len = self.entries.len();
        if len > FEW {
            // The first time, this adds all earlier keys as well.
            for at in self.index.len()..len {
                self.index.insert(self.entries[at].0, at);
            }
        }
        None
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.find(key).and_then(|at| self.entries.get(at)).map(|(_, value)| value)
    }

    pub(crate) fn contains(&self, key: K) -> bool {
        self.find(key).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.entries.iter().map(|(key, value)| (*key, value))
    }

    fn find(&self, key: K) -> Option<usize> {
        if self.entries.len() > FEW {
            return self.index.get(&key).copied();
        }
        self.entries.iter().position(|(other, _)| *other == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_or_many_are_found() {
        for count in [0, 1, FEW - 1, FEW, FEW + 1, FEW + 2, 1000] {
            let mut map = Few::with_capacity(count);
            (0..count).for_each(|n| assert_eq!(map.insert(n, n * 2), None));
            assert_eq!(map.len(), count);
            assert!((0..count).all(|n| map.get(n) == Some(&(n * 2))), "{count}");
            assert!(!map.contains(count));
            assert!((0..count).all(|n| map.insert(n, 1) == Some(&(n * 2))), "{count}");
            assert!(map.iter().map(|(n, double)| (n, *double)).eq((0..count).map(|n| (n, n * 2))));
        }
    }
}
