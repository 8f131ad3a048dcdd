//! Rate limits for events that a guest could emit in floods.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::context::Emitted;

/// The minimum time between two limited events of one kind.
const PERIOD: Duration = Duration::from_secs(1);

/// The limited events. Events that differ in the given member are limited separately.
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

/// A rate limiter. Of the events that are emitted during a period, only the last one is delivered,
/// at the end of the period.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    kinds: HashMap<(&'static str, Option<String>), Kind>,
}

#[derive(Debug)]
struct Kind {
    /// The end of the period that began with the last delivery.
    period_end: Instant,
    held: Option<Emitted>,
}

impl Throttle {
    /// Returns the event if it may be delivered now. Otherwise holds it back, in place of an earlier
    /// one.
    pub(crate) fn admit(&mut self, event: Emitted, now: Instant) -> Option<Emitted> {
        let Some((_, distinguishing)) = LIMITED.iter().find(|(name, _)| *name == event.name) else {
            return Some(event);
        };
        let key = (event.name, distinguishing.and_then(|member| member_of(&event, member)));
        let kind = self.kinds.entry(key).or_insert(Kind { period_end: now, held: None });
        if kind.period_end > now {
            kind.held = Some(event);
            return None;
        }
        kind.period_end = now + PERIOD;
        Some(event)
    }

    /// Returns the time at which the next held event is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.kinds.values().filter(|kind| kind.held.is_some()).map(|kind| kind.period_end).min()
    }

    /// Takes the held events that are due.
    pub(crate) fn release(&mut self, now: Instant) -> Vec<Emitted> {
        let mut events = Vec::new();
        self.kinds.retain(|_, kind| {
            if kind.period_end > now {
                return true;
            }
            let event = kind.held.take();
            kind.period_end = now + PERIOD;
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
    fn the_last_event_of_a_flood_is_delivered_at_the_end_of_the_period() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(throttle.admit(event("RTC_CHANGE", "1"), start).is_some());
        assert_eq!(throttle.due(), None);
        assert!(throttle.admit(event("RTC_CHANGE", "2"), after(300)).is_none());
        assert!(throttle.admit(event("RTC_CHANGE", "3"), after(600)).is_none());
        assert_eq!(throttle.due(), Some(after(1000)));
        assert!(throttle.release(after(999)).is_empty());
        let released = throttle.release(after(1000));
        assert_eq!(released.len(), 1);
        assert_eq!(released[0].data.as_deref(), Some("3"));
        // The delivery begins another period. After one without events, the limit is lifted.
        assert!(throttle.admit(event("RTC_CHANGE", "4"), after(1500)).is_none());
        assert_eq!(throttle.release(after(2000)).len(), 1);
        assert!(throttle.release(after(3000)).is_empty());
        assert!(throttle.admit(event("RTC_CHANGE", "5"), after(3001)).is_some());
    }

    #[test]
    fn unlimited_and_distinct_events_are_not_held() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        for name in ["STOP", "STOP", "RESUME", "WATCHDOG", "BALLOON_CHANGE"] {
            assert!(throttle.admit(event(name, "{}"), now).is_some(), "{name}");
        }
        for (data, is_admitted) in
            [(r#"{"id": "a"}"#, true), (r#"{"id": "b"}"#, true), (r#"{"id": "a"}"#, false)]
        {
            let admitted = throttle.admit(event("VSERPORT_CHANGE", data), now);
            assert_eq!(admitted.is_some(), is_admitted, "{data}");
        }
    }
}
