//! Reads QAPI schemas, checks them, and generates Rust from them.
//!
//! QAPI is QEMU's language for describing its protocols; every QAPI schema is accepted, QEMU's own
//! of any release from 7.2 on, a fork's, or one of yours.
//!
//! ```text
//! QAPI text ──parse──> ast (as written, with spans) ──check──> Schema ──emit──> Rust
//! query-qmp-schema reply ───────────import───────────────────> Schema ──export─> introspection
//!                                                              Schema ──text───> QAPI text
//!                                                        two Schemas ──diff───> difference
//! ```
//!
//! - A build script uses [`Builder`], and needs nothing else.
//! - [`load()`] reads and checks a schema; what it means is a [`schema::Schema`], what is wrong is
//!   a [`diagnostic::Diagnostic`] each, with its place in [`source::Sources`].
//! - [`introspection`], [`text`] and [`diff`] are the other ways in and out of a `Schema`.
//!
//! The language is described in QEMU's guide, "How to use the QAPI code generator".

mod ast;
mod builder;
mod check;
pub mod diagnostic;
pub mod diff;
mod emit;
mod few;
pub mod introspection;
mod lexer;
mod load;
mod markup;
mod parse;
mod report;
pub mod schema;
mod shape;
mod similar;
pub mod source;
pub mod text;

pub use builder::{Builder, GenerateError, Generated};
pub use emit::{SurfaceItem, SurfaceKind};
pub use load::{LoadError, LoadOptions, Loaded, Root, load, load_file};
