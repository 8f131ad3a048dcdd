//! Compares the schema with real releases, whose replies to `query-qmp-schema` are in `releases/`,
//! one entry per line.
//!
//! - The schema contains everything that a release supports.
//! - Members that are mandatory in replies and events are sent by every release.
//! - Members that are mandatory in arguments are exactly those that the newest release requires and
//!   that every release knows: commands must be usable with all of them.
//!
//! Intentional differences are listed in `support::EXCEPTIONS`, with the reason. The test fails if
//! a listed difference no longer occurs.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use support::{EXCEPTIONS, RELEASES, release, schema};

#[test]
fn schema_contains_every_release() {
    let schema = schema();
    let mut wrong = Vec::new();
    let mut used = [false; EXCEPTIONS.len()];
    for version in RELEASES {
        for difference in support::differences(&release(version), &schema, version) {
            let known =
                EXCEPTIONS.iter().position(|(v, d, _)| *v == version && difference.starts_with(d));
            match known {
                Some(index) => used[index] = true,
                None => wrong.push(format!("{version}: {difference}")),
            }
        }
    }
    for ((version, difference, _), _) in EXCEPTIONS.iter().zip(used).filter(|(_, used)| !used) {
        wrong.push(format!("{version}: the exception is no longer needed: {difference}"));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// A member that is always present does not need an `Option`.
#[test]
fn members_sent_by_every_release_are_mandatory() {
    let wrong = support::needlessly_optional(&schema());
    assert!(wrong.is_empty(), "{} members:\n{}", wrong.len(), wrong.join("\n"));
}
