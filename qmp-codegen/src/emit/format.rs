//! Formats generated code. prettyplease leaves macro calls as they are, so `writer` lays them out.

use proc_macro2::{Literal, TokenStream, TokenTree};
use syn::{Item, MacroDelimiter};

use super::writer::write_call;

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
                    write_call(call, &mut out, indentation);
                }
                out.push_str(" }");
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::emit::{Options, emit, write};
    use crate::{Root, load};

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

    #[test]
    fn what_is_written_is_what_is_formatted() {
        let crate_ = Path::new(env!("CARGO_MANIFEST_DIR"));
        let schema = |file: &str| Root::File(crate_.join("../schema").join(file));
        let golden = std::fs::read_dir(crate_.join("tests/golden")).unwrap();
        let golden = golden.map(|entry| entry.unwrap().path());
        let golden: Vec<_> =
            golden.filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
        assert!(golden.len() > 5, "{golden:?}");
        let mut schemas: Vec<Vec<Root>> =
            golden.into_iter().map(|path| vec![Root::File(path)]).collect();
        schemas.push(vec![schema("qmp-spec.json"), schema("qmp-events.json")]);
        schemas.push(vec![schema("qga-spec.json")]);
        for roots in schemas {
            let schema = load(roots.clone()).unwrap().schema;
            let options =
                Options { constructors_for_all: true, introspection: true, ..Options::default() };
            let tokens = emit(&schema, &options).unwrap();
            let written = write(tokens.clone());
            let written = unparse(syn::parse_str(&written).unwrap());
            let formatted = unparse(syn::parse2(tokens).unwrap());
            assert!(written == formatted, "{roots:?}");
        }
    }
}
