//! The build script of `floor_selection.rs`, written by hand: it generates the types of a few commands.
//!
//! It finds them in the files of a schema, and writes documented structs, enumerations and commands, which can
//! be encoded and decoded. What the generator does besides is left out: it checks nothing, and its errors do not
//! say where they are; it does not know events, unions, alternates, base types, conditions and features, nor
//! arguments that are a named type; of the names that Rust does not allow, it knows only a few; it makes no
//! constructors, no setters and no lists of what it has generated; its code is not laid out, and the documentation
//! is copied with its markup, and without examples.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use serde_json::Value;

const COMMANDS: [&str; 5] = ["query-status", "stop", "cont", "quit", "owner"];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A definition as it is written, with the lines of its documentation.
struct Definition {
    kind: String,
    name: String,
    text: String,
    docs: Vec<String>,
}

#[derive(Default)]
struct Schema {
    files: Vec<PathBuf>,
    definitions: Vec<Definition>,
    /// The definitions whose code is needed.
    wanted: Vec<String>,
}

impl Schema {
    /// Reads a file and those that it includes. An expression ends where its braces do.
    fn load(&mut self, path: &Path) -> Result<()> {
        if self.files.iter().any(|file| file == path) {
            return Ok(());
        }
        println!("cargo::rerun-if-changed={}", path.display());
        self.files.push(path.to_owned());
        let source = fs::read_to_string(path).map_err(|error| format!("{path:?}: {error}"))?;
        let (mut docs, mut in_docs) = (Vec::new(), false);
        let (mut text, mut depth) = (String::new(), 0);
        for line in source.lines() {
            if line == "##" {
                in_docs = !in_docs;
                if in_docs {
                    docs.clear();
                }
                continue;
            }
            if in_docs {
                docs.push(line.trim_start_matches('#').to_owned());
                continue;
            }
            for byte in line.bytes() {
                match byte {
                    b'#' => break,
                    b'{' => depth += 1,
                    b'}' => depth -= 1,
                    _ => {}
                }
                text.push(if byte == b'\'' { '"' } else { byte.into() });
            }
            if depth > 0 || text.trim().is_empty() {
                continue;
            }
            // The first key is the kind, and its value the name.
            let mut parts = text.split('"');
            let (kind, name) = (parts.nth(1).unwrap_or_default(), parts.nth(1).unwrap_or_default());
            if kind == "include" {
                self.load(&path.with_file_name(name))?;
            } else {
                let (kind, name) = (kind.to_owned(), name.to_owned());
                let docs = std::mem::take(&mut docs);
                self.definitions.push(Definition { kind, name, text: text.clone(), docs });
            }
            text.clear();
        }
        Ok(())
    }

