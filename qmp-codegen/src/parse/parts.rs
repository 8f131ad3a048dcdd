//! Parses the parts of definitions: members, values, features, conditions, and references to types.

use super::value::{Node, Value};
use crate::ascii;
use crate::ast::{self, Alternative, Branch, Feature, Member, Name, TypeName};
use crate::diagnostic::{Diagnostic, Rule};
use crate::report::Report;
use crate::schema::Condition;
use crate::similar::did_you_mean;

/// Returns how a message refers to a part. It is only called for an error.
pub(super) type What<'w> = &'w dyn Fn() -> String;

/// The definition to which the parts belong.
pub(super) struct Parts<'r> {
    pub(super) report: &'r mut Report,
    pub(super) kind: ast::Kind,
    /// The name of the definition, for diagnostics.
    pub(super) name: String,
    /// Whether an error has been reported.
    pub(super) broken: bool,
}

/// The keys that have not been read yet of a part in its long form, an object instead of a name.
pub(super) struct Long {
    members: Vec<(Name, Node)>,
}

impl Long {
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let at = self.members.iter().position(|(name, _)| name.text == key)?;
        Some(self.members.swap_remove(at).1)
    }
}

impl Parts<'_> {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.broken = true;
        self.report.push(diagnostic.within(self.kind, &self.name));
    }

    pub(super) fn error(&mut self, span: crate::source::Span, message: impl Into<String>) {
        self.push(Diagnostic::error(span, message));
    }

    /// Reports unknown keys.
    pub(super) fn check_keys(&mut self, members: &[(Name, Node)], known: &[&str], what: What<'_>) {
        for (key, _) in members {
            if !known.contains(&key.text.as_str()) {
                let message = format!("unknown key '{}' in {}", key.text, what());
                let mut error = Diagnostic::error(key.span, message).by(Rule::UnknownKey);
                error.help = did_you_mean(&key.text, known.iter().copied())
                    .or_else(|| Some(format!("valid keys are '{}'", known.join("', '"))));
                let error = error.within(self.kind, &self.name);
                self.broken |= self.report.unknown(error);
            }
        }
    }

    pub(super) fn string(&mut self, node: Node, what: What<'_>) -> Option<Name> {
        match node.value {
            Value::String(text) => Some(Name { text, span: node.span }),
            _ => {
                let message = format!("{} must be a string, not {}", what(), node.describe());
                self.error(node.span, message);
                None
            }
        }
    }

    /// Parses the members of an object: data of a struct, an inline base, or arguments.
    pub(super) fn members(&mut self, node: Node, what: What<'_>) -> Vec<Member> {
        let Some(members) = self.object(node, what) else { return Vec::new() };
        let mut parsed = Vec::with_capacity(members.len());
        for (name, node) in members {
            if let Some(member) = self.member(name, node) {
                parsed.push(member);
            }
        }
        parsed
    }

    fn member(&mut self, key: Name, node: Node) -> Option<Member> {
        let (text, optional) = match key.text.strip_prefix('*') {
            Some(name) => (name.to_owned(), true),
            None => (key.text, false),
        };
        let name = Name { text, span: key.span };
        let what = || format!("member '{}'", name.text);
        let (ty, mut long) = self.long(node, &what, &["type", "if", "features"])?;
        let condition = self.take_condition(&mut long);
        let features = self.take_features(&mut long);
        let ty = self.type_name(ty, &what)?;
        Some(Member { name, ty, optional, condition, features })
    }

    pub(super) fn branches(&mut self, node: Node) -> Vec<Branch> {
        let Some(members) = self.object(node, &|| String::from("the 'data' of a union")) else {
            return Vec::new();
        };
        let mut branches = Vec::with_capacity(members.len());
        for (name, node) in members {
            if let Some(branch) = self.branch(name, node) {
                branches.push(branch);
            }
        }
        branches
    }

    fn branch(&mut self, name: Name, node: Node) -> Option<Branch> {
        let what = || format!("branch '{}'", name.text);
        let (ty, mut long) = self.long(node, &what, &["type", "if"])?;
        let condition = self.take_condition(&mut long);
        let ty = self.string(ty, &|| format!("the type of {}", what()))?;
        Some(Branch { name, ty, condition })
    }

    pub(super) fn alternatives(&mut self, node: Node) -> Vec<Alternative> {
        let Some(members) = self.object(node, &|| String::from("the 'data' of an alternate"))
        else {
            return Vec::new();
        };
        let mut alternatives = Vec::with_capacity(members.len());
        for (name, node) in members {
            if let Some(alternative) = self.alternative(name, node) {
                alternatives.push(alternative);
            }
        }
        alternatives
    }

    fn alternative(&mut self, name: Name, node: Node) -> Option<Alternative> {
        let what = || format!("alternative '{}'", name.text);
        let (ty, mut long) = self.long(node, &what, &["type", "if"])?;
        let condition = self.take_condition(&mut long);
        let ty = self.type_name(ty, &what)?;
        Some(Alternative { name, ty, condition })
    }

    pub(super) fn values(&mut self, node: Node) -> Vec<ast::Value> {
        let elements = self.array(node, &|| String::from("the 'data' of an enum"));
        let mut values = Vec::with_capacity(elements.len());
        for node in elements {
            let what = || String::from("a value");
            let Some((name, mut long)) = self.named(node, &what, &["name", "if", "features"])
            else {
                continue;
            };
            let condition = self.take_condition(&mut long);
            let features = self.take_features(&mut long);
            values.push(ast::Value { name, condition, features });
        }
        values
    }

    pub(super) fn features(&mut self, node: Node) -> Vec<Feature> {
        let elements = self.array(node, &|| String::from("'features'"));
        let mut features = Vec::with_capacity(elements.len());
        for node in elements {
            let what = || String::from("a feature");
            let Some((name, mut long)) = self.named(node, &what, &["name", "if"]) else { continue };
            let condition = self.take_condition(&mut long);
            features.push(Feature { name, condition });
        }
        features
    }

    fn take_features(&mut self, long: &mut Long) -> Vec<Feature> {
        match long.take("features") {
            Some(node) => self.features(node),
            None => Vec::new(),
        }
    }

    /// Parses the name of a type, or an array of one name.
    pub(super) fn type_name(&mut self, node: Node, what: What<'_>) -> Option<TypeName> {
        let (node, array) = match node.value {
            Value::Array(mut elements) if elements.len() == 1 => (elements.pop()?, true),
            value => (Node { value, ..node }, false),
        };
        match node.value {
            Value::String(text) => Some(TypeName { name: Name { text, span: node.span }, array }),
            _ => {
                let message =
                    format!("the type of {} must be a name or an array of one name", what());
                self.error(node.span, message);
                None
            }
        }
    }

    fn take_condition(&mut self, long: &mut Long) -> Option<Condition> {
        self.condition(long.take("if")?)
    }

    pub(super) fn condition(&mut self, node: Node) -> Option<Condition> {
        let span = node.span;
        match node.value {
            Value::String(symbol) => {
                let is_valid = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
                if ascii::begins_with(&symbol, u8::is_ascii_uppercase)
                    && symbol.bytes().all(is_valid)
                {
                    return Some(Condition::Symbol(symbol));
                }
                let message = format!("'{symbol}' is not a valid symbol for a condition");
                let help = "symbols begin with an uppercase letter, and contain uppercase letters, \
                            digits, and '_'";
                self.push(Diagnostic::error(span, message).help(help));
                if symbol.contains("defined(") {
                    self.report.note_old_language(span);
                }
                None
            }
            Value::Object(members) => {
                self.check_keys(&members, &["all", "any", "not"], &|| String::from("a condition"));
                let mut members = members.into_iter();
                let (Some((key, node)), None) = (members.next(), members.next()) else {
                    let message =
                        "a condition must have exactly one of the keys 'all', 'any', and 'not'";
                    self.error(span, message);
                    return None;
                };
                if key.text == "not" {
                    return Some(Condition::Not(Box::new(self.condition(node)?)));
                }
                if matches!(&node.value, Value::Array(elements) if elements.is_empty()) {
                    let message = format!("'{}' must have at least one condition", key.text);
                    self.error(node.span, message);
                }
                let mut all = Vec::new();
                for node in self.array(node, &|| format!("'{}'", key.text)) {
                    all.push(self.condition(node)?);
                }
                Some(if key.text == "all" { Condition::All(all) } else { Condition::Any(all) })
            }
            value => {
                let message =
                    "a condition must be a string or an object with 'all', 'any', or 'not'";
                self.error(span, message);
                if matches!(value, Value::Array(_)) {
                    self.report.note_old_language(span);
                }
                None
            }
        }
    }

    /// Parses a flag that can only have the value that is not its default. Returns whether it is
    /// present.
    pub(super) fn flag(&mut self, node: Option<Node>, key: &str, only: bool) -> bool {
        let Some(node) = node else { return false };
        if !matches!(node.value, Value::Bool(value) if value == only) {
            self.error(node.span, format!("'{key}' must be {only} or absent"));
        }
        true
    }

    pub(super) fn object(&mut self, node: Node, what: What<'_>) -> Option<Vec<(Name, Node)>> {
        match node.value {
            Value::Object(members) => Some(members),
            _ => {
                let message = format!("{} must be an object, not {}", what(), node.describe());
                self.error(node.span, message);
                None
            }
        }
    }

    fn array(&mut self, node: Node, what: What<'_>) -> Vec<Node> {
        match node.value {
            Value::Array(elements) => elements,
            _ => {
                let message = format!("{} must be an array, not {}", what(), node.describe());
                self.error(node.span, message);
                Vec::new()
            }
        }
    }

    /// Parses a part with a type, either bare or under the key `type`.
    fn long(&mut self, node: Node, what: What<'_>, keys: &[&str]) -> Option<(Node, Long)> {
        let span = node.span;
        let Value::Object(members) = node.value else {
            return Some((node, Long { members: Vec::new() }));
        };
        self.check_keys(&members, keys, what);
        let mut long = Long { members };
        let ty = long.take("type");
        if ty.is_none() {
            self.error(span, format!("{} requires the key 'type'", what()));
        }
        Some((ty?, long))
    }

    /// Parses a part with a name, either bare or under the key `name`.
    fn named(&mut self, node: Node, what: What<'_>, keys: &[&str]) -> Option<(Name, Long)> {
        let span = node.span;
        let Value::Object(members) = node.value else {
            return Some((self.string(node, what)?, Long { members: Vec::new() }));
        };
        self.check_keys(&members, keys, what);
        let mut long = Long { members };
        let Some(name) = long.take("name") else {
            self.error(span, format!("{} requires the key 'name'", what()));
            return None;
        };
        Some((self.string(name, &|| String::from("'name'"))?, long))
    }
}
