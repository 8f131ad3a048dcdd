//! The library that the toolkit's command-line programs are built on.
//!
//! | program | what it does | module |
//! | --- | --- | --- |
//! | `vm-info` | reports on virtual machines, as text, JSON, metrics or trees, or as a live view | [`report`], `watch` |
//! | `qmp-shell` | sends commands to a monitor from a prompt, a script, or the command line | [`shell`] |
//! | `qmp-schema` | checks, imports, exports and compares QAPI schemas, and generates Rust from them | [`schema`] |
//!
//! `qmp` has all of them as the subcommands `info`, `shell` and `schema`, and also `sim`, a simulated
//! machine that listens at an address or takes the place of QEMU (the module `sim`), `ls`, which lists
//! the QEMUs of this host (the module `host`), and `record` and `replay`, which record sessions and
//! serve them ([`record`]). `agent` is the shell for a guest agent, and the program `qmp-shell-wrap` the
//! shell for a QEMU that it starts. [`programs`] has the arguments of each.
//!
//! [`machine`] selects the virtual machine that the first two talk to: a QEMU at an address, a
//! QEMU that they launch, or, by default, a simulated machine. [`cli`] holds the arguments that all
//! programs share, and everything that they print passes through
//! [`terminal`]. Each program's `--help` has examples.

// docs.rs labels what a feature adds.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod cli;
#[cfg(unix)]
mod ending;
#[cfg(unix)]
pub mod host;
pub mod machine;
pub mod programs;
pub mod record;
pub mod reference;
pub mod report;
pub mod schema;
pub mod shell;
#[cfg(unix)]
pub mod sim;
pub mod terminal;
#[cfg(feature = "watch")]
pub mod watch;

/// Compiles the programs in the project's README and in this crate's.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
