//! The vocabularies of QMP, QEMU's machine protocol, as Rust types, and what they stand on.
//!
//! - [`Command`] and [`Event`] are data: a struct whose fields are the arguments, or the event's
//!   data. A client takes a command, sends it, and gives back its [`Command::Return`].
//! - A *vocabulary* is a module with `commands`, `events` and `types`, generated from a QAPI
//!   schema. With the features `qmp` (default) and `qga` this crate holds those of QEMU's
//!   monitor and of the guest agent; [`include_vocabulary!`] takes in one of your own.
//! - [`ServerMessage`], [`Greeting`], [`QmpError`] and [`Timestamp`] are the protocol's own
//!   messages, as the [QMP specification] defines them.
//!
//! What a server sends is open: unknown members are passed over, unknown enumeration values,
//! union branches, events and error classes are kept by name. Only a missing mandatory member or
//! a value of a wrong type is an error, and it names the member ([`DecodeError`]).
//!
//! ```
//! # #[cfg(feature = "qmp")] {
//! use qmp_types::qmp::types::{RunState, StatusInfo};
//!
//! let status: StatusInfo = qmp_types::decode(r#"{"running": true, "status": "running"}"#)?;
//! assert_eq!(status.status, RunState::Running);
//! # }
//! # Ok::<(), qmp_types::DecodeError>(())
//! ```
//!
//! With default features off, the crate is only the runtime: a crate with its own schema does
//! not compile QEMU's.
//!
//! [QMP specification]: https://www.qemu.org/docs/master/interop/qmp-spec.html

// Generated code names this crate from the outside, as it does in any other crate.
extern crate self as qmp_types;

mod command;
mod decode;
mod generated;
mod json;
mod message;
mod names;
mod verbatim;
mod version;

#[doc(hidden)]
pub mod alternate;
#[doc(hidden)]
pub mod enumeration;
#[doc(hidden)]
pub mod object;

pub use command::{AllowOob, Command, Empty, Event, Null, Vocabulary};
pub use decode::{DecodeError, decode};
pub use enumeration::UnknownValue;
pub use message::{Capability, ErrorClass, Greeting, QmpError, ServerMessage, Timestamp};
pub use verbatim::Verbatim;
pub use version::{Version, VersionTriple};

/// How the client looks for the end of a message, too.
#[doc(hidden)]
pub use json::plain_end;
/// What generated code refers to besides this crate itself.
#[doc(hidden)]
pub use {serde, serde_json};

/// Takes in a vocabulary that `qmp_codegen::Builder::generate` wrote during the build.
///
/// ```ignore
/// pub mod vm {
///     qmp_types::include_vocabulary!("vm");
/// }
/// ```
#[macro_export]
macro_rules! include_vocabulary {
    ($name:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $name, ".rs"));
    };
}

/// The vocabulary of QEMU's monitor.
#[cfg(feature = "qmp")]
pub mod qmp {
    include_vocabulary!("qmp");
}

/// The vocabulary of the guest agent.
#[cfg(feature = "qga")]
pub mod qga {
    include_vocabulary!("qga");
}

/// Compiles the programs in the README.
#[cfg(all(doctest, feature = "qmp"))]
#[doc = include_str!("../README.md")]
struct Readme;
