//! Completion within values in brackets, and in commands that are objects.

use super::given::Given;
use super::place::{Place, object_of};
use super::{Candidate, Completer, Completion};
use crate::shell::syntax::literal;
use crate::shell::syntax::transaction::{action_type, actions};
use crate::shell::types::Shape;

/// The meaning of a value in brackets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Root<'r> {
    /// A command as it is on the wire.
    Message,
    /// A value of a type, in the arguments of a command.
    Value { command: &'r str, ty: Option<&'r str> },
}

/// An open bracket.
#[derive(Debug, Default)]
struct Frame {
    is_object: bool,
    /// The members before the cursor, with scalar values as text.
    members: Vec<(String, String)>,
    /// The member whose value comes next.
    key: Option<String>,
}

/// Where the cursor is.
#[derive(Debug, Default)]
struct Position {
    frames: Vec<Frame>,
    /// Where the string or word that the cursor is in begins.
    word: Option<usize>,
    /// Whether a comma or bracket has to come first.
    complete: bool,
}

impl<'a> Completer<'a> {
    /// Completes in a value that begins at `start`.
    pub(super) fn json(&self, start: usize, root: Root<'a>) -> Completion {
        let position = position(self.text.get(..self.cursor).unwrap_or_default(), start);
        let Some(frame) = position.frames.last() else { return Completion::default() };
        if position.complete {
            return Completion::default();
        }
        let word = position.word.unwrap_or(self.cursor);
        let written = self.text.get(word..self.cursor).unwrap_or_default();
        let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''));
        let prefix = written.trim_start_matches(['"', '\'']);
        let mut candidates = if frame.is_object && frame.key.is_none() {
            self.names(&position, root)
        } else {
            self.inner_values(&position, root, prefix)
        };
        candidates.retain(|candidate| candidate.insert.starts_with(prefix));
        let is_name = frame.is_object && frame.key.is_none();
        for candidate in &mut candidates {
            let is_text = candidate.then == Some(' ');
            let text = match quote {
                Some('\'') if !candidate.insert.contains(['\'', '\\']) => {
                    format!("'{}'", candidate.insert)
                }
                _ => json_text(&candidate.insert),
            };
            if is_name {
                candidate.insert = text + ": ";
            } else if is_text || quote.is_some() {
                candidate.insert = text;
            }
            candidate.then = None;
        }
        Completion { span: word..self.cursor, candidates }
    }

    /// Returns the names of the members of the object that the cursor is in.
    fn names(&self, position: &Position, root: Root<'a>) -> Vec<Candidate> {
        let Some(frame) = position.frames.last() else { return Vec::new() };
        if position.frames.len() == 1 && matches!(root, Root::Message) {
            let is_given = |name: &str| frame.members.iter().any(|(known, _)| known == name);
            let names = ["execute", "exec-oob", "arguments", "id"].into_iter();
            let has_command = is_given("execute") || is_given("exec-oob");
            return names
                .filter(|name| !(is_given(name) || has_command && name.starts_with("exec")))
                .map(|name| Candidate::new(name, ""))
                .collect();
        }
        let schema = self.types.schema();
        let Some(ty) = self.type_at(position, root, position.frames.len() - 1) else {
            return Vec::new();
        };
        let Some(object) = object_of(schema, ty) else { return Vec::new() };
        let value_of = |tag: &str| {
            let member = frame.members.iter().find(|(name, _)| name == tag);
            member.map(|(_, value)| value.clone())
        };
        let mut members = schema.members(object, &value_of);
        members.retain(|member| !frame.members.iter().any(|(name, _)| name == member.name));
        members.sort_by_key(|member| (Some(member.name) != object.tag.as_deref(), member.optional));
        let text = |member: &crate::shell::types::Member<'_>| {
            if member.optional { "" } else { "mandatory" }
        };
        members.iter().map(|member| Candidate::new(member.name, text(member))).collect()
    }

    /// Returns the values that can come at the cursor. Those that are text are followed by a space.
    fn inner_values(&self, position: &Position, root: Root<'a>, prefix: &str) -> Vec<Candidate> {
        let schema = self.types.schema();
        let depth = position.frames.len();
        let Some(frame) = position.frames.last() else { return Vec::new() };
        let key = frame.key.as_deref().unwrap_or_default();
        if depth == 1 && matches!(root, Root::Message) {
            let names = match key {
                "execute" => schema.commands(),
                "exec-oob" => schema.oob_commands(),
                _ => Vec::new(),
            };
            let summary = |name: &str| self.types.reference().summary(name);
            let names = names.into_iter().filter(|name| name.starts_with(prefix));
            return names.map(|name| Candidate::new(name, summary(name))).collect();
        }
        let Some(command) = command_of(position, root) else { return Vec::new() };
        let Some(ty) = self.type_at(position, root, depth) else { return Vec::new() };
        let mut given = Given::default();
        for (name, value) in position.frames.iter().flat_map(|frame| &frame.members) {
            given.add(name, value);
        }
        if command == "transaction" && key == "type" {
            return actions(schema).into_iter().map(|name| Candidate::new(name, "")).collect();
        }
        let path: Vec<&str> = Vec::new();
        let place = Place { command: &command, root: schema.arguments_of(&command), given: &given };
        let completer = Completer { text: "", cursor: 0, ..*self };
        let mut values = completer.values(&place, &path, key, ty, prefix);
        let is_text =
            matches!(schema.shape(ty), Shape::String | Shape::Enumeration(_) | Shape::Alternate(_));
        for value in &mut values {
            value.then = is_text.then_some(' ');
        }
        values
    }

    /// Returns the type of the value in the innermost `depth` brackets: of the bracket itself, or, if
    /// all are meant, of the value at the cursor.
    fn type_at(&self, position: &Position, root: Root<'a>, depth: usize) -> Option<&'a str> {
        let schema = self.types.schema();
        let mut outer = position.frames.iter().take(depth);
        let mut ty = match root {
            Root::Value { ty, .. } => ty?,
            Root::Message => {
                let frame = outer.next()?;
                if frame.key.as_deref() != Some("arguments") {
                    return None;
                }
                schema.arguments_of(&command_of(position, root)?)?
            }
        };
        let mut action: Option<String> = None;
        for frame in outer {
            if !frame.is_object {
                let Shape::Array(element) = array_of(schema, ty)? else { return None };
                ty = element;
                continue;
            }
            let key = frame.key.as_deref()?;
            if let (Some(name), "data") = (&action, key) {
                ty = action_type(schema, name)?;
                continue;
            }
            let object = object_of(schema, ty)?;
            let value_of = |tag: &str| {
                let member = frame.members.iter().find(|(name, _)| name == tag);
                member.map(|(_, value)| value.clone())
            };
            let selected = schema.members(object, &value_of);
            action =
                frame.members.iter().find(|(name, _)| name == "type").map(|(_, ty)| ty.clone());
            let find = |members: Vec<crate::shell::types::Member<'a>>| {
                members.into_iter().find(|member| member.name == key).map(|member| member.ty)
            };
            ty = find(selected).or_else(|| find(schema.all_members(object)))?;
        }
        Some(ty)
    }
}

