//! Events that a guest could cause in floods, at most one a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::router::Emitted;

/// The least time between two events of a kind that is limited.
const PERIOD: Duration = Duration::from_secs(1);

/// The limited events, with the member by which similar ones are told apart.
const LIMITED: [(&str, Option<&str>); 8] = [
    ("BALLOON_CHANGE", None),
    ("HV_BALLOON_STATUS_REPORT", None),
    ("MEMORY_DEVICE_SIZE_CHANGE", Some("qom-path")),
    ("QUORUM_FAILURE", None),
    ("QUORUM_REPORT_BAD", Some("node-name")),
    ("RTC_CHANGE", None),
    ("VSERPORT_CHANGE", Some("id")),
    ("WATCHDOG", None),
];

/// Holds events back: of those that come within a period, the last one is delivered, at its end.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    kinds: HashMap<(&'static str, Option<String>), Kind>,
}

#[derive(Debug)]
struct Kind {
    /// When the period since the last delivery ends.
    free: Instant,
    held: Option<Emitted>,
}

impl Throttle {
    /// Gives the event back if it may be delivered now.
    pub(crate) fn pass(&mut self, event: Emitted, now: Instant) -> Option<Emitted> {
        let Some((_, similar)) = LIMITED.iter().find(|(name, _)| *name == event.name) else {
            return Some(event);
        };
        let key = (event.name, similar.and_then(|member| member_of(&event, member)));
        let kind = self.kinds.entry(key).or_insert(Kind { free: now, held: None });
        if kind.free > now {
            kind.held = Some(event);
            return None;
        }
        kind.free = now + PERIOD;
        Some(event)
    }

    /// When the next held event is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.kinds.values().filter(|kind| kind.held.is_some()).map(|kind| kind.free).min()
    }

    /// The events that are due.
    pub(crate) fn release(&mut self, now: Instant) -> Vec<Emitted> {
        let mut events = Vec::new();
        self.kinds.retain(|_, kind| {
            if kind.free > now {
                return true;
            }
            let event = kind.held.take();
            kind.free = now + PERIOD;
            let delivered = event.is_some();
            events.extend(event);
            delivered
        });
        events
    }
}

fn member_of(event: &Emitted, member: &str) -> Option<String> {
    let data: Value = serde_json::from_str(event.data.as_deref()?).ok()?;
    data.get(member)?.as_str().map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use qmp_types::Timestamp;

    use super::*;

    fn event(name: &'static str, data: &str) -> Emitted {
        Emitted { name, data: Some(data.to_owned()), timestamp: Timestamp::UNKNOWN }
    }

    #[test]
    fn the_last_of_a_flood_is_delivered_when_the_period_ends() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(throttle.pass(event("RTC_CHANGE", "1"), start).is_some());
        assert_eq!(throttle.due(), None);
        assert!(throttle.pass(event("RTC_CHANGE", "2"), after(300)).is_none());
        assert!(throttle.pass(event("RTC_CHANGE", "3"), after(600)).is_none());
        assert_eq!(throttle.due(), Some(after(1000)));
        assert!(throttle.release(after(999)).is_empty());
        let released = throttle.release(after(1000));
        assert_eq!(released.len(), 1);
        assert_eq!(released[0].data.as_deref(), Some("3"));
        // The delivery begins another period; a quiet one ends the matter.
        assert!(throttle.pass(event("RTC_CHANGE", "4"), after(1500)).is_none());
        assert_eq!(throttle.release(after(2000)).len(), 1);
        assert!(throttle.release(after(3000)).is_empty());
        assert!(throttle.pass(event("RTC_CHANGE", "5"), after(3001)).is_some());
    }

    #[test]
    fn only_similar_events_of_limited_kinds_are_held() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        for name in ["STOP", "STOP", "RESUME", "WATCHDOG", "BALLOON_CHANGE"] {
            assert!(throttle.pass(event(name, "{}"), now).is_some(), "{name}");
        }
        for (data, passes) in
            [(r#"{"id": "a"}"#, true), (r#"{"id": "b"}"#, true), (r#"{"id": "a"}"#, false)]
        {
            let passed = throttle.pass(event("VSERPORT_CHANGE", data), now);
            assert_eq!(passed.is_some(), passes, "{data}");
        }
    }
}