    /// Generates a definition, and adds those to which it refers to the wanted ones.
    fn generate(&mut self, name: &str) -> Result<TokenStream> {
        let of_name = |definition: &Definition| definition.name == name;
        let index = self.definitions.iter().position(of_name);
        let definition = self.definitions.swap_remove(index.ok_or(format!("no {name}"))?);
        let value: Value = serde_json::from_str(&definition.text)?;
        match definition.kind.as_str() {
            "enum" => enumeration(&definition, &value["data"]),
            "struct" => self.object(&definition, &value["data"]),
            "command" => {
                let object = self.object(&definition, &value["data"])?;
                let ident = type_name(name);
                let returns = match &value["returns"] {
                    Value::Null => quote!(()),
                    returns => self.type_of(returns)?,
                };
                Ok(quote! {
                    #object
                    impl Command for #ident {
                        const NAME: &'static str = #name;
                        type Returns = #returns;
                    }
                })
            }
            kind => Err(format!("{name}: {kind} is not supported").into()),
        }
    }

    fn object(&mut self, definition: &Definition, members: &Value) -> Result<TokenStream> {
        if members.is_string() {
            let name = &definition.name;
            return Err(format!("{name}: arguments of a named type are not supported").into());
        }
        let (mut fields, mut reads, mut writes) =
            (TokenStream::new(), TokenStream::new(), TokenStream::new());
        for (key, value) in members.as_object().into_iter().flatten() {
            let name = key.trim_start_matches('*');
            let mut kind = self.type_of(value)?;
            if name != key {
                kind = quote!(Option<#kind>);
            }
            let (docs, ident) = (docs(definition, name), field_name(name));
            fields.extend(quote!(#docs pub #ident: #kind,));
            reads.extend(quote!(#ident: take(&mut members, #name)?,));
            writes.extend(quote!(put(&mut members, #name, &self.#ident);));
        }
        let (docs, ident) = (docs(definition, ""), type_name(&definition.name));
        Ok(quote! {
            #docs
            #[derive(Clone, Debug, PartialEq)]
            pub struct #ident { #fields }
            impl Data for #ident {
                fn read(value: Value) -> Result<Self, String> {
                    let mut members = object(value)?;
                    Ok(Self { #reads })
                }
                fn write(&self) -> Value {
                    let mut members = Map::new();
                    #writes
                    Value::Object(members)
                }
            }
        })
    }

    /// Returns the Rust type of a member or of what a command returns.
    fn type_of(&mut self, value: &Value) -> Result<TokenStream> {
        if let Some(items) = value.as_array() {
            let item = self.type_of(items.first().unwrap_or(&Value::Null))?;
            return Ok(quote!(Vec<#item>));
        }
        let name = value.as_str().or(value["type"].as_str());
        let name = name.ok_or(format!("{value}: not a type"))?;
        Ok(match name {
            "any" => quote!(Value),
            "bool" => quote!(bool),
            "int" | "int8" | "int16" | "int32" | "int64" => quote!(i64),
            "number" => quote!(f64),
            "size" | "uint8" | "uint16" | "uint32" | "uint64" => quote!(u64),
            "str" => quote!(String),
            _ => {
                self.wanted.push(name.to_owned());
                let name = type_name(name);
                quote!(#name)
            }
        })
    }
}

fn enumeration(definition: &Definition, values: &Value) -> Result<TokenStream> {
    let (mut variants, mut reads, mut writes) =
        (TokenStream::new(), TokenStream::new(), TokenStream::new());
    for value in values.as_array().into_iter().flatten() {
        let name = value.as_str().or(value["name"].as_str()).ok_or("a value without a name")?;
        let (docs, variant) = (docs(definition, name), type_name(name));
        variants.extend(quote!(#docs #variant,));
        reads.extend(quote!(#name => Self::#variant,));
        writes.extend(quote!(Self::#variant => #name,));
    }
    let (docs, ident) = (docs(definition, ""), type_name(&definition.name));
    Ok(quote! {
        #docs
        #[derive(Clone, Debug, PartialEq)]
        pub enum #ident {
            #variants
            /// A value that the schema does not have.
            Other(String),
        }
        impl #ident {
            /// Returns the value as it is on the wire.
            pub fn as_str(&self) -> &str {
                match self { #writes Self::Other(other) => other }
            }
        }
        impl Data for #ident {
            fn read(value: Value) -> Result<Self, String> {
                let text = String::read(value)?;
                Ok(match text.as_str() { #reads _ => Self::Other(text) })
            }
            fn write(&self) -> Value { Value::String(self.as_str().to_owned()) }
        }
    })
}

/// Returns the documentation of a member, or, without a name, that of the definition: without the parts that
/// are indented more than their heading, such as examples.
fn docs(definition: &Definition, of: &str) -> TokenStream {
    let (mut text, mut current) = (String::new(), "");
    for line in &definition.docs {
        let mut words = line.trim();
        if let Some((name, rest)) = line.strip_prefix(" @").and_then(|line| line.split_once(':')) {
            current = if name == definition.name { "" } else { name };
            words = rest;
        } else if line.starts_with(" ..") {
            current = "..";
        } else if line.starts_with(' ') && !line.starts_with("  ") {
            current = "";
        }
        if current == of {
            text.push_str(words);
            text.push('\n');
        }
    }
    let text = text.trim();
    quote!(#[doc = #text])
}

/// Returns the name of a type or a value: `query-status` is `QueryStatus`.
fn type_name(name: &str) -> Ident {
    let mut ident = String::new();
    for word in name.split(['-', '_', '.']) {
        let (first, rest) = word.split_at(word.len().min(1));
        ident.push_str(&first.to_ascii_uppercase());
        ident.push_str(rest);
    }
    Ident::new(&ident, Span::call_site())
}

/// Returns the name of a field: `job-id` is `job_id`.
fn field_name(name: &str) -> Ident {
    let ident = name.replace(['-', '.'], "_");
    match name {
        "abstract" | "enum" | "static" | "type" => Ident::new_raw(&ident, Span::call_site()),
        _ => Ident::new(&ident, Span::call_site()),
    }
}

fn main() -> Result<()> {
    let mut schema = Schema::default();
    schema.load(Path::new(qmp_schema::SPEC))?;
    schema.load(Path::new("owner.json"))?;
    schema.wanted = COMMANDS.map(str::to_owned).to_vec();
    let (mut code, mut next) = (String::new(), 0);
    while let Some(name) = schema.wanted.get(next).cloned() {
        if !schema.wanted[..next].contains(&name) {
            code.push_str(&schema.generate(&name)?.to_string());
        }
        next += 1;
    }
    let place = Path::new(&env::var("OUT_DIR")?).join("vmm.rs");
    Ok(fs::write(place, code)?)
}
