//! Pragmas: which rules a schema may break.

use std::collections::HashSet;

use super::value::{Node, Value};
use crate::report::Report;
use crate::similar::did_you_mean;

/// The pragmas that hold for a schema.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pragmas {
    /// Whether everything must be documented, and the number of the directive that says so: the
    /// last one holds.
    doc_required: Option<(usize, bool)>,
    command_names: HashSet<String>,
    command_returns: HashSet<String>,
    member_names: HashSet<String>,
    /// None, if the schema is written for releases that did not know of it.
    documentation: Option<HashSet<String>>,
}

const KEYS: [&str; 5] = [
    "doc-required",
    "command-name-exceptions",
    "command-returns-exceptions",
    "documentation-exceptions",
    "member-name-exceptions",
];

impl Pragmas {
    /// Whether the command may have `_` in its name.
    pub(crate) fn permits_command_name(&self, name: &str) -> bool {
        self.command_names.contains(name)
    }

    /// Whether the members of the type may have `_` and uppercase letters in their names.
    pub(crate) fn permits_member_names(&self, name: &str) -> bool {
        self.member_names.contains(name)
    }

    /// Whether the command may return anything.
    pub(crate) fn permits_returns(&self, name: &str) -> bool {
        self.command_returns.contains(name)
    }

    /// Whether members of the definition need no documentation.
    pub(crate) fn permits_undocumented(&self, name: &str) -> bool {
        self.documentation.as_ref().is_some_and(|names| names.contains(name))
    }

    /// Whether the schema is of a time when members could be left undocumented: before QEMU 9.1,
    /// which brought `documentation-exceptions`.
    pub(crate) fn is_lenient_on_documentation(&self) -> bool {
        self.documentation.is_none()
    }

    /// Whether everything must be documented.
    pub(crate) fn requires_documentation(&self) -> bool {
        self.doc_required.is_some_and(|(_, required)| required)
    }

    /// Takes in what another file, or another directive, says.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.doc_required = self.doc_required.max(other.doc_required);
        self.command_names.extend(other.command_names.iter().cloned());
        self.command_returns.extend(other.command_returns.iter().cloned());
        self.member_names.extend(other.member_names.iter().cloned());
        if let Some(names) = &other.documentation {
            self.documentation.get_or_insert_default().extend(names.iter().cloned());
        }
    }
}

/// Reads the value of a `pragma` directive, which is the schema's `number`th.
pub(super) fn pragma(node: Node, number: usize, report: &mut Report) -> Pragmas {
    let mut pragmas = Pragmas::default();
    let what = node.describe();
    let Value::Object(members) = node.value else {
        report.error(node.span, format!("'pragma' takes an object, not {what}"));
        return pragmas;
    };
    for (key, node) in members {
        match key.text.as_str() {
            "doc-required" => match node.value {
                Value::Bool(required) => pragmas.doc_required = Some((number, required)),
                _ => report.error(node.span, "pragma 'doc-required' takes a boolean"),
            },
            "command-name-exceptions" => pragmas.command_names = names(&key.text, node, report),
            "command-returns-exceptions" => {
                pragmas.command_returns = names(&key.text, node, report);
            }
            "documentation-exceptions" => {
                pragmas.documentation = Some(names(&key.text, node, report));
            }
            "member-name-exceptions" => pragmas.member_names = names(&key.text, node, report),
            unknown => {
                let message = format!("there is no pragma '{unknown}'");
                let mut error = crate::diagnostic::Diagnostic::error(key.span, message);
                error.help = did_you_mean(unknown, KEYS);
                report.push(error);
            }
        }
    }
    pragmas
}

fn names(key: &str, node: Node, report: &mut Report) -> HashSet<String> {
    let span = node.span;
    let Value::Array(elements) = node.value else {
        report.error(span, format!("pragma '{key}' takes an array of strings"));
        return HashSet::new();
    };
    let mut names = HashSet::with_capacity(elements.len());
    for element in elements {
        match element.value {
            Value::String(name) => _ = names.insert(name),
            _ => report.error(element.span, format!("pragma '{key}' takes an array of strings")),
        }
    }
    names
}
