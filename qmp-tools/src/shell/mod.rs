//! The shell: reads commands, and prints replies and events.
//!
//! ```text
//! editor, script or -c ──line──> parse ──command──> client ──> reply  ──> output
//!                                                          └─> events ─┘
//! ```

pub mod complete;
pub mod help;
mod layout;
mod line;
mod prompt;
mod run;
pub mod secrets;
pub mod syntax;
pub mod types;

pub use line::{Line, LineError, parse};
pub use prompt::{Printer, Prompt};
pub use run::{Outcome, Shell};
