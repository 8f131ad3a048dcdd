//! The shell: lines in, answers and events out.
//!
//! ```text
//! editor, script or -c ──line──> parse ──command──> client ──> answer  ──> output
//!                                                          └─> events ──┘
//! ```

mod layout;
mod line;
mod prompt;
mod run;

pub use line::{Line, LineError, parse};
pub use prompt::{Printer, Prompt};
pub use run::{Outcome, Shell};
