//! Reads the Rust that callers of the builder pass: paths, types and attributes.
//!
//! This is a small part of Rust's grammar, so that build scripts need not compile all of it. It is
//! also more than enough: what is wrong beyond the structure, the compiler says, at the item that
//! has the type or the attribute.

// Most build scripts do not call this: with `#[inline]`, it is compiled for those that do.

use std::iter::Peekable;
use std::str::FromStr;

use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// Reads the path of a type, such as `::my_crate::Map<u8>`. Returns why it is none.
#[inline]
pub(super) fn path(text: &str) -> Result<TokenStream, String> {
    read(text, |reader| reader.path(0))
}

/// Reads a type. Returns why it is none.
#[inline]
pub(super) fn ty(text: &str) -> Result<TokenStream, String> {
    read(text, |reader| reader.ty(0))
}

/// Reads outer attributes, such as `#[derive(Eq)] #[cold]`. Returns why they are none.
#[inline]
pub(super) fn attributes(text: &str) -> Result<TokenStream, String> {
    read(text, |reader| {
        while reader.tokens.peek().is_some() {
            reader.attribute()?;
        }
        Ok(())
    })
}

#[inline]
fn read(
    text: &str,
    parse: impl FnOnce(&mut Reader) -> Result<(), String>,
) -> Result<TokenStream, String> {
    let tokens = TokenStream::from_str(text).map_err(|error| error.to_string())?;
    let mut reader = Reader::new(tokens.clone());
    parse(&mut reader)?;
    reader.end()?;
    Ok(tokens)
}

/// The deepest nesting of types.
const MAX_DEPTH: usize = 64;

struct Reader {
    tokens: Peekable<IntoIter>,
}

impl Reader {
    #[inline]
    fn new(tokens: TokenStream) -> Self {
        Self { tokens: tokens.into_iter().peekable() }
    }

    #[inline]
    fn end(&mut self) -> Result<(), String> {
        match self.tokens.peek() {
            None => Ok(()),
            Some(token) => Err(format!("unexpected token `{token}`")),
        }
    }

    #[inline]
    fn expected<T>(&mut self, what: &str) -> Result<T, String> {
        Err(match self.tokens.peek() {
            Some(token) => format!("expected {what}, found `{token}`"),
            None => format!("expected {what} at the end"),
        })
    }

