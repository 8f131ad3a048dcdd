//! Writes tokens as text that people can read, without parsing them.
//!
//! This is what a build pays for: formatting would take as long as everything else, and has to be
//! compiled first. The result is laid out by a few rules that need no knowledge of Rust's grammar.
//! What is in braces is indented; a line ends after `;`, `,` and `}` in braces, and after an
//! attribute of an item; documentation is written as comments.
//!
//! ```text
//! /// Execute a mirror of a device.
//! pub struct BlockdevMirror {
//!     pub device: ::std::string::String,
//! }
//! ::qmp_types::object! { BlockdevMirror = "blockdev-mirror" {
//!     device: "device",
//!     job_id?: "job-id",
//! } }
//! ```

use std::iter::Peekable;

use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, Group, Punct, Spacing, TokenStream, TokenTree};

/// Writes a file.
pub(crate) fn write(tokens: TokenStream) -> String {
    let mut out = String::new();
    Writer { out: &mut out, indentation: 0, last: Last::Open }.block(tokens);
    out.push('\n');
    out
}

/// Writes the tokens of a macro call, which begins on a line with this indentation.
#[cfg(feature = "format")]
pub(super) fn write_call(tokens: TokenStream, out: &mut String, indentation: usize) {
    Writer { out, indentation, last: Last::Open }.tokens(tokens);
}

/// Writes tokens with spaces where people write them.
struct Writer<'o> {
    out: &'o mut String,
    /// Of the current line.
    indentation: usize,
    last: Last,
}

/// The token written last, as far as the next space depends on it.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Last {
    Literal,
    Name,
    /// A word or punctuation that is followed by a space, whatever comes next.
    Separator,
    /// A closing delimiter.
    Close,
    /// An opening delimiter, or punctuation that belongs to what follows.
    Open,
    /// Punctuation that is not part of an operator with what follows.
    Alone(char),
}

/// Words that are followed by a space even before punctuation: Rust's, and those of our macros.
const SEPARATE: &[&str] = &[
    "as", "boxed", "by", "const", "dyn", "else", "for", "if", "impl", "in", "into", "let", "match",
    "mut", "return", "unsafe", "where",
];

/// Operators of two characters: each first character, and the second ones.
const PAIRS: &[(char, &str)] = &[
    ('!', "="),
    ('%', "="),
    ('&', "&="),
    ('*', "="),
    ('+', "="),
    ('-', "=>"),
    ('.', "."),
    ('/', "="),
    (':', ":"),
    ('<', "-<="),
    ('=', "=>"),
    ('>', "="),
    ('^', "="),
    ('|', "=|"),
];

/// Returns whether two characters are one operator, or begin a comment.
fn is_pair(first: char, second: char) -> bool {
    let is_comment = first == '/' && matches!(second, '/' | '*');
    is_comment || PAIRS.iter().any(|(one, others)| *one == first && others.contains(second))
}

