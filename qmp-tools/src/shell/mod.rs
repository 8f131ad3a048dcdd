//! The shell: reads commands, and prints replies and events.
//!
//! ```text
//! editor, script or -c ──text──> parse ──statement──> session ──> client ──> reply  ──> output
//!                                                                        └─> events ─┘
//! ```

mod line;
mod log;
pub mod output;
mod prompt;
pub mod script;
pub mod session;

pub use line::{Line, LineError, parse};
pub use log::LogFile;
pub use prompt::{Printer, Prompt};
pub use session::{Interrupt, Outcome, Session, Settings, Statement};
