//! Parses pragmas, the exceptions of a schema to the rules.

use super::value::{Node, Value};
use crate::ast::Name;
use crate::named::NameSet;
use crate::report::Report;
use crate::similar::did_you_mean;

/// The pragmas that apply to a schema.
#[derive(Default)]
pub(crate) struct Pragmas {
    /// The number of the directive that sets `doc-required`, and its value. The last directive
    /// applies.
    doc_required: Option<(usize, bool)>,
    command_names: NameSet,
    command_returns: NameSet,
    member_names: NameSet,
    /// The types with members or values that QAPI cannot name.
    foreign_names: NameSet,
    /// `None` if the schema does not use the pragma, which QEMU 9.1 introduced.
    documentation: Option<NameSet>,
    /// The members that are secret, as `DEFINITION.MEMBER`.
    secret_members: Vec<Name>,
    /// The commands that have no effect.
    read_only_commands: Vec<Name>,
}

const KEYS: [&str; 8] = [
    "doc-required",
    "command-name-exceptions",
    "command-returns-exceptions",
    "documentation-exceptions",
    "foreign-name-exceptions",
    "member-name-exceptions",
    "read-only-commands",
    "secret-members",
];

/// The pragmas that later releases renamed.
const OLD_KEYS: [&str; 2] = ["returns-whitelist", "name-case-whitelist"];

impl Pragmas {
    /// Whether the name of the command may contain `_`.
    pub(crate) fn permits_command_name(&self, name: &str) -> bool {
        self.command_names.contains(name)
    }

    /// Whether the names of the type's members may contain `_` and uppercase letters.
    pub(crate) fn permits_member_names(&self, name: &str) -> bool {
        self.member_names.contains(name)
    }

    /// Whether the names of the type's members and values may be those of another protocol, such as
    /// `sse4.1`.
    ///
    /// QEMU's own generator does not have this pragma.
    pub(crate) fn permits_foreign_names(&self, name: &str) -> bool {
        self.foreign_names.contains(name)
    }

    /// Whether the command may return any type.
    pub(crate) fn permits_returns(&self, name: &str) -> bool {
        self.command_returns.contains(name)
    }

    /// Whether members of the definition may be undocumented.
    pub(crate) fn permits_undocumented(&self, name: &str) -> bool {
        self.documentation.as_ref().is_some_and(|names| names.contains(name))
    }

    /// Whether the schema predates QEMU 9.1, which introduced `documentation-exceptions`. Before
    /// that, members could be undocumented.
    pub(crate) fn is_lenient_on_documentation(&self) -> bool {
        self.documentation.is_none()
    }

    /// Whether every definition must be documented.
    pub(crate) fn requires_documentation(&self) -> bool {
        self.doc_required.is_some_and(|(_, required)| required)
    }

    /// Returns the members that are secret, as `DEFINITION.MEMBER`.
    ///
    /// QEMU's own generator does not have this pragma.
    pub(crate) fn secret_members(&self) -> &[Name] {
        &self.secret_members
    }

    /// Returns the commands that have no effect.
    ///
    /// QEMU's own generator does not have this pragma.
    pub(crate) fn read_only_commands(&self) -> &[Name] {
        &self.read_only_commands
    }

    /// Adds the pragmas of another file or directive.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.doc_required = self.doc_required.max(other.doc_required);
        self.command_names.merge(&other.command_names);
        self.command_returns.merge(&other.command_returns);
        self.member_names.merge(&other.member_names);
        self.foreign_names.merge(&other.foreign_names);
        if let Some(names) = &other.documentation {
            self.documentation.get_or_insert_default().merge(names);
        }
        self.secret_members.extend(other.secret_members.iter().cloned());
        self.read_only_commands.extend(other.read_only_commands.iter().cloned());
    }
}

/// Parses the value of a schema's `pragma` directive number `number`.
pub(super) fn pragma(node: Node, number: usize, report: &mut Report) -> Pragmas {
    let mut pragmas = Pragmas::default();
    let what = node.describe();
    let Value::Object(members) = node.value else {
        report.error(node.span, format!("'pragma' must be an object, not {what}"));
        return pragmas;
    };
    for (key, node) in members {
        match key.text.as_str() {
            "doc-required" => match node.value {
                Value::Bool(required) => pragmas.doc_required = Some((number, required)),
                _ => report.error(node.span, "pragma 'doc-required' must be a boolean"),
            },
            "command-name-exceptions" => pragmas.command_names = names(&key.text, node, report),
            "command-returns-exceptions" => {
                pragmas.command_returns = names(&key.text, node, report);
            }
            "documentation-exceptions" => {
                pragmas.documentation = Some(names(&key.text, node, report));
            }
            "foreign-name-exceptions" => pragmas.foreign_names = names(&key.text, node, report),
            "member-name-exceptions" => pragmas.member_names = names(&key.text, node, report),
            "read-only-commands" => pragmas.read_only_commands = list(&key.text, node, report),
            "secret-members" => pragmas.secret_members = list(&key.text, node, report),
            unknown => {
                let message = format!("unknown pragma '{unknown}'");
                let mut error = crate::diagnostic::Diagnostic::error(key.span, message);
                error.help = did_you_mean(unknown, KEYS);
                report.unknown(error);
                if OLD_KEYS.contains(&unknown) {
                    report.note_certainly_old_language(key.span);
                }
            }
        }
    }
    pragmas
}

fn names(key: &str, node: Node, report: &mut Report) -> NameSet {
    let mut names = NameSet::default();
    names.add(list(key, node, report).into_iter().map(|name| name.text));
    names
}

fn list(key: &str, node: Node, report: &mut Report) -> Vec<Name> {
    let span = node.span;
    let Value::Array(elements) = node.value else {
        report.error(span, format!("pragma '{key}' must be an array of strings"));
        return Vec::new();
    };
    let mut names = Vec::with_capacity(elements.len());
    for element in elements {
        match element.value {
            Value::String(text) => names.push(Name { text, span: element.span }),
            _ => report.error(element.span, format!("pragma '{key}' must be an array of strings")),
        }
    }
    names
}
