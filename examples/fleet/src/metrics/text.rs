//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use qmp_client::Histogram;

use super::board::{Board, Snapshot};
use crate::names::label;

/// Returns all metrics of a host.
#[must_use]
pub fn render(host: &str, board: &Board) -> String {
    let mut page = Page { text: String::new(), host: label(host), machines: board.snapshots() };
    page.simple("qmp_connected", "gauge", "Whether the monitor is connected.", |machine| {
        u64::from(machine.is_connected)
    });
    page.simple("qmp_connections_total", "counter", "Connections that were made.", |machine| {
        machine.connections
    });
    page.simple(
        "qmp_failed_attempts",
        "gauge",
        "Attempts to connect that have failed in the present outage.",
        |machine| machine.failed_attempts.into(),
    );
    page.family("qmp_run_state", "gauge", "The run state of the machine.", |machine, line| {
        if let Some(state) = &machine.state {
            let word = if state.is_known() { state.as_str() } else { "other" };
            line("", &[("state", word)], &1);
        }
    });
    page.calls();
    page.family("qmp_events_total", "counter", "Events, by outcome.", |machine, line| {
        let events = &machine.stats.events;
        let counts = [events.received, events.delivered, events.lagged];
        for (outcome, count) in ["received", "delivered", "lagged"].iter().zip(&counts) {
            line("", &[("outcome", outcome)], count);
        }
    });
    page.family("qmp_bytes_total", "counter", "Bytes, by direction.", |machine, line| {
        line("", &[("direction", "sent")], &machine.stats.bytes_sent);
        line("", &[("direction", "received")], &machine.stats.bytes_received);
    });
    let help = "Messages that were received and dropped.";
    page.family("qmp_messages_dropped_total", "counter", help, |machine, line| {
        let dropped = &machine.stats.dropped;
        line("", &[("reason", "late_reply")], &dropped.late_replies);
        line("", &[("reason", "foreign_reply")], &dropped.foreign_replies);
        line("", &[("reason", "garbage")], &dropped.garbage);
    });
    page.text
}

struct Page {
    text: String,
    /// The label of the host.
    host: String,
    machines: Vec<Snapshot>,
}

/// Writes a line: the suffix of its name, its labels, which need no escaping, and its value.
type Line<'a> = dyn FnMut(&str, &[(&str, &str)], &dyn Display) + 'a;

impl Page {
    /// Writes a metric and its lines for each machine.
    fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        mut write: impl FnMut(&Snapshot, &mut Line<'_>),
    ) {
        let Self { text, host, machines } = self;
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for machine in machines.iter() {
            let own = label(&machine.name);
            write(machine, &mut |suffix, labels, value| {
                let _ = write!(text, "{name}{suffix}{{host=\"{host}\",machine=\"{own}\"");
                for (label, value) in labels {
                    let _ = write!(text, ",{label}=\"{value}\"");
                }
                let _ = writeln!(text, "}} {value}");
            });
        }
    }

    fn simple(&mut self, name: &str, kind: &str, help: &str, value: fn(&Snapshot) -> u64) {
        self.family(name, kind, help, |machine, line| line("", &[], &value(machine)));
    }

    fn calls(&mut self) {
        self.family("qmp_calls_total", "counter", "Calls, by outcome.", |machine, line| {
            let calls = &machine.stats.calls;
            let outcomes = [
                ("succeeded", calls.succeeded),
                ("timed_out", calls.timed_out),
                ("canceled", calls.canceled),
                ("closed", calls.closed),
                ("mismatched", calls.mismatched),
                ("failed", calls.failed),
            ];
            for (outcome, count) in outcomes {
                line("", &[("outcome", outcome), ("class", "")], &count);
            }
            for (class, count) in calls.refused.by_class() {
                line("", &[("outcome", "refused"), ("class", class)], &count);
            }
        });
        self.simple("qmp_calls_in_flight", "gauge", "Calls that are not answered.", |machine| {
            machine.stats.calls.in_flight
        });
        let help = "The time from the submission of a command until its reply.";
        self.family("qmp_call_duration_seconds", "histogram", help, |machine, line| {
            histogram(&machine.stats.latency, line);
        });
    }
}

/// Writes a histogram. Of its buckets, those are shown whose bounds are powers of two.
fn histogram(latency: &Histogram, line: &mut Line<'_>) {
    let mut below = 0;
    for (bound, count) in latency.buckets() {
        below += count;
        if bound != Duration::MAX && bound.as_micros().is_power_of_two() {
            line("_bucket", &[("le", &bound.as_secs_f64().to_string())], &below);
        }
    }
    line("_bucket", &[("le", "+Inf")], &below);
    line("_sum", &[], &latency.sum().as_secs_f64());
    line("_count", &[], &below);
}
