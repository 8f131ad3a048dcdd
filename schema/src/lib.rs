//! A declarative schema of QMP, QEMU's machine protocol, and of the guest agent's protocol, written
//! in QAPI, QEMU's schema language. The crate contains data only.
//!
//! The schema covers QEMU 7.2 to 11.1 with all targets and build options. Its files are part of
//! the crate, and the constants are their paths, so that a build script can find them:
//!
//! ```
//! for root in [qmp_schema::SPEC, qmp_schema::EVENTS, qmp_schema::DEVICES, qmp_schema::QGA] {
//!     assert!(std::path::Path::new(root).is_file());
//! }
//! ```
//!
//! A member of a reply or an event is mandatory only if all of these releases send it. Guest agents
//! are as old as their guests, so a member of their replies is mandatory only if every agent that has
//! the command sends it, beginning with 0.15, the first one. The arguments of commands follow 11.1,
//! except that those that an earlier release does not know are optional: every command can be used
//! with every release that has it. Definitions that were removed since 7.2 are included, and their
//! documentation names the last release that supports them.

/// The path of the root file of QMP: all types and commands, by domain.
pub const SPEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/qmp-spec.json");

/// The path of the root file of QMP's events, by domain.
pub const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/qmp-events.json");

/// The path of the root file of devices: those that people plug, with their properties. It includes
/// [`SPEC`], and has no commands of its own.
///
/// QMP's schema does not describe devices, which `device_add` and the option `-device` take. Their
/// names and properties are those that QEMU 7.2, 10.0 and 11.1 list, without those that only a
/// machine type sets, and without experimental ones, whose names begin with `x-`. A release after
/// (since) is the first of these three that has a property, and one after (until) is the last.
pub const DEVICES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/devices.json");

/// The path of the root file of the guest agent's protocol.
pub const QGA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/qga-spec.json");
