//! Values in the notation of JSON or of Python.
//!
//! A value in brackets can be both, and a mixture of them: strings in quotes of either kind,
//! `true` and `True`, a comma after the last element, comments. Words that are in neither are kept
//! as such, since a schema can tell what they mean.

use std::ops::Range;

use serde_json::{Map, Number, Value};

use super::SyntaxError;

/// A value, and its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Literal {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Boolean(bool),
    /// A number as it is written.
    Number(String),
    String(String),
    /// A word without quotes.
    Word(String),
    Array(Vec<Literal>),
    Object(Vec<(String, Range<usize>, Literal)>),
}

/// The greatest number of brackets in brackets; QEMU has the limit 1024.
const MAX_DEPTH: usize = 200;

/// Reads a value that begins at `start`. Returns it with the index after it.
pub(crate) fn read(text: &str, start: usize) -> Result<(Literal, usize), SyntaxError> {
    let mut reader = Reader { text, at: start, depth: 0 };
    reader.skip_space();
    let value = reader.value()?;
    Ok((value, reader.at))
}

/// Reads a value that takes up a whole range of the text.
pub(crate) fn whole(text: &str, span: Range<usize>) -> Result<Literal, SyntaxError> {
    let text = text.get(..span.end).unwrap_or(text);
    let (value, end) = read(text, span.start)?;
    let mut reader = Reader { text, at: end, depth: 0 };
    reader.skip_space();
    if reader.at < text.len() {
        let message = "trailing characters after the value";
        return Err(SyntaxError::invalid(reader.at..text.len(), message));
    }
    Ok(value)
}

