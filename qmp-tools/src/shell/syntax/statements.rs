//! Statements of the shell itself.

use std::time::Duration;

use serde_json::Value;

use super::typing::Typing;
use super::words::Word;
use super::{Parser, Statement, SyntaxError, literal, shown};
use crate::reference::Reference;
use crate::shell::complete::did_you_mean;
use crate::shell::types::Shape;

impl<'a> Parser<'a> {
    /// Parses the statement that begins at `start`.
    pub(super) fn statement(&self, start: usize) -> Result<Option<Statement>, SyntaxError> {
        // A line for the human monitor has a syntax of its own.
        if let Some(line) = self.human(start) {
            return Ok(Some(Statement::Hmp(line)));
        }
        let rest = self.text.get(start..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix("transaction(") {
            return self.transaction(start, self.text.len() - after.len()).map(Some);
        }
        let line = self.line(start)?;
        let Some((name, words)) = line.words.split_first() else { return Ok(None) };
        let statement = match name.text {
            "wait" => self.wait(words)?,
            "set" => Statement::Set(self.settings(words)?),
            "help" | "?" => Statement::Help(topic(words)),
            "exit" if words.is_empty() => Statement::Exit,
            "exec-oob" if !words.is_empty() => {
                let mut command = self.command(words)?;
                command.oob = true;
                Statement::Command(command)
            }
            // `NAME ?` is `help NAME`.
            name if matches!(words, [Word { text: "?", .. }]) => {
                Statement::Help(Some(name.to_owned()))
            }
            name if name.starts_with('?') => Statement::Help(name.get(1..).map(str::to_owned)),
            _ => Statement::Command(self.command(&line.words)?),
        };
        self.nothing_after(line.end)?;
        Ok(Some(statement))
    }

    /// Returns the line after `hmp`, with nothing changed.
    fn human(&self, start: usize) -> Option<String> {
        let line = self.text.get(start..)?.lines().next()?;
        let rest = line.strip_prefix("hmp")?;
        (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| rest.trim().to_owned())
    }

    fn wait(&self, words: &[Word<'a>]) -> Result<Statement, SyntaxError> {
        let Some((event, words)) = words.split_first() else {
            let message = "`wait` needs the name of an event";
            let help = String::from("for example, `wait SHUTDOWN --timeout 30`");
            return Err(SyntaxError::invalid(0..self.text.len(), message).help(Some(help)));
        };
        let schema = self.types.schema();
        if schema.is_live() && schema.data_of(event.text).is_none() {
            let events = schema.events();
            let help = did_you_mean(event.text, events.into_iter());
            let message = format!("the machine has no event `{}`", shown(event.text));
            let help = help.map(|name| format!("did you mean `{name}`?"));
            return Err(SyntaxError::invalid(event.span(), message).help(help));
        }
        let (mut matches, mut timeout) = (Vec::new(), None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word.text == "--timeout" {
                let Some(value) = words.next() else {
                    let message = "`--timeout` needs a number of seconds";
                    return Err(SyntaxError::invalid(word.span(), message));
                };
                timeout = Some(seconds(*value)?);
            } else if let Some(value) = word.text.strip_prefix("--timeout=") {
                timeout = Some(seconds(Word { text: value, start: word.end() - value.len() })?);
            } else {
                matches.push(self.matched(event.text, *word)?);
            }
        }
        Ok(Statement::Wait { event: event.text.to_owned(), matches, timeout })
    }

    /// Returns the member of an event's data that a word names, and the value that it must have.
    fn matched(&self, event: &str, word: Word<'a>) -> Result<(String, Value), SyntaxError> {
        let Some((key, is_json, value)) = word.argument() else {
            let message = format!("expected `member=value`, found `{}`", shown(word.text));
            return Err(SyntaxError::invalid(word.span(), message));
        };
        let path = key.text.to_owned();
        if is_json {
            return Ok((path, literal::whole(self.text, value.span())?.to_json()?));
        }
        let schema = self.types.schema();
        let mut ty = schema.data_of(event);
        for name in key.text.split('.') {
            let Some(Shape::Object(object)) = ty.map(|ty| schema.shape(ty)) else {
                ty = None;
                break;
            };
            let members = schema.all_members(object);
            let member = members.iter().find(|member| member.name == name);
            if member.is_none() && schema.is_live() {
                let help = did_you_mean(name, members.iter().map(|member| member.name));
                let help = help.map(|name| format!("did you mean `{name}`?"));
                let message = format!("the data of `{event}` has no member `{}`", shown(key.text));
                return Err(SyntaxError::invalid(key.span(), message).help(help));
            }
            ty = member.map(|member| member.ty);
        }
        let typing = Typing { text: self.text, types: self.types, command: event };
        let value = match ty {
            Some(ty) => typing.value(value, key.text, ty)?,
            None => super::guess::guess(self.text, value)?,
        };
        Ok((path, value))
    }

    fn settings(&self, words: &[Word<'a>]) -> Result<Vec<(String, String)>, SyntaxError> {
        let mut settings = Vec::new();
        for word in words {
            let Some((name, false, value)) = word.argument() else {
                let message = format!("expected `name=value`, found `{}`", shown(word.text));
                return Err(SyntaxError::invalid(word.span(), message));
            };
            let unquoted = literal::unquoted(self.text, value.span()).transpose()?;
            let value = unquoted.unwrap_or_else(|| value.text.to_owned());
            settings.push((name.text.to_owned(), value));
        }
        Ok(settings)
    }
}

fn topic(words: &[Word<'_>]) -> Option<String> {
    let words: Vec<_> = words.iter().map(|word| word.text).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Parses a duration: `30`, `1.5`, `500ms`, `2s`, `1m`.
fn seconds(word: Word<'_>) -> Result<Duration, SyntaxError> {
    let text = word.text;
    let (number, factor) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text, 1.0)
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * factor);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| {
        let message = format!("`{}` is not a number of seconds", shown(text));
        SyntaxError::invalid(word.span(), message)
    })
}

/// Returns the statements of the shell itself, for the peer that a reference documents.
pub(crate) fn own(reference: &Reference) -> &'static [(&'static str, &'static str)] {
    if reference.is_of_agent() { &OWN_OF_AGENT } else { &OWN }
}

const OWN: [(&str, &str); 7] = [
    ("exec-oob", "Executes a command out-of-band"),
    ("exit", "Leaves the shell"),
    ("help", "Explains a command, an event or a type"),
    ("hmp", "Executes a line in the human monitor"),
    ("set", "Changes or shows options of the session"),
    ("transaction(", "Begins a transaction, with an action on each line"),
    ("wait", "Waits for an event"),
];

/// An agent has no human monitor, no transactions, no events, and executes nothing out-of-band.
const OWN_OF_AGENT: [(&str, &str); 8] = [
    ("cat", "Shows a text file of the guest: cat PATH"),
    ("exec", "Runs a program in the guest: exec PROGRAM [ARG...]"),
    ("exit", "Leaves the shell"),
    ("fsinfo", "Lists the file systems of the guest"),
    ("get", "Copies a file from the guest: get PATH [FILE]"),
    ("help", "Explains a command or a type"),
    ("put", "Copies a file to the guest: put FILE [PATH]"),
    ("set", "Changes or shows options of the session"),
];
