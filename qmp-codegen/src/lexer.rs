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

/// A comment line, from its `#` to the end of the line.
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
    /// Where the token or comment begins that was asked for last: if it has no place there, it may
    /// be the beginning of something else.
    last: usize,
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(text: &'s str, file: FileId) -> Self {
        Self { text, file, at: 0, last: 0 }
    }

    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: narrow(start), end: narrow(end) }
    }

    /// The next token, comments passed over; not those that document, which stand between
    /// definitions and not in them.
    pub(crate) fn next(&mut self) -> Result<(Token<'s>, Span), Box<Diagnostic>> {
        if let Some(comment) = self.documentation() {
            self.last = comment.span.start as usize;
            let message = "a documentation comment has no place here";
            return Err(Diagnostic::error(comment.span, message)
                .help("a line that begins with a single '#' may stand anywhere")
                .into());
        }
        let start = self.at;
        let Some(byte) = self.text.as_bytes().get(start).copied() else {
            return Ok((Token::End, self.here()));
        };
        let token = match byte {
            b'{' | b'}' | b'[' | b']' | b':' | b',' => {
                self.at += 1;
                Token::Punctuation(byte)
            }
            b'\'' => self.string()?,
            _ if self.word("true") => Token::Bool(true),
            _ if self.word("false") => Token::Bool(false),
            _ => return Err(self.stray().into()),
        };
        Ok((token, self.span(start, self.at)))
    }

    /// The comment line that comes next, if one does.
    pub(crate) fn comment(&mut self) -> Option<Comment<'s>> {
        let rest = skip_space(&self.text[self.at..]);
        let start = self.text.len() - rest.len();
        self.at = start;
        self.last = start;
        if !rest.starts_with('#') {
            return None;
        }
        let line = rest.find('\n').map_or(rest, |end| &rest[..end]);
        self.at += line.len();
        self.last = self.at;
        let text = line.strip_suffix('\r').unwrap_or(line);
        Some(Comment { text, span: self.span(start, start + text.len()) })
    }

    /// The place that is reached; at the end of the text, that of its last line.
    pub(crate) fn here(&self) -> Span {
        let at = match self.text[self.at..].chars().next() {
            Some(c) => return self.span(self.at, self.at + c.len_utf8()),
            None => self.text.strip_suffix('\n').unwrap_or(self.text),
        };
        let at = at.strip_suffix('\r').unwrap_or(at).len();
        self.span(at, at)
    }

    /// The comment that documents, if one comes next; other comments before it are passed over.
    pub(crate) fn documentation(&mut self) -> Option<Comment<'s>> {
        while let Some(comment) = self.comment() {
            if comment.text.starts_with("##") {
                return Some(comment);
            }
        }
        None
    }

    /// Goes on at the next line that looks like the beginning of something at the top level. What
    /// was read last can be it: to be wrong there, it had to come behind something else.
    pub(crate) fn recover(&mut self) {
        self.at = self.last;
        let mut at_line = self.text[..self.at].ends_with('\n');
        loop {
            let rest = &self.text[self.at..];
            if at_line && (rest.starts_with('{') || rest.starts_with("##")) {
                return;
            }
            let Some(newline) = rest.find('\n') else { break };
            self.at += newline + 1;
            at_line = true;
        }
        self.at = self.text.len();
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn string(&mut self) -> Result<Token<'s>, Box<Diagnostic>> {
        let start = self.at;
        // Most strings are closed behind nothing but plain characters.
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\');
        let rest = &self.text[start + 1..];
        let length = rest.bytes().take_while(is_plain).count();
        if rest.as_bytes().get(length) == Some(&b'\'') {
            self.at = start + 1 + length + 1;
            return Ok(Token::String(Cow::Borrowed(&rest[..length])));
        }
        self.string_with_escapes(start)
    }

    fn string_with_escapes(&mut self, start: usize) -> Result<Token<'s>, Box<Diagnostic>> {
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
                        return Err(error.help("in a string, only '\\\\' is an escape").into());
                    }
                    unescaped.get_or_insert_with(|| self.text[start + 1..at].to_owned()).push('\\');
                }
                ' '..='~' => unescaped.iter_mut().for_each(|text| text.push(c)),
                _ => {
                    let span = self.span(at, at + c.len_utf8());
                    let message = "strings have only printable ASCII characters";
                    return Err(Diagnostic::error(span, message).into());
                }
            }
        }
        Err(Diagnostic::error(self.span(start, start + 1), "this string is not closed")
            .help("it must be closed on the same line")
            .into())
    }

    fn stray(&self) -> Diagnostic {
        let rest = &self.text[self.at..];
        let is_end = |c: char| c.is_whitespace() || "{}[]:,'#".contains(c);
        let length = rest.char_indices().skip(1).find(|(_, c)| is_end(*c)).map(|(at, _)| at);
        let word = &rest[..length.unwrap_or(rest.len())];
        let error_span = self.span(self.at, self.at + word.len());
        let error = Diagnostic::error(error_span, format!("stray '{word}'"));
        if word.starts_with('\u{feff}') {
            Diagnostic::error(error_span, "a byte order mark has no place in a schema")
        } else if word.starts_with('"') {
            error.help("strings have single quotes")
        } else if word == "null" || word.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            error.help("a schema has no numbers and no null")
        } else if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            error.help("names stand in single quotes")
        } else {
            error
        }
    }
}