impl Writer<'_> {
    /// Writes tokens in one line, unless they contain braces.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            self.token(token, &mut tokens);
        }
    }

    fn token(&mut self, token: TokenTree, rest: &mut Peekable<IntoIter>) {
        match token {
            TokenTree::Ident(ident) => self.name(&ident.to_string()),
            TokenTree::Literal(literal) => self.word(&literal.to_string(), Last::Literal),
            TokenTree::Group(group) => self.group(&group),
            TokenTree::Punct(punct) => {
                let second = second_half(&punct, rest.peek());
                if second.is_some() {
                    rest.next();
                }
                self.punctuation(&punct, second);
            }
        }
    }

    fn name(&mut self, name: &str) {
        // In a path, no word has a meaning of its own.
        let is_separate = SEPARATE.contains(&name) && !self.out.ends_with("::");
        let last = if is_separate { Last::Separator } else { Last::Name };
        self.word(name, last);
    }

    fn word(&mut self, word: &str, last: Last) {
        if !matches!(self.last, Last::Open | Last::Alone(_)) {
            self.out.push(' ');
        }
        self.out.push_str(word);
        self.last = last;
    }

    fn punctuation(&mut self, punct: &Punct, second: Option<char>) {
        let first = punct.as_char();
        let is_separate = matches!(self.last, Last::Alone(last) if is_pair(last, first));
        let is_open = matches!(self.last, Last::Open | Last::Alone(_));
        let (before, last) = match (first, second) {
            (',' | ';' | ':', None) => (false, Last::Separator),
            ('=' | '+', None) => (!is_open, Last::Separator),
            // A lifetime: directly after a word, it would be an unknown prefix.
            ('\'', None) => (!is_open, Last::Open),
            (_, Some('=' | '>' | '&' | '|')) => (!is_open, Last::Separator),
            _ => (self.last == Last::Separator, Last::Open),
        };
        if before || is_separate {
            self.out.push(' ');
        }
        self.out.push(first);
        self.out.extend(second);
        self.last = match (first, second) {
            // What follows a closing angle bracket belongs to it, unless it is a word.
            ('>', None) => Last::Close,
            (_, None) if last == Last::Open && punct.spacing() == Spacing::Alone => {
                Last::Alone(first)
            }
            _ => last,
        };
    }

    fn group(&mut self, group: &Group) {
        let (open, close) = match group.delimiter() {
            Delimiter::Brace => return self.braces(group.stream()),
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        if matches!(self.last, Last::Literal | Last::Separator) {
            self.out.push(' ');
        }
        self.out.push_str(open);
        self.last = Last::Open;
        self.tokens(group.stream());
        self.out.push_str(close);
        self.last = Last::Close;
    }

    fn braces(&mut self, contents: TokenStream) {
        self.out.push_str(if self.last == Last::Open { "{" } else { " {" });
        if !contents.is_empty() {
            self.indentation += 4;
            self.new_line();
            self.block(contents);
            self.indentation -= 4;
            self.new_line();
        }
        self.out.push('}');
        self.last = Last::Close;
    }

    /// Writes what is in braces, or a file: each item, statement or element on a line of its own.
    fn block(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut begins = true;
        while let Some(token) = tokens.next() {
            if let (true, Some(attribute)) = (begins, attribute(&token, &mut tokens)) {
                self.attribute(&attribute);
                if tokens.peek().is_some() {
                    self.new_line();
                }
                continue;
            }
            let is_call = self.ends_with_exclamation_mark();
            let ends = match &token {
                TokenTree::Punct(punct) => matches!(punct.as_char(), ',' | ';'),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    !continues(tokens.peek())
                }
                _ => false,
            };
            match token {
                TokenTree::Group(group) if is_call && group.delimiter() == Delimiter::Brace => {
                    self.out.push_str(" { ");
                    self.last = Last::Open;
                    self.tokens(group.stream());
                    self.out.push_str(" }");
                    self.last = Last::Close;
                }
                token => self.token(token, &mut tokens),
            }
            begins = ends;
            if ends && tokens.peek().is_some() {
                self.new_line();
            }
        }
    }

    fn ends_with_exclamation_mark(&self) -> bool {
        self.out.ends_with('!')
    }

    fn attribute(&mut self, attribute: &Group) {
        if let Some(line) = documentation(attribute) {
            self.out.push_str("///");
            self.out.push_str(&line);
        } else {
            self.out.push_str("#[");
            self.last = Last::Open;
            self.tokens(attribute.stream());
            self.out.push(']');
        }
        self.last = Last::Open;
    }

    fn new_line(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', self.indentation));
        self.last = Last::Open;
    }
}

/// Returns the second character of an operator, such as `::` or `=>`, if `next` belongs to it.
fn second_half(first: &Punct, next: Option<&TokenTree>) -> Option<char> {
    let (Spacing::Joint, Some(TokenTree::Punct(next))) = (first.spacing(), next) else {
        return None;
    };
    is_pair(first.as_char(), next.as_char()).then_some(next.as_char())
}

/// Returns the attribute that begins with a token, and takes its second token.
fn attribute(first: &TokenTree, rest: &mut Peekable<IntoIter>) -> Option<Group> {
    let TokenTree::Punct(punct) = first else { return None };
    if punct.as_char() != '#' {
        return None;
    }
    match rest.next_if(
        |next| matches!(next, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket),
    ) {
        Some(TokenTree::Group(group)) => Some(group),
        _ => None,
    }
}

/// Returns the text of `doc = "text"`, if it can be written as a comment.
fn documentation(attribute: &Group) -> Option<String> {
    let mut tokens = attribute.stream().into_iter();
    match (tokens.next(), tokens.next(), tokens.next(), tokens.next()) {
        (
            Some(TokenTree::Ident(name)),
            Some(TokenTree::Punct(_)),
            Some(TokenTree::Literal(text)),
            None,
        ) if name == "doc" => comment(&text.to_string()),
        _ => None,
    }
}

