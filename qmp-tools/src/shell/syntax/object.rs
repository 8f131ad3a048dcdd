//! Commands as whole objects, as they are on the wire.

use std::ops::Range;

use super::literal::{self, Kind};
use super::{Command, SyntaxError};

/// Parses the object that begins at `start`.
pub(super) fn parse(text: &str, start: usize) -> Result<Command, SyntaxError> {
    let (value, end) = literal::read(text, start)?;
    let rest = text.get(end..).unwrap_or_default();
    let line = super::words::line(text, end);
    if let Some(word) = line.words.first() {
        let message = "trailing characters after the command";
        return Err(SyntaxError::invalid(word.span(), message));
    }
    if rest.lines().skip(1).any(|line| !line.trim().is_empty() && !line.trim().starts_with('#')) {
        let after = end + rest.find('\n').unwrap_or(0);
        let at = after + text.get(after..).map_or(0, |rest| rest.len() - rest.trim_start().len());
        let message = "one statement at a time: this is another one";
        return Err(SyntaxError::invalid(at..text.len(), message));
    }
    let Kind::Object(members) = value.kind else {
        return Err(not_a_command(value.span, "expected an object"));
    };
    let mut command = None;
    let (mut arguments, mut id) = (None, None);
    for (name, span, value) in members {
        match (name.as_str(), &value.kind) {
            ("execute" | "exec-oob", _) if command.is_some() => {
                return Err(not_a_command(span, "two commands"));
            }
            ("execute" | "exec-oob", Kind::String(command_name)) => {
                command = Some((command_name.clone(), name == "exec-oob"));
            }
            ("execute" | "exec-oob", _) => {
                let message = format!("`{name}` must be text: the name of the command");
                return Err(not_a_command(value.span, &message));
            }
            ("arguments", Kind::Object(_)) => arguments = Some(value.to_json()?),
            ("arguments", _) => return Err(not_a_command(value.span, "`arguments` is an object")),
            ("id", _) => id = Some(value.to_json()?),
            _ => {
                let known = ["execute", "exec-oob", "arguments", "id"];
                let help = crate::shell::complete::did_you_mean(&name, known.into_iter());
                let help = help.map(|name| format!("did you mean `{name}`?"));
                let error = not_a_command(span, &format!("unexpected member `{name}`"));
                return Err(error.help(help));
            }
        }
    }
    let Some((name, oob)) = command else {
        return Err(not_a_command(start..start + 1, "`execute` must name the command"));
    };
    Ok(Command { name, oob, arguments, id, line: 1 })
}

fn not_a_command(span: Range<usize>, why: &str) -> SyntaxError {
    SyntaxError::invalid(span, format!("not a command: {why}"))
}
