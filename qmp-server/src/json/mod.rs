//! JSON as QEMU's monitor reads and writes it.
//!
//! A client may be a person at a terminal: strings in single quotes are fine, a message ends where
//! its brackets close and not at a newline, and after any nonsense the next message is read again.
//! None of the JSON libraries resynchronises like that, hence a reader of our own. It answers in
//! the words of QEMU 11.1, with the line and the column of the fault.

mod lexer;
mod parser;
mod text;
mod writer;

pub(crate) use parser::{JsonLimits, Parser};
pub(crate) use writer::to_json;
