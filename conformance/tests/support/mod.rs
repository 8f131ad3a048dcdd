//! Virtual machines to test, and helpers for tests that need a program.

#![allow(dead_code)] // each test uses only a part

pub(crate) mod machines;
pub(crate) mod queries;
pub(crate) mod targets;

use std::path::Path;

use conformance::Tally;

/// Defines a test that needs a program. It is ignored if `build.rs` has not found the program.
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

/// Returns whether the absence of QEMU is a failure.
pub(crate) fn required() -> bool {
    std::env::var_os("QMP_REQUIRE_QEMU").is_some_and(|value| value != "0")
}

/// Returns the name of a server in tables.
pub(crate) fn label(kind: &str, version: &qmp_types::VersionTriple) -> String {
    format!("{kind} {}.{}.{}", version.major, version.minor, version.micro)
}

/// Prints a table of the results, and panics if there are failures.
pub(crate) fn conclude(tallies: &[(String, Tally)]) {
    println!("{}", Tally::HEADING);
    for (server, tally) in tallies {
        println!("{}", tally.line(server));
    }
    let failures: Vec<&str> =
        tallies.iter().flat_map(|(_, tally)| &tally.failures).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Returns the file name of a program, for messages.
pub(crate) fn shown(program: &Path) -> String {
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
