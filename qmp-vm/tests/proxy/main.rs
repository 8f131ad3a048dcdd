//! Many clients on one monitor.

#![cfg(all(unix, feature = "blocking", feature = "proxy", feature = "tokio"))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod clients;
mod crowd;
mod descriptors;
mod ends;
mod events;
mod monitors;
mod policy;
mod support;
mod text;