fn skip_space(text: &str) -> &str {
    let space = text.bytes().take_while(u8::is_ascii_whitespace).count();
    // What is left is none, or other space than ASCII's.
    text[space..].trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexer(text: &str) -> Lexer<'_> {
        Lexer::new(text, FileId(0))
    }

    /// Something and where it begins and ends.
    type Placed<T> = (T, u32, u32);

    /// The tokens of a text, or the message of its error.
    fn tokens(text: &str) -> Result<Vec<Placed<Token<'_>>>, Placed<String>> {
        let mut lexer = lexer(text);
        let mut tokens = Vec::new();
        loop {
            match lexer.next() {
                Ok((Token::End, _)) => return Ok(tokens),
                Ok((token, span)) => tokens.push((token, span.start, span.end)),
                Err(error) => {
                    let (start, end) = error.span.map_or((0, 0), |span| (span.start, span.end));
                    return Err((error.message, start, end));
                }
            }
        }
    }

    #[test]
    fn tokens_have_places() {
        let found = tokens(" {'a' :[true,# more\n false]}").map_err(|(message, ..)| message);
        let expected = vec![
            (Token::Punctuation(b'{'), 1, 2),
            (Token::String("a".into()), 2, 5),
            (Token::Punctuation(b':'), 6, 7),
            (Token::Punctuation(b'['), 7, 8),
            (Token::Bool(true), 8, 12),
            (Token::Punctuation(b','), 12, 13),
            (Token::Bool(false), 21, 26),
            (Token::Punctuation(b']'), 26, 27),
            (Token::Punctuation(b'}'), 27, 28),
        ];
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn only_the_backslash_is_escaped() {
        for (text, expected) in [
            ("'\\\\'", "\\"),
            ("'a\\\\b'", "a\\b"),
            ("'\\\\\\\\'", "\\\\"),
            ("'\"~ #'", "\"~ #"),
            ("''", ""),
        ] {
            let token = lexer(text).next().map(|(token, _)| token).map_err(|error| error.message);
            assert_eq!(token, Ok(Token::String(expected.into())), "{text}");
        }
    }

    #[test]
    fn errors_have_places() {
        for (text, message, start, end) in [
            ("'abc", "this string is not closed", 0, 1),
            ("'ab\n'", "this string is not closed", 0, 1),
            ("'a\\n'", "unknown escape", 2, 4),
            ("'a\\", "unknown escape", 2, 3),
            ("'a\u{e4}'", "strings have only printable ASCII characters", 2, 4),
            ("'\\\\\t'", "strings have only printable ASCII characters", 3, 4),
            ("{ nul, }", "stray 'nul'", 2, 5),
            ("truer", "stray 'r'", 4, 5),
            ("\u{e4}#x", "stray '\u{e4}'", 0, 2),
            ("{\n  ## x\n}", "a documentation comment has no place here", 4, 8),
        ] {
            assert_eq!(tokens(text), Err((message.to_owned(), start, end)), "{text:?}");
        }
    }

    #[test]
    fn comments_are_lines() {
        let mut lexer = lexer("  # one \r\n\n##\n#\n{");
        let mut next = || lexer.comment().map(|comment| (comment.text, comment.span.start));
        assert_eq!(next(), Some(("# one ", 2)));
        assert_eq!(next(), Some(("##", 11)));
        assert_eq!(next(), Some(("#", 14)));
        assert_eq!(next(), None);
        assert_eq!(lexer.next().map(|(token, _)| token).ok(), Some(Token::Punctuation(b'{')));
    }

    /// The end is where the last line ends, so that the line can be shown.
    #[test]
    fn the_end_is_in_the_last_line() {
        for (text, at) in [("", 0), ("{", 1), ("{\n", 1), ("{\r\n", 1), ("{\n\n", 2), ("{ ", 2)] {
            let mut lexer = lexer(text);
            while !matches!(lexer.next(), Ok((Token::End, _)) | Err(_)) {}
            assert_eq!(lexer.here().start, at, "{text:?}");
        }
    }

    /// Reading goes on with the token that was not expected, or with a later line.
    #[test]
    fn recovery() {
        for (text, tokens, rest) in [
            ("{ 'a'\n{ 'b'", 3, "{ 'b'"),
            ("{ 'a' {\n'b'\n{ 'c'", 3, "{ 'c'"),
            ("{ 'a'\n##\n# @b:", 3, "##\n# @b:"),
            ("{ x\n{ 'b'", 2, "{ 'b'"),
            ("{ 'a'\n 'b' }", 2, ""),
        ] {
            let mut lexer = lexer(text);
            for _ in 0..tokens {
                _ = lexer.next();
            }
            lexer.recover();
            assert_eq!(&text[lexer.at..], rest, "{text:?}");
        }
    }
}
