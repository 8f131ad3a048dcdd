//! Tokens of a schema: JSON with single quotes and comments, without numbers and `null`.

use std::borrow::Cow;

use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Span};

/// A token. Comments are none; those that document are asked for by
/// [`comment`](Lexer::comment).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Token<'s> {
    /// One of `{}[]:,`.
    Punctuation(u8),
    String(Cow<'s, str>),
    Bool(bool),
    End,
}

impl Token<'_> {
    /// The token as a message names it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Punctuation(byte) => format!("'{}'", char::from(*byte)),
            Self::String(text) => format!("string '{text}'"),
            Self::Bool(value) => format!("'{value}'"),
            Self::End => String::from("the end of the file"),
        }
    }
}

/// A comment line, from its `#` to the end of the line, without space at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comment<'s> {
    pub(crate) text: &'s str,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Lexer<'s> {
    text: &'s str,
    file: FileId,
    at: usize,
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(text: &'s str, file: FileId) -> Self {
        Self { text, file, at: 0 }
    }

    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: narrow(start), end: narrow(end) }
    }

    /// The next token, comments passed over.
    pub(crate) fn next(&mut self) -> Result<(Token<'s>, Span), Diagnostic> {
        while self.comment().is_some() {}
        let start = self.at;
        let Some(byte) = self.text.as_bytes().get(start).copied() else {
            return Ok((Token::End, self.span(start, start)));
        };
        let token = match byte {
            b'{' | b'}' | b'[' | b']' | b':' | b',' => {
                self.at += 1;
                Token::Punctuation(byte)
            }
            b'\'' => self.string()?,
            _ if self.word("true") => Token::Bool(true),
            _ if self.word("false") => Token::Bool(false),
            _ => return Err(self.stray()),
        };
        Ok((token, self.span(start, self.at)))
    }

    /// The comment line that comes next, if one does.
    pub(crate) fn comment(&mut self) -> Option<Comment<'s>> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        let start = self.at;
        if !self.text[start..].starts_with('#') {
            return None;
        }
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        self.at += line.len();
        let text = line.trim_end();
        Some(Comment { text, span: self.span(start, start + text.len()) })
    }

    /// Whether a comment that documents comes next; other comments before it are passed over.
    pub(crate) fn documentation(&mut self) -> Option<Comment<'s>> {
        while let Some(comment) = self.comment() {
            if comment.text.starts_with("##") {
                return Some(comment);
            }
        }
        None
    }

    /// Goes on at the next line that looks like the beginning of something at the top level.
    pub(crate) fn recover(&mut self) {
        while let Some(newline) = self.text[self.at..].find('\n') {
            self.at += newline + 1;
            let rest = &self.text[self.at..];
            if rest.starts_with('{') || rest.starts_with("##") {
                return;
            }
        }
        self.at = self.text.len();
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn string(&mut self) -> Result<Token<'s>, Diagnostic> {
        let start = self.at;
        let mut unescaped: Option<String> = None;
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((offset, c)) = chars.next() {
            let at = start + 1 + offset;
            match c {
                '\'' => {
                    self.at = at + 1;
                    let plain = &self.text[start + 1..at];
                    return Ok(Token::String(unescaped.map_or(plain.into(), Cow::Owned)));
                }
                '\n' => break,
                '\\' => {
                    let escaped = chars.next().map(|(_, c)| c);
                    if escaped != Some('\\') {
                        let end = at + 1 + escaped.map_or(0, char::len_utf8);
                        let error = Diagnostic::error(self.span(at, end), "unknown escape");
                        return Err(error.help("in a string, only '\\\\' is an escape"));
                    }
                    unescaped.get_or_insert_with(|| self.text[start + 1..at].to_owned()).push('\\');
                }
                ' '..='~' => unescaped.iter_mut().for_each(|text| text.push(c)),
                _ => {
                    let span = self.span(at, at + c.len_utf8());
                    let message = "strings have only printable ASCII characters";
                    return Err(Diagnostic::error(span, message));
                }
            }
        }
        Err(Diagnostic::error(self.span(start, start + 1), "this string is not closed")
            .help("it must be closed on the same line"))
    }

    fn stray(&self) -> Diagnostic {
        let rest = &self.text[self.at..];
        let is_end = |c: char| c.is_whitespace() || "{}[]:,'#".contains(c);
        let length = rest.char_indices().skip(1).find(|(_, c)| is_end(*c)).map(|(at, _)| at);
        let word = &rest[..length.unwrap_or(rest.len())];
        let error = Diagnostic::error(
            self.span(self.at, self.at + word.len()),
            format!("stray '{}'", word.chars().take(40).collect::<String>()),
        );
        if word.starts_with('"') {
            error.help("strings have single quotes")
        } else if word == "null" || word.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            error.help("a schema has no numbers and no null")
        } else {
            error
        }
    }
}
