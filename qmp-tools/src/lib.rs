//! What the programs of the toolkit share.
//!
//! | program | what it does | module |
//! | --- | --- | --- |
//! | `vm-info` | prints what there is to know of a virtual machine, as text or JSON | [`report`] |
//! | `qmp-shell` | talks to a monitor: at a prompt, from a script, or a command at a time | [`shell`] |
//! | `qmp-schema` | checks, generates from, imports, exports and compares QAPI schemas | [`schema`] |
//!
//! [`machine`] chooses the virtual machine that the first two talk to: one at an address, one
//! that they launch, or, if nothing is said, one that is simulated. [`cli`] is what all command
//! lines have in common. Each program's `--help` has examples.

pub mod cli;
pub mod machine;
pub mod report;
pub mod schema;
pub mod shell;

/// The programs in the project's README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;
