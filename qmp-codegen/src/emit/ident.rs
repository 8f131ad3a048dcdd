//! Makes every identifier of generated code.
//!
//! Names on the wire are stored beside the identifiers, never rebuilt from them, so that an
//! identifier only has to be legible and unique in its scope:
//!
//! - types keep their names; commands and events, and types whose name is not one in Rust, become
//!   `CamelCase`: `query-status` gives `QueryStatus`, and `BLOCK_IO_ERROR` gives `BlockIoError`;
//! - members become `snake_case`, values and branches `CamelCase`;
//! - a leading digit gets an underscore before it, and an underscore between two digits stays:
//!   `x86-64` gives `X86_64`, `128k` gives `_128k`;
//! - a name that is a keyword, or taken in its scope, gets an underscore after it, and a number if
//!   that is taken, too. In a module, the names of Rust's prelude are taken: a glob import of the
//!   module must not replace `String`.

use std::collections::HashMap;

use proc_macro2::{Ident, Span};

use crate::ascii;
use crate::named::NameSet;

/// Words that are not identifiers in edition 2024 or an earlier one.
const KEYWORDS: &[&str] = &[
    "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue",
    "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if",
    "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// The types and traits that are in scope in every Rust module (prelude of edition 2024), and its
/// variants `Some`, `None`, `Ok` and `Err`.
const PRELUDE: &[&str] = &[
    "AsMut",
    "AsRef",
    "AsyncFn",
    "AsyncFnMut",
    "AsyncFnOnce",
    "Box",
    "Clone",
    "Copy",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "Vec",
];

/// The identifiers of one Rust scope.
#[derive(Default)]
pub(crate) struct Scope {
    taken: NameSet,
    /// The last number of each name that needed one. Thousands of names can be the same in Rust.
    numbers: HashMap<String, usize>,
}

/// The number of underscores that a name gets before it gets a number.
const MAX_UNDERSCORES: usize = 3;

impl Scope {
    /// The scope of a module, in which the names of the prelude are taken.
    pub(crate) fn module() -> Self {
        Self::reserving(PRELUDE)
    }

    /// A scope in which some identifiers are taken from the start.
    pub(crate) fn reserving(names: &[&str]) -> Self {
        let mut scope = Self::default();
        for name in names {
            scope.taken.insert((*name).to_owned(), ());
        }
        scope
    }

    /// An identifier for a type, which keeps its name where Rust allows that.
    pub(crate) fn type_name(&mut self, name: &str) -> Ident {
        let legible = ascii::begins_with(name, u8::is_ascii_uppercase)
            && ascii::consists_of(name, u8::is_ascii_alphanumeric);
        self.claim(if legible { name.to_owned() } else { camel(name) })
    }

    /// An identifier for a command, an event, a value or a branch.
    pub(crate) fn camel(&mut self, name: &str) -> Ident {
        self.claim(camel(name))
    }

    /// An identifier for a member.
    pub(crate) fn snake(&mut self, name: &str) -> Ident {
        self.claim(snake(name))
    }

    fn is_free(&self, name: &str) -> bool {
        !KEYWORDS.contains(&name) && !self.taken.contains(name) && !name.bytes().all(|b| b == b'_')
    }

    fn claim(&mut self, mut name: String) -> Ident {
        if ascii::begins_with(&name, u8::is_ascii_digit) {
            name.insert(0, '_');
        }
        let proposed = name.len();
        while !self.is_free(&name) && name.len() < proposed + MAX_UNDERSCORES {
            name.push('_');
            // A lone underscore is a pattern, not an identifier.
            if name.bytes().all(|b| b == b'_') {
                name.insert(0, 'X');
            }
        }
        if !self.is_free(&name) {
            let mut number = self.numbers.get(&name).copied().unwrap_or(1);
            let numbered = loop {
                number += 1;
                let numbered = format!("{name}{number}");
                if self.is_free(&numbered) {
                    break numbered;
                }
            };
            self.numbers.insert(std::mem::replace(&mut name, numbered), number);
        }
        self.taken.insert(name.clone(), ());
        Ident::new(&name, Span::call_site())
    }
}

/// `CamelCase` of any QAPI name.
pub(crate) fn camel(name: &str) -> String {
    let shouted = !ascii::contains(name, u8::is_ascii_lowercase);
    let mut out = String::with_capacity(name.len());
    for word in words(name) {
        let digit_before = out.as_bytes().last().is_some_and(u8::is_ascii_digit);
        if digit_before && ascii::begins_with(word, u8::is_ascii_digit) {
            out.push('_');
        }
        for (index, c) in word.chars().enumerate() {
            out.push(match index {
                0 => c.to_ascii_uppercase(),
                _ if shouted => c.to_ascii_lowercase(),
                _ => c,
            });
        }
    }
    out
}

/// `snake_case` of any QAPI name.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for word in words(name) {
        if !out.is_empty() {
            out.push('_');
        }
        let mut lower_before = false;
        for c in word.chars() {
            if c.is_ascii_uppercase() && lower_before {
                out.push('_');
            }
            lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
            out.push(c.to_ascii_lowercase());
        }
    }
    out
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn camel_case() {
        for (name, expected) in [
            ("query-status", "QueryStatus"),
            ("BLOCK_IO_ERROR", "BlockIoError"),
            ("x-blockdev-change", "XBlockdevChange"),
            ("system_reset", "SystemReset"),
            ("x86_64", "X86_64"),
            ("aes-128", "Aes128"),
            ("host_cdrom", "HostCdrom"),
            ("inmigrate", "Inmigrate"),
            ("GuestPanicked", "GuestPanicked"),
            ("__com.example_x-Thing", "ComExampleXThing"),
            ("F1", "F1"),
            ("WAKEUP", "Wakeup"),
        ] {
            assert_eq!(camel(name), expected, "{name}");
        }
    }

    #[test]
    fn snake_case() {
        for (name, expected) in [
            ("node-name", "node_name"),
            ("oem_table_id", "oem_table_id"),
            ("nPages", "n_pages"),
            ("CPU", "cpu"),
            ("x-perf", "x_perf"),
            ("__org.qemu_x-member", "org_qemu_x_member"),
        ] {
            assert_eq!(snake(name), expected, "{name}");
        }
    }

    #[test]
    fn names_that_rust_does_not_accept_are_adapted() {
        let mut scope = Scope::default();
        for (name, expected) in [
            ("type", "type_"),
            ("gen", "gen_"),
            ("self", "self_"),
            ("a-b", "a_b"),
            ("a_b", "a_b_"),
            ("4k", "_4k"),
            ("_", "X_"),
        ] {
            assert_eq!(scope.snake(name), expected, "{name}");
        }
    }

    #[test]
    fn modules_do_not_shadow_the_prelude() {
        for (name, expected) in [
            ("String", "String_"),
            ("Option", "Option_"),
            ("Vec", "Vec_"),
            ("Ok", "Ok_"),
            ("Error", "Error"),
            ("Debug", "Debug"),
            ("Strings", "Strings"),
        ] {
            assert_eq!(Scope::module().type_name(name), expected, "{name}");
        }
        for (name, expected) in
            [("drop", "Drop_"), ("SEND", "Send_"), ("try-from", "TryFrom_"), ("stop", "Stop")]
        {
            assert_eq!(Scope::module().camel(name), expected, "{name}");
        }
        // A variant is reached by its enum, which cannot be imported with a glob of the module.
        assert_eq!(Scope::default().camel("none"), "None");
    }

    #[test]
    fn names_that_collide_with_the_prelude_stay_unique() {
        let mut scope = Scope::module();
        assert_eq!(scope.type_name("String_"), "String_");
        assert_eq!(scope.type_name("String"), "String__");
        assert_eq!(scope.camel("string"), "String___");
        assert_eq!(scope.camel("s-tring"), "STring");
        assert_eq!(scope.camel("-string"), "String___2");
        assert_eq!(scope.camel("string-"), "String___3");
    }

    #[test]
    fn types_keep_their_names() {
        let mut scope = Scope::reserving(&["Unknown"]);
        for (name, expected) in [
            ("ACPIOSTInfo", "ACPIOSTInfo"),
            ("Self", "Self_"),
            ("Unknown", "Unknown_"),
            ("__org.qemu_x-Enum", "OrgQemuXEnum"),
        ] {
            assert_eq!(scope.type_name(name), expected, "{name}");
        }
    }
}