/// Returns the value of a string literal, if it means the same in a comment.
fn comment(literal: &str) -> Option<String> {
    let is_raw = literal.starts_with('r');
    let literal = if is_raw { literal[1..].trim_matches('#') } else { literal };
    let quoted = literal.strip_prefix('"')?.strip_suffix('"')?;
    // After a third slash, a fourth would begin an ordinary comment.
    if !quoted.is_empty() && !quoted.starts_with(' ') {
        return None;
    }
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(char) = chars.next() {
        text.push(match char {
            '\\' if !is_raw => {
                chars.next().filter(|escaped| matches!(escaped, '"' | '\'' | '\\'))?
            }
            '\n' | '\r' => return None,
            char => char,
        });
    }
    Some(text)
}

/// Returns whether what follows a closing brace belongs to the same line.
fn continues(next: Option<&TokenTree>) -> bool {
    match next {
        Some(TokenTree::Punct(punct)) => {
            matches!(punct.as_char(), ',' | ';' | '.' | '?' | '=' | '&' | '|')
        }
        Some(TokenTree::Ident(ident)) => ident == "else",
        _ => false,
    }
}

#[cfg(all(test, feature = "format"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn writes(text: &str) {
        let tokens: TokenStream = text.parse().unwrap();
        assert_eq!(write(tokens), format!("{text}\n"));
    }

    #[test]
    fn code_is_written_as_people_write_it() {
        writes("/// The text: \"x\", it's `C:\\\\`.\npub struct A {\n    pub b: u8,\n}");
        writes("#[derive(Clone)]\npub enum A {\n    ///\n    B(Box<u8>),\n    C,\n}");
        writes(
            "impl A {\n    pub fn new() -> Self {\n        Self {\n            a,\n        }\n    }\n}",
        );
        writes("a::b! { A = \"a\" {\n    b: \"b\",\n    ..c\n} }\na::b! { D = \"d\" {} }");
        writes("pub fn new() -> ::std::boxed::Box<A>;");
        writes("pub const A: &[(&str, &[&str])] = &[(\"b\", &[\"c\"])];\npub type B = C;");
        writes("#[c(break 'a)]\npub fn new<'a>(&'a self) -> dyn A + 'a;");
        writes("use a::{\n    b,\n    c\n};\nif a {\n    b\n} else {\n    c\n}");
    }

    /// A space more or less can be another program, and so can a comment: each text must mean the
    /// same as the tokens.
    #[test]
    fn what_is_written_are_the_same_tokens() {
        let same = |tokens: TokenStream| {
            let text = write(tokens.clone());
            let (written, given) = (text.parse::<TokenStream>().unwrap(), tokens);
            assert_eq!(plain(written), plain(given), "{text}");
        };
        for text in [
            "a & &b && c || d | |e| e < -f <= - g == = h",
            "a . . b .. c ... d : :: e / / f / * g ! = h > = i > > = - > k",
            "let _ = |_| match a { b => -1, _ => *c };",
            "x! {} y! { a } z! { { b }, { c } } fn f<'a>(&'a self, x: &mut &u8) -> Vec<Vec<u8>> {}",
            "#[doc = \"/ four\"] #[doc = \"two\\nlines\"] #[doc = \" \\r\"] #[doc = \" \\u{7f}\"] struct A;",
            "#[doc = \"no space\"] #[doc = r\" raw\"] #[doc(hidden)] struct A;",
            "struct A { # b: u8, #[c] d: u8 } #![e]",
        ] {
            same(text.parse().unwrap());
        }
    }

    /// Returns tokens as one line, in which it does not matter how a text is quoted.
    fn plain(tokens: TokenStream) -> String {
        let mut tokens = tokens.into_iter().peekable();
        let mut line = String::new();
        while let Some(token) = tokens.next() {
            line.push_str(&match token {
                TokenTree::Group(group) => {
                    format!("{:?}<{}>", group.delimiter(), plain(group.stream()))
                }
                TokenTree::Literal(literal) => {
                    match syn::parse_str(&literal.to_string()).unwrap() {
                        syn::Lit::Str(text) => format!("{:?}", text.value()),
                        _ => literal.to_string(),
                    }
                }
                TokenTree::Punct(punct) => match second_half(&punct, tokens.peek()) {
                    Some(second) => format!("{}+{second}", punct.as_char()),
                    None => punct.as_char().to_string(),
                },
                TokenTree::Ident(ident) => ident.to_string(),
            });
            line.push(' ');
        }
        line
    }
}