    /// Takes a character of punctuation, if it is next.
    #[inline]
    fn take(&mut self, punct: char) -> bool {
        let is_it =
            |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == punct);
        self.tokens.next_if(is_it).is_some()
    }

    /// Takes an operator of two characters, if it is next.
    #[inline]
    fn take_pair(&mut self, first: char, second: char) -> bool {
        let is_joint = |token: &TokenTree| {
            matches!(token, TokenTree::Punct(p)
                if p.as_char() == first && p.spacing() == Spacing::Joint)
        };
        self.tokens.next_if(is_joint).is_some() && self.take(second)
    }

    #[inline]
    fn take_word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, TokenTree::Ident(i) if i == word)).is_some()
    }

    #[inline]
    fn take_group(&mut self, delimiter: Delimiter) -> Option<Group> {
        let is_it =
            |token: &TokenTree| matches!(token, TokenTree::Group(g) if g.delimiter() == delimiter);
        match self.tokens.next_if(is_it)? {
            TokenTree::Group(group) => Some(group),
            _ => None,
        }
    }

    #[inline]
    fn is_next(&mut self, punct: char) -> bool {
        matches!(self.tokens.peek(), Some(TokenTree::Punct(p)) if p.as_char() == punct)
    }

    #[inline]
    fn attribute(&mut self) -> Result<(), String> {
        if !self.take('#') {
            return self.expected("`#`");
        }
        let Some(group) = self.take_group(Delimiter::Bracket) else {
            return self.expected("square brackets");
        };
        let mut inside = Self::new(group.stream());
        if inside.take_word("unsafe") {
            return match inside.take_group(Delimiter::Parenthesis) {
                Some(_) => inside.end(),
                None => inside.expected("parentheses"),
            };
        }
        inside.path(0)?;
        if inside.take('=') {
            return match inside.tokens.next() {
                Some(_) => Ok(()),
                None => inside.expected("a value"),
            };
        }
        if matches!(inside.tokens.peek(), Some(TokenTree::Group(_))) {
            inside.tokens.next();
        }
        inside.end()
    }

    #[inline]
    fn ty(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(String::from("the type is nested too deeply"));
        }
        if self.take('&') {
            self.take('&');
            self.lifetime()?;
            self.take_word("mut");
            return self.ty(depth + 1);
        }
        if self.take('*') {
            return match self.take_word("const") || self.take_word("mut") {
                true => self.ty(depth + 1),
                false => self.expected("`const` or `mut`"),
            };
        }
        if self.take('!') {
            return Ok(());
        }
        if let Some(group) = self.take_group(Delimiter::Parenthesis) {
            return list(&group, depth);
        }
        if let Some(group) = self.take_group(Delimiter::Bracket) {
            return array(&group, depth);
        }
        if self.take_word("dyn") || self.take_word("impl") {
            return self.bounds(depth);
        }
        if self.take_word("for") {
            self.binder()?;
        }
        self.function_or_path(depth)
    }

    #[inline]
    fn function_or_path(&mut self, depth: usize) -> Result<(), String> {
        self.take_word("unsafe");
        if self.take_word("extern") {
            self.tokens.next_if(|token| matches!(token, TokenTree::Literal(_)));
        }
        if self.take_word("fn") {
            return match self.take_group(Delimiter::Parenthesis) {
                Some(_) => self.returns(depth),
                None => self.expected("parentheses"),
            };
        }
        self.path(depth)?;
        if self.take('!') {
            return match self.tokens.next() {
                Some(TokenTree::Group(_)) => Ok(()),
                _ => self.expected("the arguments of a macro"),
            };
        }
        Ok(())
    }

    /// Reads `-> type`, if it is next.
    #[inline]
    fn returns(&mut self, depth: usize) -> Result<(), String> {
        if self.take_pair('-', '>') { self.ty(depth + 1) } else { Ok(()) }
    }

    #[inline]
    fn lifetime(&mut self) -> Result<bool, String> {
        if !self.take('\'') {
            return Ok(false);
        }
        match self.tokens.next() {
            Some(TokenTree::Ident(_)) => Ok(true),
            _ => self.expected("a lifetime"),
        }
    }

    /// Reads the lifetimes of `for<'a>`.
    #[inline]
    fn binder(&mut self) -> Result<(), String> {
        if !self.take('<') {
            return self.expected("`<`");
        }
        while self.lifetime()? && self.take(',') {}
        if self.take('>') { Ok(()) } else { self.expected("`>`") }
    }

    #[inline]
    fn bounds(&mut self, depth: usize) -> Result<(), String> {
        loop {
            if !self.lifetime()? {
                self.take('?');
                if let Some(group) = self.take_group(Delimiter::Parenthesis) {
                    let mut inside = Self::new(group.stream());
                    inside.bounds(depth + 1)?;
                    inside.end()?;
                } else {
                    if self.take_word("for") {
                        self.binder()?;
                    }
                    self.path(depth + 1)?;
                }
            }
            if !self.take('+') {
                return Ok(());
            }
        }
    }

    /// Reads a path, with arguments of types and of functions.
    #[inline]
    fn path(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(String::from("the path is nested too deeply"));
        }
        if self.take('<') {
            self.ty(depth + 1)?;
            if self.take_word("as") {
                self.path(depth + 1)?;
            }
            if !self.take('>') {
                return self.expected("`>`");
            }
            if !self.take_pair(':', ':') {
                return self.expected("`::`");
            }
        } else {
            self.take_pair(':', ':');
        }
        loop {
            match self.tokens.peek() {
                Some(TokenTree::Ident(ident)) if !is_reserved(&ident.to_string()) => {
                    self.tokens.next();
                }
                _ => return self.expected("a name"),
            }
            if self.segment(depth)? {
                return Ok(());
            }
        }
    }

    /// Reads what follows a name of a path. Returns whether the path ends there.
    #[inline]
    fn segment(&mut self, depth: usize) -> Result<bool, String> {
        if self.is_next('<') {
            self.arguments(depth)?;
        } else if depth > 0 && self.take_group(Delimiter::Parenthesis).is_some() {
            // A trait of functions.
            self.returns(depth)?;
            return Ok(true);
        }
        if !self.take_pair(':', ':') {
            return Ok(true);
        }
        if self.is_next('<') {
            self.arguments(depth)?;
            return Ok(!self.take_pair(':', ':'));
        }
        Ok(false)
    }

    /// Reads arguments in angle brackets.
    #[inline]
    fn arguments(&mut self, depth: usize) -> Result<(), String> {
        self.take('<');
        loop {
            if self.take('>') {
                return Ok(());
            }
            self.argument(depth)?;
            if !self.take(',') && !self.is_next('>') {
                return self.expected("`,` or `>`");
            }
        }
    }

    #[inline]
    fn argument(&mut self, depth: usize) -> Result<(), String> {
        if self.lifetime()? || self.take_group(Delimiter::Brace).is_some() {
            return Ok(());
        }
        self.take('-');
        if self.tokens.next_if(|token| matches!(token, TokenTree::Literal(_))).is_some() {
            return Ok(());
        }
        self.ty(depth + 1)?;
        // An associated type.
        if self.take('=') {
            return self.argument(depth + 1);
        }
        if self.take(':') { self.bounds(depth + 1) } else { Ok(()) }
    }
}

