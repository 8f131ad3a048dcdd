//! The shell: lines in, answers and events out.
//!
//! ```text
//! editor, script or -c ──line──> parse ──command──> client ──> answer  ──> output
//!                                                          └─> events ──┘
//! ```

mod line;
mod run;

pub use line::{Line, LineError, parse};
pub use run::{Outcome, Shell};
