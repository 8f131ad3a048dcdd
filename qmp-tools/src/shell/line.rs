//! The shell's syntax: `command key=value ...`, or a command as JSON.
//!
//! ```text
//! device_add driver=virtio-blk-pci id=d0 drive=n0
//! blockdev-add driver=qcow2 node-name=n0 file.driver=file file.filename="/tmp/a b.qcow2"
//! blockdev-mirror device=n0 target=n1 sync=full speed=1048576
//! set_link name=net0 up=false
//! {"execute": "query-status"}
//! ```
//!
//! A value that is valid JSON is read as such: numbers, `true`, `false`, `null`, `"text"`, `[...]`,
//! `{...}`. Any other value is a string, and so is everything in single quotes: `id='123'`.
//! A dot in a key makes an object: `file.driver=file` is `"file": {"driver": "file"}`.
//! A word that starts with `#` begins a comment, which extends to the end of the line.

use std::fmt;

use serde_json::{Map, Value};

/// A parsed command.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The command's name.
    pub name: String,
    /// The arguments; `None` if none were given.
    pub arguments: Option<Value>,
}

/// The reason why a line is not a command.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LineError {
    /// A quote or bracket is not closed; another line may close it.
    Unclosed(char),
    /// A word is not of the form `key=value`.
    MissingValue(String),
    /// A key is given more than once, or both as a value and as an object.
    DuplicateKey(String),
    /// A command in JSON cannot be parsed.
    Json(String),
    /// The JSON is valid, but is not a command.
    NotACommand(String),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed(bracket) => write!(f, "unclosed `{bracket}`"),
            Self::MissingValue(word) => {
                write!(f, "invalid argument `{word}`: expected `key=value`")
            }
            Self::DuplicateKey(key) => write!(f, "duplicate key `{key}`"),
            Self::Json(error) => write!(f, "invalid JSON: {error}"),
            Self::NotACommand(why) => write!(f, "not a command: {why}"),
        }
    }
}

impl std::error::Error for LineError {}

/// Parses a line. Returns `None` if it is blank or a comment.
///
/// # Errors
/// Returns an error if the line is not a command. [`LineError::Unclosed`] means that another line
/// may complete it.
pub fn parse(line: &str) -> Result<Option<Line>, LineError> {
    if line.trim_start().starts_with('{') {
        return parse_json(line).map(Some);
    }
    let mut words = words(line)?.into_iter();
    let Some(name) = words.next() else { return Ok(None) };
    let mut arguments = Map::new();
    for word in words {
        let (key, value) =
            word.split_once('=').ok_or_else(|| LineError::MissingValue(word.clone()))?;
        insert(&mut arguments, key, key, value_of(value))?;
    }
    let arguments = (!arguments.is_empty()).then_some(Value::Object(arguments));
    Ok(Some(Line { name, arguments }))
}

fn parse_json(text: &str) -> Result<Line, LineError> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        if error.is_eof() { LineError::Unclosed('{') } else { LineError::Json(error.to_string()) }
    })?;
    let Value::Object(mut object) = value else {
        return Err(LineError::NotACommand(String::from("expected an object")));
    };
    let Some(Value::String(name)) = object.remove("execute") else {
        return Err(LineError::NotACommand(String::from("`execute` must name the command")));
    };
    let arguments = object.remove("arguments");
    object.remove("id");
    match object.keys().next() {
        Some(key) => Err(LineError::NotACommand(format!("unexpected member `{key}`"))),
        None => Ok(Line { name, arguments }),
    }
}

fn insert(
    object: &mut Map<String, Value>,
    whole: &str,
    key: &str,
    value: Value,
) -> Result<(), LineError> {
    let duplicate = || LineError::DuplicateKey(whole.to_owned());
    match key.split_once('.') {
        None => match object.insert(key.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(duplicate()),
        },
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert_with(|| Value::Object(Map::new()));
            insert(inner.as_object_mut().ok_or_else(duplicate)?, whole, rest, value)
        }
    }
}

fn value_of(text: &str) -> Value {
    if text.len() >= 2 && text.starts_with('\'') && text.ends_with('\'') {
        return Value::String(text[1..text.len() - 1].to_owned());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Splits a line at whitespace outside of quotes and brackets.
fn words(line: &str) -> Result<Vec<String>, LineError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut open: Vec<char> = Vec::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let quote = open.last().copied().filter(|c| matches!(c, '"' | '\''));
        match c {
            '\\' if quote == Some('"') => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            _ if quote == Some(c) => {
                open.pop();
            }
            _ if quote.is_some() => {}
            '"' | '\'' | '[' | '{' => open.push(c),
            ']' if open.last() == Some(&'[') => {
                open.pop();
            }
            '}' if open.last() == Some(&'{') => {
                open.pop();
            }
            '#' if word.is_empty() && open.is_empty() => break,
            c if c.is_whitespace() && open.is_empty() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if let Some(bracket) = open.pop() {
        return Err(LineError::Unclosed(bracket));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn arguments(line: &str) -> Value {
        parse(line).unwrap().unwrap().arguments.unwrap_or(Value::Null)
    }

    #[test]
    fn values_are_json_or_strings() {
        for (line, expected) in [
            ("c", Value::Null),
            ("c a=1 b=true d=null e=x", json!({"a": 1, "b": true, "d": null, "e": "x"})),
            ("c id='123' text=\"4 5\"", json!({"id": "123", "text": "4 5"})),
            ("c l=[1, 2] o={\"a\": [3]}", json!({"l": [1, 2], "o": {"a": [3]}})),
            (
                "c file.driver=file file.filename=/x",
                json!({"file": {"driver": "file", "filename": "/x"}}),
            ),
            ("c a=b=c url=http://h/#x", json!({"a": "b=c", "url": "http://h/#x"})),
            ("c a=\"\\\"q\\\"\"", json!({"a": "\"q\""})),
            ("c a= # comment", json!({"a": ""})),
        ] {
            assert_eq!(arguments(line), expected, "{line}");
        }
    }

    #[test]
    fn a_command_can_be_json() {
        let line = parse(r#"{"execute": "x", "arguments": {"a": []}, "id": 7}"#).unwrap().unwrap();
        assert_eq!((line.name.as_str(), line.arguments), ("x", Some(json!({"a": []}))));
    }

    #[test]
    fn blank_lines_and_comments_are_skipped() {
        for line in ["", "  ", "# query-status", "\t#"] {
            assert_eq!(parse(line), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn errors_name_the_problem() {
        for (line, expected) in [
            ("c a", LineError::MissingValue("a".into())),
            ("c a=1 a=2", LineError::DuplicateKey("a".into())),
            ("c a=1 a.b=2", LineError::DuplicateKey("a.b".into())),
            ("c a=[1", LineError::Unclosed('[')),
            ("c a='x", LineError::Unclosed('\'')),
            ("{\"execute\": ", LineError::Unclosed('{')),
            (
                "{\"execute\": \"x\", \"arg\": 1}",
                LineError::NotACommand("unexpected member `arg`".into()),
            ),
        ] {
            assert_eq!(parse(line), Err(expected), "{line}");
        }
        assert!(matches!(parse("{]"), Err(LineError::Json(_))));
    }
}
