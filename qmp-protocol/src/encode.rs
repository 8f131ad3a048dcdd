//! Commands as text.

use std::borrow::Cow;
use std::fmt;

use qmp_types::plain_end;

use crate::id::CallId;

/// The length of the white space after a command.
pub(crate) const LINE_END: u64 = 1;

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

/// A command's name, and whether it is JSON without escapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'n> {
    text: &'n str,
    is_plain: bool,
}

impl<'n> Name<'n> {
    pub(crate) fn new(text: &'n str) -> Self {
        Self { text, is_plain: plain_end(text.as_bytes(), 0) == text.len() }
    }
}

/// The constant that was last found to be a plain name. Most programs repeat a command, and it is not
/// scanned again.
#[derive(Debug, Default)]
pub(crate) struct LastPlain(&'static str);

impl LastPlain {
    #[expect(clippy::ptr_arg, reason = "only what is borrowed forever stays as it is")]
    pub(crate) fn name<'n>(&mut self, name: &'n Cow<'static, str>) -> Name<'n> {
        match name {
            Cow::Borrowed(text) if std::ptr::eq(*text, self.0) => Name { text, is_plain: true },
            Cow::Borrowed(text) => {
                let name = Name::new(text);
                if name.is_plain {
                    self.0 = text;
                }
                name
            }
            Cow::Owned(text) => Name::new(text),
        }
    }
}

/// Appends `{"execute":"NAME","arguments":{...},"id":ID}` and a newline. Old guest agents refuse a
/// command that has an id, so the id is optional.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    name: Name<'_>,
    kind: Kind,
    id: Option<CallId>,
    arguments: Option<WriteArguments<'_>>,
) -> Result<(), Option<serde_json::Error>> {
    write_name(out, kind, name).map_err(Some)?;
    if let Some(WriteArguments(arguments)) = arguments {
        out.extend_from_slice(b",\"arguments\":");
        let start = out.len();
        arguments(out).map_err(Some)?;
        if out.get(start) != Some(&b'{') {
            return Err(None);
        }
    }
    write_end(out, id);
    Ok(())
}

/// Appends the id, if there is one, and what ends the command.
fn write_end(out: &mut Vec<u8>, id: Option<CallId>) {
    /// The end of a command with the longest id.
    const LONGEST: [u8; 28] = *b",\"id\":18446744073709551615}\n";
    /// Where the digits begin and end in that.
    const DIGITS: std::ops::Range<usize> = 6..26;
    let (mut end, mut start) = (LONGEST, DIGITS.end);
    if let Some(id) = id {
        let mut rest = id.number();
        // Written from the last digit to the first, in the place where they end.
        for digit in end[DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            (start, rest) = (start - 1, rest / 10);
            if rest == 0 {
                break;
            }
        }
        start -= DIGITS.start;
        end[start..start + DIGITS.start].copy_from_slice(&LONGEST[..DIGITS.start]);
    }
    out.extend_from_slice(&end[start..]);
}

/// Appends the beginning of a command, up to its name. The names of real commands need no escapes.
fn write_name(out: &mut Vec<u8>, kind: Kind, name: Name<'_>) -> serde_json::Result<()> {
    let beginning = match kind {
        Kind::InBand => &b"{\"execute\":\""[..],
        Kind::OutOfBand => &b"{\"exec-oob\":\""[..],
    };
    if !name.is_plain {
        out.extend_from_slice(beginning.strip_suffix(b"\"").unwrap_or(beginning));
        return serde_json::to_writer(out, name.text);
    }
    out.extend_from_slice(beginning);
    out.extend_from_slice(name.text.as_bytes());
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_in_decimal_digits() {
        let mut out = Vec::new();
        for number in [0, 1, 9, 10, 4_294_967_296, 9_999_999_999, u64::MAX - 1, u64::MAX] {
            out.clear();
            encode(
                &mut out,
                Name::new("x"),
                Kind::OutOfBand,
                Some(CallId::from_number(number)),
                None,
            )
            .unwrap();
            assert_eq!(out, format!("{{\"exec-oob\":\"x\",\"id\":{number}}}\n").as_bytes());
        }
        out.clear();
        encode(&mut out, Name::new("x"), Kind::InBand, None, None).unwrap();
        assert_eq!(out, b"{\"execute\":\"x\"}\n");
    }

    /// Every name is what serde_json makes of it, escapes or not.
    #[test]
    fn names_are_json() {
        let mut last = LastPlain::default();
        for name in
            ["", "query-status", "é-ß", "a\"b", "\\", "line\nbreak", "\u{1}", "\u{7f}", "x\u{2028}"]
        {
            let expected = format!("{{\"execute\":{}", serde_json::to_string(name).unwrap());
            // The second time, a plain name is known.
            for name in [Cow::Borrowed(name), Cow::Borrowed(name), Cow::Owned(name.to_owned())] {
                let mut out = Vec::new();
                write_name(&mut out, Kind::InBand, last.name(&name)).unwrap();
                assert_eq!(out, expected.as_bytes(), "{name:?}");
            }
        }
    }
}
