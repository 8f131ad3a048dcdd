//! Arguments as they are written: a tree of what has been assigned to which key.

use std::ops::Range;

use super::SyntaxError;
use super::literal::{self, Kind, Literal};
use super::words::Word;

/// The value or the members that have been assigned to a key.
#[derive(Clone, Debug)]
pub(super) enum Source<'t> {
    /// Text whose type decides what it means: `key=value`.
    Text(Word<'t>),
    /// A value as it is: `key:=JSON`.
    Verbatim(Literal),
    /// A value in brackets, or in a value in brackets.
    Literal(Literal),
    /// Members, by dotted keys.
    Members(Vec<Entry<'t>>),
}

/// A member that has been assigned.
#[derive(Clone, Debug)]
pub(super) struct Entry<'t> {
    pub(super) name: String,
    pub(super) span: Range<usize>,
    pub(super) source: Source<'t>,
}

/// Collects words of the form `key=value`.
#[derive(Debug, Default)]
pub(super) struct Arguments<'t> {
    pub(super) entries: Vec<Entry<'t>>,
}

impl<'t> Arguments<'t> {
    /// Adds `key=value` or `key:=JSON`. `text` is the text that the word is in.
    pub(super) fn add(&mut self, text: &'t str, word: Word<'t>) -> Result<(), SyntaxError> {
        let Some((key, is_json, value)) = word.argument() else {
            return Err(SyntaxError::invalid(word.span(), "expected `key=value`"));
        };
        let source = if is_json {
            Source::Verbatim(literal::whole(text, value.span())?)
        } else {
            Source::Text(value)
        };
        let mut path = Vec::new();
        let mut start = key.start;
        for segment in key.text.split('.') {
            if segment.is_empty() {
                let message = format!("`{}` is not a key: a name is missing", key.text);
                return Err(SyntaxError::invalid(key.span(), message));
            }
            path.push(Word { text: segment, start });
            start += segment.len() + 1;
        }
        if path.len() > MAX_DEPTH {
            return Err(SyntaxError::invalid(key.span(), "the key has too many names"));
        }
        insert(&mut self.entries, text, key, &path, source)
    }
}

/// The greatest number of names in a key.
const MAX_DEPTH: usize = 64;

fn insert<'t>(
    entries: &mut Vec<Entry<'t>>,
    text: &'t str,
    key: Word<'t>,
    path: &[Word<'t>],
    source: Source<'t>,
) -> Result<(), SyntaxError> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    let known = entries.iter_mut().find(|entry| entry.name == first.text);
    match (known, rest.is_empty()) {
        (None, true) => {
            entries.push(Entry { name: first.text.to_owned(), span: first.span(), source });
            Ok(())
        }
        (None, false) => {
            let mut members = Vec::new();
            insert(&mut members, text, key, rest, source)?;
            let source = Source::Members(members);
            entries.push(Entry { name: first.text.to_owned(), span: first.span(), source });
            Ok(())
        }
        (Some(known), true) => {
            let both = matches!(known.source, Source::Members(_));
            let message = if both {
                format!("`{}` has members already, and cannot also have a value", key.text)
            } else {
                format!("duplicate key `{}`", key.text)
            };
            Err(SyntaxError::invalid(key.span(), message))
        }
        (Some(known), false) => {
            let Some(members) = members_of(text, &mut known.source) else {
                let name = &known.name;
                let message = format!("`{name}` has a value already, and cannot also have members");
                return Err(SyntaxError::invalid(key.span(), message));
            };
            insert(members, text, key, rest, source)
        }
    }
}

/// Returns the members of what has been assigned: a value in braces has some, too.
fn members_of<'e, 't>(text: &'t str, source: &'e mut Source<'t>) -> Option<&'e mut Vec<Entry<'t>>> {
    let literal = match source {
        Source::Text(word) if word.text.starts_with('{') => literal::whole(text, word.span()).ok(),
        Source::Verbatim(literal) | Source::Literal(literal) => Some(literal.clone()),
        _ => None,
    };
    if let Some(Literal { kind: Kind::Object(members), .. }) = literal {
        let entries = members.into_iter().map(|(name, span, value)| Entry {
            name,
            span,
            source: Source::Literal(value),
        });
        *source = Source::Members(entries.collect());
    }
    match source {
        Source::Members(members) => Some(members),
        _ => None,
    }
}
