//! The parts of definitions: members, values, features, conditions, references to types.

use super::value::{Node, Value};
use crate::ast::{self, Alternative, Branch, Feature, Member, Name, TypeName};
use crate::diagnostic::Diagnostic;
use crate::report::Report;
use crate::schema::Condition;
use crate::similar::did_you_mean;

/// What a message calls a part; it is asked for only where there is something to say.
pub(super) type What<'w> = &'w dyn Fn() -> String;

/// What is read of a definition, and whether all of it was sound.
pub(super) struct Parts<'r> {
    pub(super) report: &'r mut Report,
    pub(super) kind: ast::Kind,
    /// The definition's name, for diagnostics.
    pub(super) name: String,
    pub(super) broken: bool,
}

/// The long form of something that is a bare value otherwise: its keys, each taken once.
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

    /// Reports keys that have no place.
    pub(super) fn check_keys(&mut self, members: &[(Name, Node)], known: &[&str], what: What<'_>) {
        for (key, _) in members {
            if !known.contains(&key.text.as_str()) {
                let message = format!("{} has no key '{}'", what(), key.text);
                let mut error = Diagnostic::error(key.span, message);
                error.help = did_you_mean(&key.text, known.iter().copied()).or_else(|| {
                    let known: Vec<String> = known.iter().map(|key| format!("'{key}'")).collect();
                    Some(format!("its keys are {}", known.join(", ")))
                });
                self.push(error);
            }
        }
    }

    pub(super) fn string(&mut self, node: Node, what: What<'_>) -> Option<Name> {
        match node.value {
            Value::String(text) => Some(Name { text, span: node.span }),
            _ => {
                self.error(node.span, format!("{} is a string, not {}", what(), node.describe()));
                None
            }
        }
    }

    /// The members of an object: a struct's data, an inline base, arguments.
    pub(super) fn members(&mut self, node: Node, what: What<'_>) -> Vec<Member> {
        let Some(members) = self.object(node, what) else { return Vec::new() };
        members.into_iter().filter_map(|(name, node)| self.member(name, node)).collect()
    }

    fn member(&mut self, key: Name, node: Node) -> Option<Member> {
        let (text, optional) = match key.text.strip_prefix('*') {
            Some(name) => (name.to_owned(), true),
            None => (key.text, false),
        };
        let name = Name { text, span: key.span };
        let what = || format!("member '{}'", name.text);
        let (ty, mut long) = self.long(node, &what, &["type", "if", "features"])?;
        let condition = long.take("if").and_then(|node| self.condition(node));
        let features = long.take("features").map(|node| self.features(node)).unwrap_or_default();
        let ty = self.type_name(ty, &what)?;
        Some(Member { name, ty, optional, condition, features })
    }

    pub(super) fn branches(&mut self, node: Node) -> Vec<Branch> {
        let Some(members) = self.object(node, &|| String::from("'data' of a union")) else {
            return Vec::new();
        };
        let branch = |(name, node): (Name, Node)| {
            let what = || format!("branch '{}'", name.text);
            let (ty, mut long) = self.long(node, &what, &["type", "if"])?;
            let condition = long.take("if").and_then(|node| self.condition(node));
            let ty = self.string(ty, &|| format!("the type of {}", what()))?;
            Some(Branch { name, ty, condition })
        };
        members.into_iter().filter_map(branch).collect()
    }

    pub(super) fn alternatives(&mut self, node: Node) -> Vec<Alternative> {
        let Some(members) = self.object(node, &|| String::from("'data' of an alternate")) else {
            return Vec::new();
        };
        let alternative = |(name, node): (Name, Node)| {
            let what = || format!("alternative '{}'", name.text);
            let (ty, mut long) = self.long(node, &what, &["type", "if"])?;
            let condition = long.take("if").and_then(|node| self.condition(node));
            let ty = self.type_name(ty, &what)?;
            Some(Alternative { name, ty, condition })
        };
        members.into_iter().filter_map(alternative).collect()
    }

    pub(super) fn values(&mut self, node: Node) -> Vec<ast::Value> {
        let elements = self.array(node, &|| String::from("'data' of an enum"));
        let value = |node: Node| {
            let (name, mut long) =
                self.named(node, &|| String::from("a value"), &["name", "if", "features"])?;
            let condition = long.take("if").and_then(|node| self.condition(node));
            let features =
                long.take("features").map(|node| self.features(node)).unwrap_or_default();
            Some(ast::Value { name, condition, features })
        };
        elements.into_iter().filter_map(value).collect()
    }

    pub(super) fn features(&mut self, node: Node) -> Vec<Feature> {
        let elements = self.array(node, &|| String::from("'features'"));
        let feature = |node: Node| {
            let (name, mut long) =
                self.named(node, &|| String::from("a feature"), &["name", "if"])?;
            let condition = long.take("if").and_then(|node| self.condition(node));
            Some(Feature { name, condition })
        };
        elements.into_iter().filter_map(feature).collect()
    }

    /// A name of a type, or an array of one.
    pub(super) fn type_name(&mut self, node: Node, what: What<'_>) -> Option<TypeName> {
        let (node, array) = match node.value {
            Value::Array(mut elements) if elements.len() == 1 => (elements.pop()?, true),
            value => (Node { value, ..node }, false),
        };
        match node.value {
            Value::String(text) => Some(TypeName { name: Name { text, span: node.span }, array }),
            _ => {
                let message = format!("the type of {} is a name, or one name in brackets", what());
                self.error(node.span, message);
                None
            }
        }
    }

    pub(super) fn condition(&mut self, node: Node) -> Option<Condition> {
        let span = node.span;
        match node.value {
            Value::String(symbol) => {
                let is_sound = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
                if symbol.starts_with(|c: char| c.is_ascii_uppercase())
                    && symbol.bytes().all(is_sound)
                {
                    return Some(Condition::Symbol(symbol));
                }
                let message = format!("'{symbol}' is no symbol that a condition can be on");
                let help = "symbols have uppercase letters, digits and '_'";
                self.push(Diagnostic::error(span, message).help(help));
                None
            }
            Value::Object(members) => {
                self.check_keys(&members, &["all", "any", "not"], &|| String::from("a condition"));
                let mut members = members.into_iter();
                let (Some((key, node)), None) = (members.next(), members.next()) else {
                    self.error(span, "a condition has one of the keys 'all', 'any' and 'not'");
                    return None;
                };
                if key.text == "not" {
                    return Some(Condition::Not(Box::new(self.condition(node)?)));
                }
                if matches!(&node.value, Value::Array(elements) if elements.is_empty()) {
                    self.error(node.span, format!("'{}' needs at least one condition", key.text));
                }
                let elements = self.array(node, &|| format!("'{}'", key.text));
                let all = elements.into_iter().map(|node| self.condition(node));
                let all: Vec<Condition> = all.collect::<Option<_>>()?;
                Some(if key.text == "all" { Condition::All(all) } else { Condition::Any(all) })
            }
            _ => {
                self.error(
                    span,
                    "a condition is a string, or an object with 'all', 'any' or 'not'",
                );
                None
            }
        }
    }

    /// A flag that can only be given one of the two values, the other being the default.
    pub(super) fn flag(&mut self, node: Option<Node>, key: &str, only: bool) -> bool {
        let Some(node) = node else { return false };
        if !matches!(node.value, Value::Bool(value) if value == only) {
            self.error(node.span, format!("'{key}' can only be {only}"));
        }
        true
    }

    pub(super) fn object(&mut self, node: Node, what: What<'_>) -> Option<Vec<(Name, Node)>> {
        match node.value {
            Value::Object(members) => Some(members),
            _ => {
                self.error(node.span, format!("{} is an object, not {}", what(), node.describe()));
                None
            }
        }
    }

    fn array(&mut self, node: Node, what: What<'_>) -> Vec<Node> {
        match node.value {
            Value::Array(elements) => elements,
            _ => {
                self.error(node.span, format!("{} is an array, not {}", what(), node.describe()));
                Vec::new()
            }
        }
    }

    /// A type, bare or under the key `type`.
    fn long(&mut self, node: Node, what: What<'_>, keys: &[&str]) -> Option<(Node, Long)> {
        let span = node.span;
        let Value::Object(members) = node.value else {
            return Some((node, Long { members: Vec::new() }));
        };
        self.check_keys(&members, keys, what);
        let mut long = Long { members };
        let ty = long.take("type");
        if ty.is_none() {
            self.error(span, format!("{} needs the key 'type'", what()));
        }
        Some((ty?, long))
    }

    /// A name, bare or under the key `name`.
    fn named(&mut self, node: Node, what: What<'_>, keys: &[&str]) -> Option<(Name, Long)> {
        let span = node.span;
        let Value::Object(members) = node.value else {
            return Some((self.string(node, what)?, Long { members: Vec::new() }));
        };
        self.check_keys(&members, keys, what);
        let mut long = Long { members };
        let Some(name) = long.take("name") else {
            self.error(span, format!("{} needs the key 'name'", what()));
            return None;
        };
        Some((self.string(name, &|| String::from("'name'"))?, long))
    }
}
