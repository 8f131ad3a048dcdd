//! Splits a schema into tokens: JSON with single quotes and comments, without numbers and `null`.

use std::borrow::Cow;

use crate::ascii;
use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Span};

/// A token. Comments are not tokens; use [`Lexer::comment`] to read documentation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Token<'s> {
    /// One of `{}[]:,`.
    Punctuation(u8),
    String(Cow<'s, str>),
    Bool(bool),
    End,
}

impl Token<'_> {
    /// Returns how a message refers to the token.
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
#[derive(Clone, Copy)]
pub(crate) struct Comment<'s> {
    pub(crate) text: &'s str,
    pub(crate) span: Span,
}

#[derive(Clone)]
pub(crate) struct Lexer<'s> {
    text: &'s str,
    file: FileId,
    at: usize,
    /// The beginning of the most recent token or comment. If it was unexpected, parsing may resume
    /// there.
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

    /// Returns the next token after any ordinary comments.
    ///
    /// A documentation comment is an error, since it may only be between definitions.
    pub(crate) fn next(&mut self) -> Result<(Token<'s>, Span), Box<Diagnostic>> {
        if let Some(comment) = self.documentation() {
            self.last = comment.span.start as usize;
            let message = "unexpected documentation comment";
            return Err(Diagnostic::error(comment.span, message)
                .help("begin the line with a single '#' for an ordinary comment")
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
            _ => return Err(self.unexpected().into()),
        };
        Ok((token, self.span(start, self.at)))
    }

    /// Returns the next line if it is a comment.
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

    /// Returns the location of the next character; at the end of the text, the end of its last line.
    pub(crate) fn here(&self) -> Span {
        let at = match self.text[self.at..].chars().next() {
            Some(c) => return self.span(self.at, self.at + c.len_utf8()),
            None => self.text.strip_suffix('\n').unwrap_or(self.text),
        };
        let at = at.strip_suffix('\r').unwrap_or(at).len();
        self.span(at, at)
    }

    /// Returns the first line of a documentation comment if it is next after ordinary comments.
    pub(crate) fn documentation(&mut self) -> Option<Comment<'s>> {
        while let Some(comment) = self.comment() {
            if comment.text.starts_with("##") {
                return Some(comment);
            }
        }
        None
    }

    /// Skips to the next line that looks like the beginning of a definition, directive, or
    /// documentation comment.
    ///
    /// The most recent token can be that beginning: it was unexpected only because of an unfinished
    /// definition before it.
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
        // Fast path: most strings contain only plain characters.
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\');
        let rest = &self.text[start + 1..];
        let length = ascii::count(rest, is_plain);
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
                        let error =
                            Diagnostic::error(self.span(at, end), "unknown escape sequence");
                        return Err(error.help("'\\\\' is the only escape sequence").into());
                    }
                    unescaped.get_or_insert_with(|| self.text[start + 1..at].to_owned()).push('\\');
                }
                ' '..='~' => unescaped.iter_mut().for_each(|text| text.push(c)),
                _ => {
                    let span = self.span(at, at + c.len_utf8());
                    let message = "a string can only contain printable ASCII characters";
                    return Err(Diagnostic::error(span, message).into());
                }
            }
        }
        Err(Diagnostic::error(self.span(start, start + 1), "unterminated string")
            .help("close the string with a single quote on the same line")
            .into())
    }

    /// Returns an error for text that is not a token.
    fn unexpected(&self) -> Diagnostic {
        let rest = &self.text[self.at..];
        let is_end = |c: char| c.is_whitespace() || "{}[]:,'#".contains(c);
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let length = rest[first..].find(is_end).map_or(rest.len(), |length| first + length);
        let word = &rest[..length];
        let error_span = self.span(self.at, self.at + word.len());
        let error = Diagnostic::error(error_span, format!("unexpected '{word}'"));
        if word.starts_with('\u{feff}') {
            Diagnostic::error(error_span, "unexpected byte order mark")
                .help("save the file as UTF-8 without a byte order mark")
        } else if word.starts_with('"') {
            error.help("enclose strings in single quotes")
        } else if word == "null"
            || word.starts_with('-')
            || ascii::begins_with(word, u8::is_ascii_digit)
        {
            error.help("a schema cannot contain numbers or null")
        } else if ascii::begins_with(word, u8::is_ascii_alphabetic) {
            error.help("enclose names in single quotes")
        } else {
            error
        }
    }
}

fn skip_space(text: &str) -> &str {
    let space = ascii::count(text, u8::is_ascii_whitespace);
    // Any remaining white space is not ASCII.
    text[space..].trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexer(text: &str) -> Lexer<'_> {
        Lexer::new(text, FileId(0))
    }

    /// A value with its start and end.
    type Located<T> = (T, u32, u32);

    /// Returns the tokens of a text, or the message of its error.
    fn tokens(text: &str) -> Result<Vec<Located<Token<'_>>>, Located<String>> {
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
    fn tokens_have_locations() {
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
    fn errors_have_locations() {
        for (text, message, start, end) in [
            ("'abc", "unterminated string", 0, 1),
            ("'ab\n'", "unterminated string", 0, 1),
            ("'a\\n'", "unknown escape sequence", 2, 4),
            ("'a\\", "unknown escape sequence", 2, 3),
            ("'a\u{e4}'", "a string can only contain printable ASCII characters", 2, 4),
            ("'\\\\\t'", "a string can only contain printable ASCII characters", 3, 4),
            ("{ nul, }", "unexpected 'nul'", 2, 5),
            ("truer", "unexpected 'r'", 4, 5),
            ("\u{e4}#x", "unexpected '\u{e4}'", 0, 2),
            ("{\n  ## x\n}", "unexpected documentation comment", 4, 8),
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

    /// An error at the end of the text has a line that can be shown.
    #[test]
    fn end_of_text_is_in_the_last_line() {
        for (text, at) in [("", 0), ("{", 1), ("{\n", 1), ("{\r\n", 1), ("{\n\n", 2), ("{ ", 2)] {
            let mut lexer = lexer(text);
            while !matches!(lexer.next(), Ok((Token::End, _)) | Err(_)) {}
            assert_eq!(lexer.here().start, at, "{text:?}");
        }
    }

    #[test]
    fn recovery_resumes_at_the_unexpected_token_or_a_later_line() {
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
