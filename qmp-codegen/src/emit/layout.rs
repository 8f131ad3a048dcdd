//! Lays out the macro calls of generated code, which prettyplease leaves as they are: each element
//! of a list in braces is on a line of its own.
//!
//! ```text
//! ::qmp_types::object! { BlockdevMirror = "blockdev-mirror" {
//!     device: "device",
//!     job_id?: "job-id",
//! } }
//! ```

use proc_macro2::{Delimiter, Group, Literal, Punct, Spacing, TokenStream, TokenTree};
use syn::{Item, MacroDelimiter};

/// Formats a file.
pub(crate) fn unparse(mut file: syn::File) -> String {
    let mut calls = Vec::new();
    take_calls(&mut file.items, &mut calls);
    let text = prettyplease::unparse(&file);
    let mut calls = calls.into_iter();
    let mut out = String::with_capacity(text.len() * 2);
    for line in text.lines() {
        match line.strip_suffix(PLACEHOLDER) {
            Some(path) if !path.trim_start().starts_with("//") => {
                let indentation = path.len() - path.trim_start().len();
                out.push_str(path);
                out.push_str("! { ");
                if let Some(call) = calls.next() {
                    Printer { out: &mut out, indentation, last: Last::Open }.tokens(call);
                }
                out.push_str(" }");
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// Returns the second character of an operator, `::`, `->` or `=>`, if `next` belongs to it.
fn second_half(first: &Punct, next: Option<&TokenTree>) -> Option<char> {
    let (Spacing::Joint, Some(TokenTree::Punct(next))) = (first.spacing(), next) else {
        return None;
    };
    let pair = (first.as_char(), next.as_char());
    matches!(pair, (':', ':') | ('-' | '=', '>')).then_some(pair.1)
}

/// How prettyplease ends a call whose tokens have been taken.
const PLACEHOLDER: &str = "!(0);";

/// Takes the tokens of all calls, so that prettyplease prints each on one line.
fn take_calls(items: &mut [Item], calls: &mut Vec<TokenStream>) {
    for item in items {
        match item {
            Item::Macro(item) if item.ident.is_none() => {
                let placeholder = TokenTree::Literal(Literal::usize_unsuffixed(0));
                calls.push(std::mem::replace(&mut item.mac.tokens, placeholder.into()));
                item.mac.delimiter = MacroDelimiter::Paren(Default::default());
                item.semi_token = Some(Default::default());
            }
            Item::Mod(module) => {
                let content = module.content.as_mut();
                take_calls(content.map_or(&mut [], |(_, items)| items), calls);
            }
            _ => {}
        }
    }
}

/// Prints tokens with spaces where people write them.
struct Printer<'o> {
    out: &'o mut String,
    /// Of the line that the call begins on.
    indentation: usize,
    last: Last,
}

/// The token printed last, as far as the next space depends on it.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Last {
    Literal,
    Name,
    /// A word or punctuation that is followed by a space, whatever comes next.
    Separator,
    /// A closing delimiter.
    Close,
    /// An opening delimiter, or punctuation that goes with what follows.
    Open,
}

/// Words that are followed by a space even before punctuation: Rust's, and those of our macros.
const SEPARATE: &[&str] =
    &["as", "boxed", "by", "const", "dyn", "for", "impl", "into", "mut", "new", "unsafe", "where"];

impl Printer<'_> {
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) => self.name(&ident.to_string()),
                TokenTree::Literal(literal) => {
                    self.word(&literal.to_string(), Last::Literal);
                }
                TokenTree::Group(group) => self.group(&group),
                TokenTree::Punct(punct) => {
                    let mut text = String::from(punct.as_char());
                    if let Some(second) = second_half(&punct, tokens.peek()) {
                        text.push(second);
                        tokens.next();
                    }
                    self.punctuation(&text);
                }
            }
        }
    }

    fn name(&mut self, name: &str) {
        let last = if SEPARATE.contains(&name) { Last::Separator } else { Last::Name };
        self.word(name, last);
    }

    fn word(&mut self, word: &str, last: Last) {
        if self.last != Last::Open {
            self.out.push(' ');
        }
        self.out.push_str(word);
        self.last = last;
    }

    fn punctuation(&mut self, text: &str) {
        let (before, last) = match text {
            "," | ":" | ";" => (false, Last::Separator),
            "=" | "->" | "=>" | "+" => (self.last != Last::Open, Last::Separator),
            _ => (self.last == Last::Separator, Last::Open),
        };
        if before {
            self.out.push(' ');
        }
        self.out.push_str(text);
        // What follows a closing angle bracket belongs to it, unless it is a word.
        self.last = if text == ">" { Last::Close } else { last };
    }

    fn group(&mut self, group: &Group) {
        let (open, close) = match group.delimiter() {
            Delimiter::Brace => return self.list(group.stream()),
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

    /// Prints what is in braces: each element on a line, with its comma.
    fn list(&mut self, elements: TokenStream) {
        self.out.push_str(" {");
        let is_comma =
            |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
        let elements: Vec<TokenTree> = elements.into_iter().collect();
        for element in elements.split_inclusive(is_comma) {
            self.new_line(4);
            self.tokens(element.iter().cloned().collect());
        }
        if !elements.is_empty() {
            self.new_line(0);
        }
        self.out.push('}');
        self.last = Last::Close;
    }

    fn new_line(&mut self, indentation: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', self.indentation + indentation));
        self.last = Last::Open;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn prints(call: &str) {
        let file = syn::parse_str(&format!("pub mod m {{ a::b! {{ {call} }} }}")).unwrap();
        let expected = call.replace('\n', "\n    ");
        assert_eq!(unparse(file), format!("pub mod m {{\n    a::b! {{ {expected} }}\n}}\n"));
    }

    #[test]
    fn calls_are_printed_as_people_write_them() {
        prints("Plain = \"plain\" {}");
        prints(
            "new A = \"a\" {\n    b: \"b\",\n    c?: \"c\" (boxed into super::types::D),\n    ..e\n}",
        );
        prints("A by \"x\" {\n    B: \"b\",\n    C(_): \"c\",\n    D(Box<_>): \"d\",\n}");
        prints("A = \"a\" -> ::std::vec::Vec<::std::vec::Vec<i64>>, no_arguments, allow_oob");
        prints("a: \"a\" (into ::b::C), b => \"b\" (strings)");
    }

    #[test]
    fn types_of_any_kind_are_printed_as_people_write_them() {
        for ty in [
            "&'static str",
            "[u8; 4]",
            "(u8, ::a::B)",
            "::a::Map<K, V>",
            "Box<dyn Fn(u8) -> ::a::B + Send + 'static>",
            "<A as ::b::C>::D",
            "*const u8",
        ] {
            prints(&format!("a: \"a\" ({ty})"));
        }
    }
}