/// Removes the quotes of a string that is quoted as a whole, and resolves its escapes.
pub(crate) fn unquoted(text: &str, span: Range<usize>) -> Option<Result<String, SyntaxError>> {
    let quoted = text.get(span.clone())?;
    if !quoted.starts_with(['"', '\'']) {
        return None;
    }
    let mut reader = Reader { text: text.get(..span.end)?, at: span.start, depth: 0 };
    match reader.string(false) {
        Ok(string) if reader.at == span.end => Some(Ok(string)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }
}

impl Literal {
    /// Returns the value as it is, or the place of what JSON cannot express.
    pub(crate) fn to_json(&self) -> Result<Value, SyntaxError> {
        Ok(match &self.kind {
            Kind::Null => Value::Null,
            Kind::Boolean(value) => Value::Bool(*value),
            Kind::String(text) => Value::String(text.clone()),
            Kind::Number(text) => match number(text) {
                Some(number) => Value::Number(number),
                None => {
                    let message = format!("the number `{text}` is out of range");
                    return Err(SyntaxError::invalid(self.span.clone(), message));
                }
            },
            Kind::Word(word) => {
                let message = format!("unexpected `{word}`: text must be in quotes");
                return Err(SyntaxError::invalid(self.span.clone(), message));
            }
            Kind::Array(elements) => {
                elements.iter().map(Self::to_json).collect::<Result<Vec<_>, _>>()?.into()
            }
            Kind::Object(members) => {
                let mut object = Map::new();
                for (name, _, value) in members {
                    object.insert(name.clone(), value.to_json()?);
                }
                Value::Object(object)
            }
        })
    }
}

/// Returns a number in the notation of JSON or Python, if 64 bits can hold it.
pub(crate) fn number(text: &str) -> Option<Number> {
    if let Some(integer) = integer(text) {
        return i64::try_from(integer)
            .map(Number::from)
            .or_else(|_| u64::try_from(integer).map(Number::from))
            .ok()
            .or_else(|| Number::from_f64(text.parse().ok()?));
    }
    Number::from_f64(text.replace('_', "").parse().ok()?)
}

/// Returns a whole number: digits with an optional sign, or in another base: `0x`, `0o`, `0b`. An
/// underscore may separate digits.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    let prefix = digits.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (radix, digits) = match prefix.as_str() {
        "0x" => (16, digits.get(2..)?),
        "0o" => (8, digits.get(2..)?),
        "0b" => (2, digits.get(2..)?),
        _ => (10, digits),
    };
    let is_digits = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if !digits.split('_').all(is_digits) {
        return None;
    }
    let magnitude = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    Some(sign * magnitude)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Skips spaces and comments.
    fn skip_space(&mut self) {
        while let Some(c) = self.peek() {
            if c == '#' {
                let rest = self.text.get(self.at..).unwrap_or_default();
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if c.is_whitespace() || c == '\u{feff}' {
                self.at += c.len_utf8();
            } else {
                break;
            }
        }
    }

    fn value(&mut self) -> Result<Literal, SyntaxError> {
        let start = self.at;
        let kind = match self.peek() {
            None => return Err(self.ended(start, "a value is missing")),
            Some('{') => self.nested(Self::object)?,
            Some('[') => self.nested(|reader| reader.array(']'))?,
            Some('(') => self.nested(|reader| reader.array(')'))?,
            Some('"' | '\'') => Kind::String(self.string(false)?),
            Some(_) => self.word()?,
        };
        Ok(Literal { span: start..self.at, kind })
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Kind, SyntaxError>,
    ) -> Result<Kind, SyntaxError> {
        if self.depth == MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} brackets in brackets");
            return Err(SyntaxError::invalid(self.at..self.at + 1, message));
        }
        self.depth += 1;
        let kind = read(self)?;
        self.depth -= 1;
        Ok(kind)
    }

    fn array(&mut self, close: char) -> Result<Kind, SyntaxError> {
        let open = self.at;
        self.next();
        let mut elements = Vec::new();
        loop {
            self.skip_space();
            if self.peek() == Some(close) {
                break;
            }
            elements.push(self.inner_value(open)?);
            if !self.comma(open, close)? {
                break;
            }
        }
        self.next();
        Ok(Kind::Array(elements))
    }

    fn object(&mut self) -> Result<Kind, SyntaxError> {
        let open = self.at;
        self.next();
        let mut members = Vec::new();
        loop {
            self.skip_space();
            if self.peek() == Some('}') {
                break;
            }
            let start = self.at;
            let key = self.inner_value(open)?;
            let (Kind::String(name) | Kind::Word(name)) = key.kind else {
                return Err(SyntaxError::invalid(start..self.at, "the name of a member is not text"));
            };
            self.skip_space();
            match self.peek() {
                // QEMU's documentation of qmp-shell has an object with `=`.
                Some(':' | '=') => self.next(),
                None => return Err(self.ended(open, "unclosed `{`")),
                Some(_) => return Err(self.unexpected(&format!("`:` after \"{name}\""))),
            };
            self.skip_space();
            members.push((name, key.span, self.inner_value(open)?));
            if !self.comma(open, '}')? {
                break;
            }
        }
        self.next();
        Ok(Kind::Object(members))
    }

    /// Reads a value in the brackets that begin at `open`.
    fn inner_value(&mut self, open: usize) -> Result<Literal, SyntaxError> {
        self.skip_space();
        match self.peek() {
            None => Err(self.ended(open, &format!("unclosed `{}`", self.char_at(open)))),
            Some(_) => self.value(),
        }
    }

    /// Returns whether a comma is next, and skips it; otherwise, the closing bracket is next.
    fn comma(&mut self, open: usize, close: char) -> Result<bool, SyntaxError> {
        self.skip_space();
        match self.peek() {
            Some(',') => {
                self.next();
                Ok(true)
            }
            Some(c) if c == close => Ok(false),
            None => Err(self.ended(open, &format!("unclosed `{}`", self.char_at(open)))),
            Some(_) => Err(self.unexpected(&format!("`,` or `{close}`"))),
        }
    }

    fn char_at(&self, at: usize) -> char {
        self.text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or('{')
    }

    fn ended(&self, open: usize, message: &str) -> SyntaxError {
        let end = self.text.len();
        SyntaxError::incomplete(open.min(end)..(open + 1).min(end), message)
    }

    fn unexpected(&self, expected: &str) -> SyntaxError {
        let length = self.peek().map_or(0, char::len_utf8);
        SyntaxError::invalid(self.at..self.at + length, format!("expected {expected}"))
    }

    /// Reads a word or a number.
    fn word(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.' | '/' | '@');
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default();
        if word.is_empty() {
            return Err(self.unexpected("a value"));
        }
        self.at += length;
        if let (1, Some('"' | '\'')) = (length, self.peek()) {
            match word {
                "u" | "U" => return self.string(false).map(Kind::String),
                "r" | "R" => return self.string(true).map(Kind::String),
                _ => {}
            }
        }
        Ok(match word {
            "null" | "None" => Kind::Null,
            "true" | "True" => Kind::Boolean(true),
            "false" | "False" => Kind::Boolean(false),
            _ if is_number(word) => Kind::Number(word.to_owned()),
            _ => Kind::Word(word.to_owned()),
        })
    }

    /// Reads a string in quotes of either kind, with the escapes of JSON and of Python; without
    /// escapes, if it is raw.
    fn string(&mut self, raw: bool) -> Result<String, SyntaxError> {
        let start = self.at;
        let quote = self.next();
        let mut out = String::new();
        loop {
            let at = self.at;
            match self.next() {
                None | Some('\n') => {
                    let quote = quote.unwrap_or('"');
                    let message = format!("unclosed `{quote}`: a string ends on its line");
                    return Err(SyntaxError::invalid(start..start + 1, message));
                }
                c if c == quote => return Ok(out),
                Some('\\') if raw => {
                    out.push('\\');
                    out.extend(self.next());
                }
                Some('\\') => {
                    let Some(c) = self.escape(&mut out) else {
                        let message = "this escape does not name a character";
                        return Err(SyntaxError::invalid(at..self.at, message));
                    };
                    out.extend(c);
                }
                Some(c) => out.push(c),
            }
        }
    }

    /// Reads an escape after its backslash. An unknown one stays as it is, as in Python.
    fn escape(&mut self, out: &mut String) -> Option<Option<char>> {
        let c = self.next()?;
        Some(Some(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'a' => '\u{7}',
            'v' => '\u{b}',
            '\\' | '"' | '\'' | '/' => c,
            'x' => char::from_u32(self.digits(2)?)?,
            'u' => return self.utf16().map(Some),
            'U' => char::from_u32(self.digits(8)?)?,
            other => {
                out.push('\\');
                other
            }
        }))
    }

    /// Reads `XXXX`, or two of them that are a pair of surrogates.
    fn utf16(&mut self) -> Option<char> {
        let first = self.digits(4)?;
        if let Some(c) = char::from_u32(first) {
            return Some(c);
        }
        let rest = self.text.get(self.at..)?.strip_prefix("\\u")?;
        self.at = self.text.len() - rest.len();
        let units = [u16::try_from(first).ok()?, u16::try_from(self.digits(4)?).ok()?];
        char::decode_utf16(units).next()?.ok()
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + count)?;
        let number = digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| u32::from_str_radix(digits, 16).ok())??;
        self.at += count;
        Some(number)
    }
}

/// Returns whether a word is a number in the notation of JSON or Python.
pub(crate) fn is_number(word: &str) -> bool {
    let first = word.trim_start_matches(['-', '+']).bytes().next();
    let starts = first.is_some_and(|byte| byte.is_ascii_digit() || byte == b'.');
    starts && (integer(word).is_some() || word.replace('_', "").parse::<f64>().is_ok())
}
