//! A map by name.

use std::collections::HashMap;
use std::fmt;

/// A set of names.
pub(crate) type NameSet = Named<()>;

/// Values by name. Only the index is a hash table, so that its code is compiled once, and not for each
/// type of values.
#[derive(Clone)]
pub(crate) struct Named<V> {
    index: HashMap<String, usize>,
    values: Vec<V>,
}

impl<V: fmt::Debug> fmt::Debug for Named<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.names().collect();
        names.sort_unstable();
        f.debug_map().entries(names.into_iter().map(|name| (name, self.get(name)))).finish()
    }
}

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self { index: HashMap::new(), values: Vec::new() }
    }
}

impl<V> Named<V> {
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        self.index.get(name).map(|at| &self.values[*at])
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn insert(&mut self, name: String, value: V) {
        match self.index.get(&name) {
            Some(at) => self.values[*at] = value,
            None => self.push(name, value),
        }
    }

    /// Returns the value of a name, which is the default unless one has been inserted.
    pub(crate) fn entry(&mut self, name: String) -> &mut V
    where
        V: Default,
    {
        let at = self.index.get(&name).copied().unwrap_or(self.values.len());
        if at == self.values.len() {
            self.push(name, V::default());
        }
        &mut self.values[at]
    }

    fn push(&mut self, name: String, value: V) {
        self.index.insert(name, self.values.len());
        self.values.push(value);
    }

    /// Returns the names, in any order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }
}

impl NameSet {
    pub(crate) fn add(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            self.insert(name, ());
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for name in other.names() {
            self.insert(name.to_owned(), ());
        }
    }
}

impl<V: PartialEq> PartialEq for Named<V> {
    fn eq(&self, other: &Self) -> bool {
        self.values.len() == other.values.len()
            && self.names().all(|name| self.get(name) == other.get(name))
    }
}

impl<V: Eq> Eq for Named<V> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_insertion_does_not_matter() {
        let (mut one, mut other) = (Named::default(), Named::default());
        one.insert(String::from("a"), 1);
        *one.entry(String::from("b")) += 2;
        one.insert(String::from("a"), 3);
        other.insert(String::from("b"), 2);
        assert_ne!(one, other);
        other.insert(String::from("a"), 3);
        assert_eq!(one, other);
        assert_eq!((one.get("a"), one.get("c")), (Some(&3), None));
        let mut names: Vec<&str> = one.names().collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b"]);
    }
}
