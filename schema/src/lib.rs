//! A declarative description of QMP, QEMU's machine protocol, and of the guest agent's protocol,
//! in QEMU's own schema language, QAPI: data, no code.
//!
//! It covers QEMU 7.2 to 11.1, every target and build option. The crate carries the files, so
//! that a build script finds them wherever Cargo put them:
//!
//! ```
//! for root in [qmp_schema::SPEC, qmp_schema::EVENTS, qmp_schema::QGA] {
//!     assert!(std::path::Path::new(root).is_file());
//! }
//! ```
//!
//! A member of a reply or of an event is mandatory here only where every one of these releases
//! sends it; what callers send follows 11.1. What has gone since 7.2 is still here, and its
//! documentation names the release that had it last.

/// The root of QMP: the protocol's own types and every command, by domain.
pub const SPEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/qmp-spec.json");

/// The root of QMP's events, by domain.
pub const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/qmp-events.json");

/// The root of the guest agent's commands.
pub const QGA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/qga-spec.json");
