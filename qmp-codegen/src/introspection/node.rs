//! Access to JSON values with their paths, for errors.

use serde_json::{Map, Value};

use super::error::{ImportError, ImportErrorKind};

/// A JSON value and its location.
#[derive(Clone, Copy)]
pub(super) struct Node<'v, 'p> {
    value: &'v Value,
    step: Step,
    parent: Option<&'p Node<'v, 'p>>,
}

#[derive(Clone, Copy)]
enum Step {
    Index(usize),
    Member(&'static str),
}

impl<'v> Node<'v, '_> {
    /// Creates the node for an element of the outermost array.
    pub(super) fn entry(value: &'v Value, index: usize) -> Self {
        Self { value, step: Step::Index(index), parent: None }
    }

    pub(super) fn error(&self, kind: ImportErrorKind) -> ImportError {
        ImportError::new(self.path(), kind)
    }

    pub(super) fn expected(&self, what: &'static str) -> ImportError {
        self.error(ImportErrorKind::Expected(what))
    }

    pub(super) fn member(&self, name: &'static str) -> Result<Node<'v, '_>, ImportError> {
        self.optional(name)?.ok_or_else(|| self.error(ImportErrorKind::Missing(name)))
    }

    pub(super) fn optional(&self, name: &'static str) -> Result<Option<Node<'v, '_>>, ImportError> {
        let child = |value| Node { value, step: Step::Member(name), parent: Some(self) };
        Ok(self.object()?.get(name).map(child))
    }

    pub(super) fn has(&self, name: &str) -> Result<bool, ImportError> {
        Ok(self.object()?.contains_key(name))
    }

    pub(super) fn elements(&self) -> Result<impl Iterator<Item = Node<'v, '_>>, ImportError> {
        let elements = self.value.as_array().ok_or_else(|| self.expected("an array"))?;
        let child = |(i, value)| Node { value, step: Step::Index(i), parent: Some(self) };
        Ok(elements.iter().enumerate().map(child))
    }

    pub(super) fn text(&self) -> Result<&'v str, ImportError> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    pub(super) fn boolean(&self) -> Result<bool, ImportError> {
        self.value.as_bool().ok_or_else(|| self.expected("a boolean"))
    }

    fn object(&self) -> Result<&'v Map<String, Value>, ImportError> {
        self.value.as_object().ok_or_else(|| self.expected("an object"))
    }

    fn path(&self) -> String {
        let mut path = self.parent.map(Node::path).unwrap_or_default();
        match self.step {
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Member(name) => {
                path.push('.');
                path.push_str(name);
            }
        }
        path
    }
}
