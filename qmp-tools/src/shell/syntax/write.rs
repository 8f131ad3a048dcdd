//! Commands as lines of the shell.

use serde_json::{Map, Value};

use super::{Statement, parse};
use crate::shell::types::Types;

/// Returns a line that executes a command of the builtin schema with these arguments.
pub(crate) fn command(name: &str, arguments: &Value) -> String {
    let builtin: &dyn Types = &crate::shell::types::Builtin;
    let agent: &dyn Types = &crate::shell::types::BuiltinAgent;
    let types = if builtin.schema().arguments_of(name).is_some() { builtin } else { agent };
    let Some(arguments) = arguments.as_object() else { return name.to_owned() };
    // The first line that means the arguments is the one that is easiest to read.
    for style in [Style::Plain, Style::Quoted, Style::Members, Style::Json] {
        let line = line(name, arguments, style);
        let parsed = parse(&line, types);
        let same = match parsed {
            Ok(Some(Statement::Command(command))) => match &command.arguments {
                Some(Value::Object(parsed)) => parsed == arguments,
                Some(_) => false,
                None => arguments.is_empty(),
            },
            _ => false,
        };
        if same {
            return line;
        }
    }
    format!("{name} {}", Value::Object(arguments.clone()))
}

/// How values are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Style {
    /// Text without quotes, objects by their members.
    Plain,
    /// Text in quotes.
    Quoted,
    /// Objects in braces.
    Members,
    /// Everything as JSON.
    Json,
}

fn line(name: &str, arguments: &Map<String, Value>, style: Style) -> String {
    let mut words = vec![name.to_owned()];
    add(&mut words, "", arguments, style);
    words.join(" ")
}

fn add(words: &mut Vec<String>, prefix: &str, members: &Map<String, Value>, style: Style) {
    for (name, value) in members {
        let key = format!("{prefix}{name}");
        let dotted = matches!(style, Style::Plain | Style::Quoted);
        match value {
            Value::Object(members) if dotted && !members.is_empty() => {
                add(words, &format!("{key}."), members, style);
            }
            Value::String(text) if style == Style::Plain && is_plain(text) => {
                words.push(format!("{key}={text}"));
            }
            value if style == Style::Json => words.push(format!("{key}:={value}")),
            value => words.push(format!("{key}={value}")),
        }
    }
}

fn is_plain(text: &str) -> bool {
    let special = |c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '\'';
    !text.is_empty() && !text.contains(special) && !text.starts_with(['{', '[', '#'])
}
