//! The schema against real releases: what their `query-qmp-schema` answers is in `releases/`, one
//! entry a line.
//!
//! - Nothing that a release has is missing in the schema.
//! - What the schema says is always received, every release sends.
//! - What the schema says must be sent, and that alone, the newest release requires.
//!
//! Where the schema differs on purpose, it is in `support::EXCEPTIONS`, with the reason. One that does not
//! occur any more fails the test.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod support;

use support::{EXCEPTIONS, RELEASES, release, schema};

#[test]
fn nothing_of_a_release_is_missing() {
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
        wrong.push(format!("{version}: no exception any more: {difference}"));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// A member that is always there needs no `Option`.
#[test]
fn nothing_is_optional_without_need() {
    let wrong = support::needlessly_optional(&schema());
    assert!(wrong.is_empty(), "{} members:\n{}", wrong.len(), wrong.join("\n"));
}
