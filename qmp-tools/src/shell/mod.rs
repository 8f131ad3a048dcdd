//! The shell: reads commands, and prints replies and events.
//!
//! ```text
//! editor, script or -c ──line──> parse ──command──> client ──> reply  ──> output
//!                                                          └─> events ─┘
//! ```

mod layout;
mod line;
mod prompt;
mod run;

pub use line::{Line, LineError, parse};
pub use prompt::{Engine, Setup, interact};
pub use run::{Outcome, Shell};
