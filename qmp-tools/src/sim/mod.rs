//! A simulated machine as a program: at addresses, or in the place of QEMU.
//!
//! ```text
//! qmp sim ADDRESS ──────────────> SimulatorBuilder ─> Running ─> sockets
//! qemu-system-x86_64 -qmp ... ──> emulator ──^           └─────> signals
//! ```

mod address;
pub mod emulator;
mod running;
pub(crate) mod signals;

pub use address::{Address, Endpoint};
pub(crate) use running::serve_agent;
pub use running::{Monitor, Running};
pub(crate) use signals::{Signals, until_interrupted};
