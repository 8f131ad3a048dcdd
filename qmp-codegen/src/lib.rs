//! Reads QAPI schemas, checks them, and generates Rust from them.
//!
//! ```text
//! QAPI text ──parse──> ast (as written, with spans) ──check──> Schema ──emit──> Rust
//! ```

pub mod diagnostic;
pub mod diff;
pub mod introspection;
pub mod schema;
mod shape;
pub mod source;
pub mod text;
