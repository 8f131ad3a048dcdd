//! The shell: reads commands, and prints replies and events.
//!
//! ```text
//! editor, script or -c ──text──> parse ──statement──> session ──> client ──> reply  ──> output
//!                                                                        └─> events ─┘
//! ```

pub mod complete;
pub mod help;
pub mod live;
mod log;
pub mod output;
mod prompt;
pub mod script;
pub mod secrets;
pub mod session;
pub mod syntax;
pub mod types;

pub use log::LogFile;
pub use prompt::{Handles, Setup, interact};
pub use session::{Interrupt, Outcome, Session, Settings};
pub use syntax::{Statement, SyntaxError, parse};
