//! Mirrors: equal to fresh queries, whatever happens to the machine and to the connection.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)] // tests

mod equal;
mod fresh;
mod handles;
mod link;
mod random;
mod worlds;

use std::time::Duration;

/// Longer than any operation that succeeds takes, even on a busy host.
const PATIENCE: Duration = Duration::from_secs(30);
