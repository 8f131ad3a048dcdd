//! How commands are executed: at once or later, on threads and on tokio.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod descriptors;
mod faults;
mod leaving;
mod limits;
mod order;
mod sockets;
mod vmm;
mod writing;