/// Reads what is in the parentheses of a tuple, or around a type.
#[inline]
fn list(group: &Group, depth: usize) -> Result<(), String> {
    let mut inside = Reader::new(group.stream());
    while inside.tokens.peek().is_some() {
        inside.ty(depth + 1)?;
        if !inside.take(',') {
            break;
        }
    }
    inside.end()
}

/// Reads what is in the square brackets of a slice or an array.
#[inline]
fn array(group: &Group, depth: usize) -> Result<(), String> {
    let mut inside = Reader::new(group.stream());
    inside.ty(depth + 1)?;
    if inside.take(';') {
        return match inside.tokens.peek() {
            // An expression, which the compiler reads.
            Some(_) => Ok(()),
            None => inside.expected("a length"),
        };
    }
    inside.end()
}

/// Whether a word of Rust cannot be part of a path.
#[inline]
fn is_reserved(word: &str) -> bool {
    matches!(
        word,
        "as" | "async"
            | "await"
            | "break"
            | "const"
            | "continue"
            | "dyn"
            | "else"
            | "enum"
            | "extern"
            | "false"
            | "fn"
            | "for"
            | "if"
            | "impl"
            | "in"
            | "let"
            | "loop"
            | "match"
            | "mod"
            | "move"
            | "mut"
            | "pub"
            | "ref"
            | "return"
            | "static"
            | "struct"
            | "trait"
            | "true"
            | "type"
            | "unsafe"
            | "use"
            | "where"
            | "while"
            | "_"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = fn(&str) -> Result<TokenStream, String>;

    #[track_caller]
    fn accepts(read: Read, texts: &[&str]) {
        for text in texts {
            assert!(read(text).is_ok(), "{text}: {:?}", read(text).err());
        }
    }

    #[track_caller]
    fn rejects(read: Read, texts: &[(&str, &str)]) {
        for (text, message) in texts {
            assert_eq!(read(text).map(|_| ()), Err(String::from(*message)), "{text}");
        }
    }

    #[test]
    fn paths() {
        accepts(
            path,
            &["A", "::a::B", "a::b::C<D, 'e, 3, F = G>", "crate::A", "r#type::B", "A::<B>"],
        );
        rejects(
            path,
            &[
                ("1", "expected a name, found `1`"),
                ("", "expected a name at the end"),
                ("a::", "expected a name at the end"),
                ("a b", "unexpected token `b`"),
                ("Vec<u8", "expected `,` or `>` at the end"),
                ("a:b", "unexpected token `:`"),
                ("&'a B", "expected a name, found `&`"),
                ("fn", "expected a name, found `fn`"),
            ],
        );
    }

    #[test]
    fn types() {
        accepts(
            ty,
            &[
                "u8",
                "&'static str",
                "&mut [u8]",
                "[u8; 4]",
                "()",
                "(u8, ::a::B,)",
                "::a::Map<K, Vec<Vec<V>>>",
                "Box<dyn Fn(u8) -> ::a::B + Send + 'static>",
                "Box<dyn for<'a> FnMut(&'a u8)>",
                "<A as ::b::C>::D",
                "*const u8",
                "fn(u8) -> u8",
                "unsafe extern \"C\" fn()",
                "!",
                "A<{ 1 + 1 }, -1>",
                "impl Iterator<Item = u8>",
                "Cow<'static, str>",
                "my::macro_type!(u8)",
            ],
        );
        rejects(
            ty,
            &[
                ("[]", "expected a name at the end"),
                ("", "expected a name at the end"),
                ("u8, u8", "unexpected token `,`"),
                ("u8;", "unexpected token `;`"),
                ("Vec<>>", "unexpected token `>`"),
                ("[u8;]", "expected a length at the end"),
                ("*u8", "expected `const` or `mut`, found `u8`"),
                ("u8 = 1", "unexpected token `=`"),
                ("struct A {}", "expected a name, found `struct`"),
            ],
        );
        let deep = format!("{}u8{}", "Vec<".repeat(10_000), ">".repeat(10_000));
        assert!(ty(&deep).is_err());
    }

    #[test]
    fn lists_of_attributes() {
        accepts(
            attributes,
            &[
                "",
                "#[derive(Eq, Hash)]",
                "#[cold] #[serde::x(a = \"b\")]",
                "#[doc = \"x\"]",
                "#[unsafe(no_mangle)]",
                "/// A comment.",
            ],
        );
        rejects(
            attributes,
            &[
                ("derive(Eq)", "expected `#`, found `derive`"),
                ("#derive(Eq)", "expected square brackets, found `derive`"),
                ("#![cold]", "expected square brackets, found `!`"),
                ("#[]", "expected a name at the end"),
                ("#[derive(Eq)] pub", "expected `#`, found `pub`"),
                ("#[derive(Eq) x]", "unexpected token `x`"),
            ],
        );
    }
}
