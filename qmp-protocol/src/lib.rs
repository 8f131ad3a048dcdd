//! The client's side of QMP, QEMU's machine protocol, without I/O.
//!
//! A *driver* (a blocking or an asynchronous client) owns a socket and a clock. [`Connection`] owns
//! the protocol, and [`Input`] the bytes that have arrived. The driver moves bytes and makes no
//! decisions about the protocol:
//!
//! ```text
//!              submit, abandon                        output, sent
//!   callers ─────────────────────> ┌────────────┐ ──────────────────> socket
//!                                  │ Connection │                        │
//!   callers <───────────────────── └────────────┘                        │
//!              next: replies,         ^      ^   expire, end             │
//!              events                 │      └───────────────── clock    │
//!                                 ┌───────┐      spare, filled           │
//!                                 │ Input │ <────────────────────────────┘
//!                                 └───────┘
//! ```
//!
//! - *Bytes in*: read into [`Input::spare`], and report how many with [`Input::filled`]. Nothing is
//!   copied on the way.
//! - *Messages out*: [`Connection::next`] takes one [`Incoming`] at a time out of the input. It
//!   borrows its text from there: the caller decodes it in place, or keeps a copy.
//! - *Bytes to send*: [`Connection::output`], then [`Connection::sent`]; or
//!   [`Connection::take_output`] for a driver that sends without holding a lock.
//! - *Time*: the connection never reads a clock. [`Connection::deadline`] is the next moment at
//!   which [`Connection::expire`] has something to do.
//! - *The end*: [`Connection::end`], with the reason, finishes every call that is left.
//!
//! A client over any stream is a short loop:
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use qmp_protocol::{Connection, Incoming, Settings, Submission};
//!
//! /// Asks for the status, and returns the reply as JSON text.
//! fn query_status(mut stream: impl Read + Write) -> Result<String, Box<dyn std::error::Error>> {
//!     let mut connection = Connection::new(Settings::default(), None);
//!     let mut input = connection.new_input();
//!     // Commands may be submitted before the greeting: they are sent after the negotiation.
//!     let call = connection.submit(Submission::new("query-status"))?;
//!     loop {
//!         while let Some(incoming) = connection.next(&mut input) {
//!             match incoming {
//!                 Incoming::Reply { id, result } if id == call => {
//!                     return Ok(result?.get().to_owned());
//!                 }
//!                 _ => {}
//!             }
//!         }
//!         let sent = stream.write(connection.output())?;
//!         connection.sent(sent);
//!         match stream.read(input.spare())? {
//!             0 => connection.end(qmp_protocol::End::Eof),
//!             count => input.filled(count),
//!         }
//!     }
//! }
//! ```
//!
//! # The life of a call
//!
//! [`submit`](Connection::submit) encodes the command at once. The command is queued until the
//! negotiation is complete and fewer than eight in-band commands are in flight, a limit that the
//! [specification] asks for so that out-of-band commands are not held up; those skip the queue. A
//! command with file descriptors is also queued until the previous one with descriptors has been
//! answered.
//!
//! Exactly one [`Incoming::Reply`] follows, unless the call is [abandoned](Connection::abandon). An
//! abandoned command that is still queued is never sent; the reply to one that was sent is dropped
//! and counted when it arrives. A call that times out is abandoned as well, so that a late reply is
//! never taken for the reply to another command. A command whose success is not answered, such as
//! `guest-shutdown`, succeeds if its deadline passes, or the peer closes the connection, without an
//! error reply; but not before the command was sent.
//!
//! Replies are matched by id alone, in whatever form a server returns the number. A reply with an id
//! that is not in flight is dropped and counted. If a reply during the negotiation has no id, a
//! command that no server has is sent: its answer shows whether the server returns ids, or an earlier
//! client was answered. A server without ids executes one command at a time, as a guest agent does.
//!
//! An error without an id answers the oldest in-band command: a server omits the id when it could
//! not read the command, and it answers those in order.
//!
//! # Garbage
//!
//! Separators between messages are skipped: white space of any kind, control characters, byte order
//! marks, and 0xFF, the delimiter of guest agents.
//!
//! Before the greeting, bytes that are not a message mean that the peer is not a QMP server, and end
//! the connection. Later they are reported as [`Incoming::Garbage`], counted, and skipped to the end
//! of their line. If it is known which reply was damaged, its call fails at once: by the id in the
//! garbage, or because a later in-band command is answered first. Otherwise the call keeps its
//! deadline, and the garbage is the timeout's cause.
//!
//! # Features
//!
//! - `tracing`: every message as an event of `tracing`, at level `TRACE`, target `qmp_protocol`, with its
//!   secrets masked.
//!
//! [specification]: https://www.qemu.org/docs/master/interop/qmp-spec.html

// docs.rs labels what a feature adds.
#![cfg_attr(docsrs, feature(doc_cfg))]

// The traits without `serde` itself, which only programs that derive them have to compile.
extern crate serde_core as serde;

mod call;
mod calls;
mod connection;
mod deadline;
pub mod deadlines;
mod direct;
mod encode;
mod error;
mod event;
mod exchange;
mod garbage;
mod id;
mod incoming;
mod input;
mod line;
mod masking;
mod message;
mod negotiation;
mod newline;
mod output;
mod printable;
mod raw;
mod raw_value;
mod recorder;
mod request;
mod scan;
mod separator;
mod service;
mod settings;
mod submission;
mod sync;
mod transcript;

pub use connection::Connection;
pub use deadline::Deadline;
#[doc(hidden)]
pub use direct::{Direct, EventText, TakeEvents};
pub use encode::{Kind, WriteArguments};
pub use error::{
    Closed, End, Error, Mismatch, Misuse, ProtocolError, ServerError, Subject, Timeout, WaitedFor,
};
pub use event::{Occurrence, RawEvent};
pub use garbage::Garbage;
pub use id::CallId;
pub use incoming::{Dropped, Incoming, Traffic};
pub use input::Input;
pub use output::{Descriptor, Output};
pub use printable::{Excerpt, Printable};
pub use raw::Raw;
pub use request::{EncodedRequest, OutOfBand, Request, decode_reply};
pub use service::Service;
pub use settings::{Dialect, Settings};
pub use submission::Submission;
pub use transcript::{Direction, Transcript};
// Clients have deadlines of their own besides.
#[doc(hidden)]
pub use deadline::sooner;
// Clients check the data of events that they keep as text.
#[doc(hidden)]
pub use line::object_length;
// Clients keep text that has been checked.
#[doc(hidden)]
pub use raw_value::from_checked as raw_value;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
