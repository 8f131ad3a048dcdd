//! Commands as text.

use std::fmt;

use qmp_types::plain_end;

use crate::id::CallId;

/// The end of the line of a command.
pub(crate) const LINE_END: &[u8; 1] = b"\n";

/// How a command is executed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// One after the other, and answered in order.
    InBand,
    /// Ahead of the in-band commands that are queued.
    OutOfBand,
}

/// A function that appends the arguments of a command, a JSON object.
#[derive(Clone, Copy)]
pub struct WriteArguments<'a>(pub &'a dyn Fn(&mut Vec<u8>) -> serde_json::Result<()>);

impl fmt::Debug for WriteArguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteArguments")
    }
}

/// Appends `{"execute":"NAME","arguments":{...},"id":ID}` and a newline. Old guest agents refuse a
/// command that has an id, so the id is optional.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    name: &str,
    kind: Kind,
    id: Option<CallId>,
    arguments: Option<WriteArguments<'_>>,
) -> Result<(), Option<serde_json::Error>> {
    let verb: &[u8] = match kind {
        Kind::InBand => b"{\"execute\":",
        Kind::OutOfBand => b"{\"exec-oob\":",
    };
    out.extend_from_slice(verb);
    write_name(out, name).map_err(Some)?;
    if let Some(WriteArguments(arguments)) = arguments {
        out.extend_from_slice(b",\"arguments\":");
        let start = out.len();
        arguments(out).map_err(Some)?;
        if out.get(start) != Some(&b'{') {
            return Err(None);
        }
    }
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        write_number(out, id.number());
    }
    out.push(b'}');
    out.extend_from_slice(LINE_END);
    Ok(())
}

/// Appends a number in decimal digits.
fn write_number(out: &mut Vec<u8>, number: u64) {
    /// The digits of the largest number.
    const MOST: usize = 20;
    let (mut digits, mut first, mut rest) = ([b'0'; MOST], MOST, number);
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        (first, rest) = (first - 1, rest / 10);
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Appends a string. The names of real commands need no escapes.
fn write_name(out: &mut Vec<u8>, name: &str) -> serde_json::Result<()> {
    if plain_end(name.as_bytes(), 0) < name.len() {
        return serde_json::to_writer(out, name);
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn numbers_are_json() {
        for number in [0, 1, 9, 10, 4_294_967_296, 9_999_999_999, u64::MAX - 1, u64::MAX] {
            let mut out = b"x".to_vec();
            write_number(&mut out, number);
            assert_eq!(out, format!("x{number}").as_bytes());
        }
    }

    /// Every name is what serde_json makes of it, escapes or not.
    #[test]
    fn names_are_json() {
        for name in
            ["", "query-status", "é-ß", "a\"b", "\\", "line\nbreak", "\u{1}", "\u{7f}", "x\u{2028}"]
        {
            let mut out = Vec::new();
            write_name(&mut out, name).unwrap();
            assert_eq!(out, serde_json::to_vec(name).unwrap(), "{name:?}");
        }
    }
}
