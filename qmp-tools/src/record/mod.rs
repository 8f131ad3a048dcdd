//! Recordings: made between a client and a monitor, shown, and checked against a schema.
//!
//! ```text
//! client <──> relay <──> monitor        FILE ──> timeline ──> lines, JSON
//!               │                       FILE ──> check <──── schema
//!             split ──> FILE
//! ```

pub mod check;
#[cfg(unix)]
pub mod relay;
mod split;
pub mod timeline;

pub use split::Split;
