//! The counters of a fleet's monitors, in the text format of Prometheus.
//!
//! | metric | type | labels besides `host` and `machine` |
//! | --- | --- | --- |
//! | `qmp_connected` | gauge | |
//! | `qmp_connections_total` | counter | |
//! | `qmp_failed_attempts` | gauge, of the present outage | |
//! | `qmp_run_state` | gauge, 1 for the present state | `state` |
//! | `qmp_calls_total` | counter | `outcome`, and `class` of refused ones |
//! | `qmp_calls_in_flight` | gauge | |
//! | `qmp_call_duration_seconds` | histogram | `le` |
//! | `qmp_events_total` | counter | `outcome`: `received`, `delivered`, `lagged` |
//! | `qmp_bytes_total` | counter | `direction` |
//! | `qmp_messages_dropped_total` | counter | `reason` |
//!
//! The counters of a machine are those of all its connections since this program was started. A label is
//! a machine's name, which is [escaped](crate::names::label), or one of a few words: no peer adds any.
//!
//! A scrape reads counters and sends nothing to a machine, so that one that hangs does not delay it. The
//! calls are those of the [watch]: it asks for the run state every 15 seconds, and after an event
//! that changes it, so that the histogram shows how fast each monitor answers.

mod board;
mod http;
mod text;
mod watch;

pub use board::Board;
pub use http::serve;
pub use text::render;
pub use watch::watch;