fn array_of<'s>(schema: &'s crate::shell::types::Schema, ty: &str) -> Option<Shape<'s>> {
    match schema.shape(ty) {
        Shape::Alternate(alternatives) => alternatives
            .iter()
            .map(|alternative| schema.shape(&alternative.type_))
            .find(|shape| matches!(shape, Shape::Array(_))),
        shape => Some(shape),
    }
}

fn command_of(position: &Position, root: Root<'_>) -> Option<String> {
    match root {
        Root::Value { command, .. } => Some(command.to_owned()),
        Root::Message => {
            let members = &position.frames.first()?.members;
            let command = members.iter().find(|(name, _)| name == "execute" || name == "exec-oob");
            command.map(|(_, value)| value.clone())
        }
    }
}

/// Finds out where the end of a text is in the value that begins at `start`.
fn position(text: &str, start: usize) -> Position {
    let mut position = Position::default();
    let mut at = start;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        match c {
            '{' | '[' => {
                position.frames.push(Frame { is_object: c == '{', ..Frame::default() });
                position.complete = false;
            }
            '}' | ']' => {
                position.frames.pop();
                finish(&mut position, "");
            }
            ',' => {
                position.complete = false;
                if let Some(frame) = position.frames.last_mut() {
                    frame.key = None;
                }
            }
            ':' | '=' => position.complete = false,
            '"' | '\'' => {
                let Some(end) = string_end(text, at) else {
                    position.word = Some(at);
                    return position;
                };
                let string = literal::unquoted(text, at..end).and_then(Result::ok);
                token(&mut position, &string.unwrap_or_default());
                at = end;
                continue;
            }
            c if c.is_whitespace() => {}
            _ => {
                let rest = text.get(at..).unwrap_or_default();
                let is_end = |c: char| c.is_whitespace() || ",:{}[]\"'".contains(c);
                let Some(length) = rest.find(is_end) else {
                    position.word = Some(at);
                    return position;
                };
                token(&mut position, rest.get(..length).unwrap_or_default());
                at += length;
                continue;
            }
        }
        at += c.len_utf8();
    }
    position
}

/// Notes a string or a word: a name or a value.
fn token(position: &mut Position, text: &str) {
    match position.frames.last_mut() {
        Some(frame) if frame.is_object && frame.key.is_none() => {
            frame.key = Some(text.to_owned());
            position.complete = true;
        }
        _ => finish(position, text),
    }
}

/// Notes that a value is complete.
fn finish(position: &mut Position, text: &str) {
    position.complete = true;
    if let Some(frame) = position.frames.last_mut() {
        if let Some(key) = &frame.key {
            frame.members.push((key.clone(), text.to_owned()));
        }
    }
}

fn string_end(text: &str, start: usize) -> Option<usize> {
    let mut chars = text.get(start..)?.char_indices();
    let (_, quote) = chars.next()?;
    let mut escaped = false;
    for (index, c) in chars {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(start + index + 1),
            _ => {}
        }
    }
    None
}

pub(super) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
