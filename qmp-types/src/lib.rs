//! The commands, events and types of QMP, QEMU's machine protocol, as Rust types, and the runtime (the
//! code that generated types share).
//!
//! - A [`Command`] is a struct of its arguments, and an [`Event`] one of its data. A client sends a
//!   command and returns its [`Command::Return`].
//! - A *vocabulary* is a module with `commands`, `events` and `types`, generated from a QAPI
//!   schema. With the features `qmp` (default) and `qga`, this crate has those of QEMU's monitor and
//!   of the guest agent; [`include_vocabulary!`] includes a vocabulary of your own.
//! - With the feature `devices`, the module `devices` has common devices as types that become a
//!   `DeviceAdd`.
//! - [`ServerMessage`], [`Greeting`], [`QmpError`] and [`Timestamp`] are the protocol's own
//!   messages, as the [QMP specification] defines them.
//! - [`redact`] masks passwords and other secrets in the text of a command's arguments, for logs.
//! - [`Verbatim`] keeps the JSON text of a reply together with its value.
//!
//! Types are open to whatever a server sends: unknown members are skipped, and unknown enumeration
//! values, union branches, events and error classes are kept by name. Only a missing mandatory
//! member or a value of the wrong type is an error, which names the member ([`DecodeError`]). For
//! configuration, [`from_known`] of an enumeration is strict.
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
//! Without default features, the crate is only the runtime, so that a crate with a schema of its own
//! does not compile QEMU's.
//!
//! [`from_known`]: ErrorClass::from_known
//! [QMP specification]: https://www.qemu.org/docs/master/interop/qmp-spec.html

// docs.rs labels what a feature adds.
#![cfg_attr(docsrs, feature(doc_cfg))]

// Generated code refers to this crate by its name, as in any other crate.
extern crate self as qmp_types;

// The traits without `serde` itself, which only programs that derive them have to compile.
// Generated code refers to them, too.
#[doc(hidden)]
pub extern crate serde_core as serde;

mod any;
mod borrowed;
mod command;
mod decode;
mod error;
mod generated;
mod greeting;
mod json;
mod lenient;
mod message;
mod names;
mod others;
mod printable;
pub mod recording;
mod redact;
mod timestamp;
mod verbatim;
mod version;

#[doc(hidden)]
pub mod alternate;
#[doc(hidden)]
pub mod enumeration;
#[doc(hidden)]
pub mod object;
#[doc(hidden)]
pub mod secret;

pub use command::{AllowOob, Command, Empty, Event, Null, Vocabulary};
pub use decode::{DecodeError, decode};
pub use enumeration::UnknownValue;
pub use error::{ErrorClass, QmpError};
pub use greeting::{Capability, Greeting};
pub use message::ServerMessage;
pub use others::OtherMembers;
#[doc(hidden)]
pub use printable::debug_error;
pub use printable::{Excerpt, Printable, PrintableWriter};
pub use redact::{Redactor, is_secret, redact, redact_members, secrets_of};
pub use timestamp::Timestamp;
pub use verbatim::Verbatim;
pub use version::{Version, VersionTriple};

// The client scans messages with these, too.
#[doc(hidden)]
pub use decode::{decode_beginning, decode_checked};
#[doc(hidden)]
pub use json::plain_end;
// Workflows keep the text of a reply.
#[doc(hidden)]
pub use verbatim::Text;
// Generated code refers to this crate.
#[doc(hidden)]
pub use serde_json;

/// Includes a vocabulary that `qmp_codegen::Builder::generate` wrote during the build.
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

// After the macro that it uses.
#[cfg(feature = "devices")]
pub mod devices;

/// The vocabulary of QEMU's monitor: everything in QMP, from QEMU 7.2 to 11.1.
///
/// The page of [`index`](qmp::index) has all of it by domain, such as block jobs or migration, with a
/// sentence about each item. The pages of [`commands`](qmp::commands), [`events`](qmp::events) and
/// [`types`](qmp::types) begin with the names alone. The name of a command or an event is its name on
/// the wire in camel case, without punctuation: `query-status` is [`QueryStatus`], `DEVICE_DELETED` is
/// [`DeviceDeleted`]. [`AnyEvent`](qmp::AnyEvent) is one of all events.
///
/// [`DeviceDeleted`]: qmp::events::DeviceDeleted
/// [`QueryStatus`]: qmp::commands::QueryStatus
#[cfg(feature = "qmp")]
pub mod qmp {
    include_vocabulary!("qmp");
}

/// The vocabulary of the guest agent: everything in its protocol, up to QEMU 11.1.
///
/// The page of [`index`](qga::index) has all of it by domain, such as files or storage, with a sentence
/// about each item.
#[cfg(feature = "qga")]
pub mod qga {
    include_vocabulary!("qga");
}

/// Compiles the programs in the README.
#[cfg(all(doctest, feature = "qmp"))]
#[doc = include_str!("../README.md")]
struct Readme;
