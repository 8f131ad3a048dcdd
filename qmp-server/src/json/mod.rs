//! JSON as QEMU's monitor reads and writes it.
//!
//! A client may be a person at a terminal: strings may have single quotes, a message ends where its
//! brackets are closed rather than at a newline, and after invalid input the parser recovers and
//! reads the next message. None of the JSON libraries recovers like this, hence this parser. Its
//! errors have the texts of QEMU 11.1, with the line and the column.

mod cost;
mod lexer;
mod parser;
mod plain;
mod text;
mod value;
mod writer;

pub(crate) use parser::{JsonLimits, Parser};
pub(crate) use plain::Plain;
pub(crate) use value::{depth, dismantle, value_to_json};
pub(crate) use writer::{encode_return, pretty, to_json};
