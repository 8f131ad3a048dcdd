//! Machines to ask, and how a test that needs a program is written.

#![allow(dead_code)] // each test uses a part of it

pub(crate) mod machines;

use std::path::Path;

use conformance::Tally;

/// A test that needs a program: ignored, visibly, where `build.rs` found none.
#[macro_export]
macro_rules! needs {
    ($program:ident, $(#[doc = $doc:literal])* fn $name:ident() $body:block) => {
        $(#[doc = $doc])*
        #[test]
        #[cfg_attr(
            not($program),
            ignore = "needs QEMU: install it, or name programs in QMP_TEST_QEMUS"
        )]
        fn $name() $body
    };
}

/// Whether the absence of QEMU is a failure.
pub(crate) fn required() -> bool {
    std::env::var_os("QMP_REQUIRE_QEMU").is_some_and(|value| value != "0")
}

/// What to call a server in a table.
pub(crate) fn label(kind: &str, version: &qmp_client::types::VersionTriple) -> String {
    format!("{kind} {}.{}.{}", version.major, version.minor, version.micro)
}

/// Prints what was done, and fails if something was lost.
pub(crate) fn conclude(tallies: &[(String, Tally)]) {
    println!("{}", Tally::HEADING);
    for (server, tally) in tallies {
        println!("{}", tally.line(server));
    }
    let failures: Vec<&str> =
        tallies.iter().flat_map(|(_, tally)| &tally.failures).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A program as it is shown.
pub(crate) fn shown(program: &Path) -> String {
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
