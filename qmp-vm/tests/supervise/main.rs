//! Supervised connections, on each front end, against servers that come and go.

#![cfg(all(unix, feature = "blocking", feature = "futures-io", feature = "tokio"))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, unreachable_pub)] // tests

mod calls;
mod cancel;
mod cuts;
mod deadlines;
mod ends;
mod events;
mod front;
mod host;
mod identity;
mod live;
mod sources;
