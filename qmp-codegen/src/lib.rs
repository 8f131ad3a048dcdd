//! Reads and checks QAPI schemas, and generates Rust code from them.
//!
//! QAPI is the language in which QEMU describes its protocols. Any QAPI schema is accepted: those of
//! QEMU 6.2 and later, of a fork, or your own.
//!
//! ```text
//! QAPI text ──parse──> ast (as written, with spans) ──check──> Schema ──emit──> Rust
//! query-qmp-schema reply ───────────import───────────────────> Schema ──export─> introspection
//!                                                              Schema ──text───> QAPI text
//!                                                              Schema ─json_schema─> JSON Schema
//!                                                        two Schemas ──diff───> difference
//! ```
//!
//! - [`Builder`] is all that a build script needs. A [`Configuration`] says which conditions (`if`)
//!   hold, such as `CONFIG_LINUX`.
//! - [`load()`] reads and checks a schema. The result is a [`schema::Schema`]; each problem is a
//!   [`diagnostic::Diagnostic`] with a location in [`source::Sources`].
//! - `devices` converts the devices that a QEMU lists to a `Schema`.
//! - `introspection` converts between a `Schema` and `query-qmp-schema` replies, `text` writes a
//!   `Schema` as QAPI, `json_schema` as JSON Schema, and `diff` compares two of them.
//!
//! To keep build scripts fast to compile, whatever most of them do not need is a feature, and off by
//! default. Features add items, and change nothing that exists:
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `introspection` | module `introspection`, `Builder::introspection`, and configurations of replies |
//! | `format` | `Builder::generate_code` and `generate_from`, which return formatted code |
//! | `tools` | what programs that work with schemas need: modules `devices`, `text`, `json_schema` and `diff`, diagnostics as JSON and SARIF, and `Builder::surface`. Includes `introspection` |
//!
//! QEMU's guide "How to use the QAPI code generator" describes the language. This crate adds three
//! pragmas. `secret-members` lists members such as passwords, which neither `Debug` nor logs may show,
//! and `read-only-commands` lists commands that have no effect and only return something. These two can
//! be in a file of their own (another root), so that the files of another project need not be changed:
//!
//! ```text
//! { 'pragma': { 'secret-members': [ 'SetPasswordOptions.password' ],
//!               'read-only-commands': [ 'query-status' ] } }
//! ```
//!
//! `foreign-name-exceptions` lists types whose members and values may have names that are invalid in QAPI,
//! such as `sse4.1`, a property of a device. Such names consist of ASCII letters, digits, and `-_.,+`.

// docs.rs labels what a feature adds.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    all(feature = "introspection", not(feature = "tools")),
    allow(dead_code, reason = "the questions that all back ends have are there for each of them")
)]

mod ascii;
mod ast;
mod builder;
mod check;
mod configuration;
mod description;
#[cfg(feature = "tools")]
pub mod devices;
pub mod diagnostic;
#[cfg(feature = "tools")]
pub mod diff;
mod emit;
mod few;
#[cfg(feature = "introspection")]
pub mod introspection;
#[cfg(feature = "tools")]
pub mod json_schema;
mod lexer;
mod load;
mod markup;
mod named;
mod order;
mod parse;
mod report;
mod resolve;
pub mod schema;
mod shape;
mod similar;
pub mod source;
#[cfg(feature = "tools")]
pub mod text;

#[cfg(feature = "format")]
pub use builder::Generated;
pub use builder::{Builder, GenerateError};
pub use configuration::{Configuration, ConfigurationError};
#[cfg(feature = "tools")]
pub use emit::{SurfaceItem, SurfaceKind};
pub use load::{LoadError, LoadOptions, Loaded, Root, load, load_file};

/// Compiles the programs in the README.
#[cfg(all(doctest, feature = "tools"))]
#[doc = include_str!("../README.md")]
struct Readme;
