//! Parses values, the JSON in which definitions are written.

use crate::ast::Name;
use crate::diagnostic::Diagnostic;
use crate::few::Few;
use crate::lexer::{Lexer, Token};
use crate::source::Span;

/// The maximum depth of a value. Only conditions can be nested more than ten levels deep.
const MAX_DEPTH: usize = 100;

/// The maximum number of elements in an object or array. QEMU's longest has about 150.
///
/// Some checks and emitters visit a list once for each reference to it.
const MAX_LENGTH: usize = 20_000;

/// A value and its location.
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
}

pub(super) enum Value {
    Object(Vec<(Name, Node)>),
    Array(Vec<Node>),
    String(String),
    Bool(bool),
}

impl Node {
    /// Returns how a message refers to the type of the value.
    pub(super) fn describe(&self) -> &'static str {
        match self.value {
            Value::Object(_) => "an object",
            Value::Array(_) => "an array",
            Value::String(_) => "a string",
            Value::Bool(_) => "a boolean",
        }
    }
}

/// Parses a value.
pub(super) fn parse(lexer: &mut Lexer<'_>) -> Result<Node, Box<Diagnostic>> {
    let (token, span) = lexer.next()?;
    value(lexer, token, span, 0)
}

fn value(
    lexer: &mut Lexer<'_>,
    token: Token<'_>,
    span: Span,
    depth: usize,
) -> Result<Node, Box<Diagnostic>> {
    if depth > MAX_DEPTH {
        let message = format!("values are nested more than {MAX_DEPTH} levels deep");
        return Err(Diagnostic::error(span, message).into());
    }
    let (value, end) = match token {
        Token::String(text) => (Value::String(text.into_owned()), span),
        Token::Bool(value) => (Value::Bool(value), span),
        Token::Punctuation(b'{') => object(lexer, depth)?,
        Token::Punctuation(b'[') => array(lexer, depth)?,
        other => {
            let message =
                format!("expected '{{', '[', a string, or a boolean, found {}", other.describe());
            return Err(Diagnostic::error(span, message).into());
        }
    };
    Ok(Node { value, span: Span { end: end.end, ..span } })
}

fn object(lexer: &mut Lexer<'_>, depth: usize) -> Result<(Value, Span), Box<Diagnostic>> {
    let mut members: Vec<(Name, Node)> = Vec::new();
    let (mut token, mut span) = lexer.next()?;
    if token == Token::Punctuation(b'}') {
        return Ok((Value::Object(members), span));
    }
    loop {
        let Token::String(key) = token else {
            let what = if members.is_empty() { "a string or '}'" } else { "a string" };
            return Err(unexpected(what, &token, span));
        };
        let key = Name { text: key.into_owned(), span };
        expect(lexer, b':')?;
        let (next, next_span) = lexer.next()?;
        let node = value(lexer, next, next_span, depth + 1)?;
        if members.len() == MAX_LENGTH {
            return Err(too_long(key.span));
        }
        members.push((key, node));
        let (separator, end) = lexer.next()?;
        match separator {
            Token::Punctuation(b'}') => {
                check_keys(&members)?;
                return Ok((Value::Object(members), end));
            }
            Token::Punctuation(b',') => (token, span) = lexer.next()?,
            other => return Err(unexpected("',' or '}'", &other, end)),
        }
    }
}

fn check_keys(members: &[(Name, Node)]) -> Result<(), Box<Diagnostic>> {
    let mut keys = Few::with_capacity(members.len());
    for (key, _) in members {
        if let Some(first) = keys.insert(key.text.as_str(), key.span) {
            let error = Diagnostic::error(key.span, format!("duplicate key '{}'", key.text));
            return Err(error.related(*first, "first used here").into());
        }
    }
    Ok(())
}

fn array(lexer: &mut Lexer<'_>, depth: usize) -> Result<(Value, Span), Box<Diagnostic>> {
    let mut elements = Vec::new();
    let (mut token, mut span) = lexer.next()?;
    if token == Token::Punctuation(b']') {
        return Ok((Value::Array(elements), span));
    }
    loop {
        if elements.len() == MAX_LENGTH {
            return Err(too_long(span));
        }
        elements.push(value(lexer, token, span, depth + 1)?);
        let (separator, end) = lexer.next()?;
        match separator {
            Token::Punctuation(b']') => return Ok((Value::Array(elements), end)),
            Token::Punctuation(b',') => (token, span) = lexer.next()?,
            other => return Err(unexpected("',' or ']'", &other, end)),
        }
    }
}

fn too_long(span: Span) -> Box<Diagnostic> {
    let message = format!("an object or array cannot have more than {MAX_LENGTH} elements");
    Diagnostic::error(span, message).into()
}

fn expect(lexer: &mut Lexer<'_>, byte: u8) -> Result<(), Box<Diagnostic>> {
    match lexer.next()? {
        (Token::Punctuation(found), _) if found == byte => Ok(()),
        (other, span) => Err(unexpected(&format!("'{}'", char::from(byte)), &other, span)),
    }
}

fn unexpected(expected: &str, found: &Token<'_>, span: Span) -> Box<Diagnostic> {
    Diagnostic::error(span, format!("expected {expected}, found {}", found.describe())).into()
}
