//! Rate limits for events that could be emitted in floods.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::emitted::Emitted;

/// A limit on how often an event is sent.
///
/// Of the events that are emitted during a period, only the last one is sent, at the end of the
/// period or up to 20 ms later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    period: Duration,
    /// The member of the event's data that distinguishes its sources.
    member: Option<&'static str>,
}

impl RateLimit {
    /// The limit of QEMU's own events.
    const PER_SECOND: Self = Self::every(Duration::from_secs(1));

    /// Creates a limit of one event per period.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::RateLimit;
    ///
    /// const LIMIT: RateLimit = RateLimit::every(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub const fn every(period: Duration) -> Self {
        Self { period, member: None }
    }

    /// Limits events separately if they differ in a member of their data, such as `id`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use qmp_server::RateLimit;
    ///
    /// // One a second for each device.
    /// const LIMIT: RateLimit = RateLimit::every(Duration::from_secs(1)).by("device");
    /// ```
    #[must_use]
    pub const fn by(self, member: &'static str) -> Self {
        Self { member: Some(member), ..self }
    }
}

/// The events that QEMU limits.
const LIMITED: [(&str, RateLimit); 9] = [
    ("BALLOON_CHANGE", RateLimit::PER_SECOND),
    ("BLOCK_IO_ERROR", RateLimit::PER_SECOND.by("qom-path")),
    ("HV_BALLOON_STATUS_REPORT", RateLimit::PER_SECOND),
    ("MEMORY_DEVICE_SIZE_CHANGE", RateLimit::PER_SECOND.by("qom-path")),
    ("QUORUM_FAILURE", RateLimit::PER_SECOND),
    ("QUORUM_REPORT_BAD", RateLimit::PER_SECOND.by("node-name")),
    ("RTC_CHANGE", RateLimit::PER_SECOND),
    ("VSERPORT_CHANGE", RateLimit::PER_SECOND.by("id")),
    ("WATCHDOG", RateLimit::PER_SECOND),
];

/// A rate limiter of all events.
#[derive(Debug)]
pub(crate) struct Throttle {
    limits: HashMap<&'static str, RateLimit>,
    kinds: HashMap<(&'static str, Option<String>), Kind>,
}

#[derive(Debug)]
struct Kind {
    period: Duration,
    /// The end of the period that began with the last delivery.
    period_end: Duration,
    held: Option<Emitted>,
}

impl Throttle {
    /// Creates a limiter with QEMU's limits and others, which may replace QEMU's.
    pub(crate) fn new(own: impl IntoIterator<Item = (&'static str, RateLimit)>) -> Self {
        let limits = LIMITED.into_iter().chain(own).collect();
        Self { limits, kinds: HashMap::new() }
    }

    /// Returns the event if it may be delivered now. Otherwise holds it back, in place of an earlier
    /// one.
    pub(crate) fn admit(&mut self, event: Emitted, now: Duration) -> Option<Emitted> {
        let Some(limit) = self.limits.get(event.name) else { return Some(event) };
        let period = limit.period;
        let key = (event.name, limit.member.and_then(|member| member_of(&event, member)));
        let kind = self.kinds.entry(key).or_insert(Kind { period, period_end: now, held: None });
        if kind.period_end > now {
            kind.held = Some(event);
            return None;
        }
        kind.period_end = now.saturating_add(period);
        Some(event)
    }

    /// Returns the time at which the next held event is due.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.kinds.values().filter(|kind| kind.held.is_some()).map(|kind| kind.period_end).min()
    }

    /// Takes the held events that are due.
    pub(crate) fn release(&mut self, now: Duration) -> Vec<Emitted> {
        let mut events = Vec::new();
        self.kinds.retain(|_, kind| {
            if kind.period_end > now {
                return true;
            }
            let event = kind.held.take();
            kind.period_end = now.saturating_add(kind.period);
            let delivered = event.is_some();
            events.extend(event);
            delivered
        });
        events
    }
}

fn member_of(event: &Emitted, member: &str) -> Option<String> {
    let data: Value = serde_json::from_str(event.data.as_deref()?).ok()?;
    data.get(member).map(Value::to_string)
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
        let mut throttle = Throttle::new([]);
        let after = Duration::from_millis;
        assert!(throttle.admit(event("RTC_CHANGE", "1"), after(0)).is_some());
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
        let mut throttle = Throttle::new([]);
        let now = Duration::ZERO;
        for name in ["STOP", "STOP", "RESUME", "WATCHDOG", "BALLOON_CHANGE"] {
            assert!(throttle.admit(event(name, "{}"), now).is_some(), "{name}");
        }
        for (data, is_admitted) in
            [(r#"{"id": "a"}"#, true), (r#"{"id": "b"}"#, true), (r#"{"id": "a"}"#, false)]
        {
            let admitted = throttle.admit(event("VSERPORT_CHANGE", data), now);
            assert_eq!(admitted.is_some(), is_admitted, "{data}");
        }
        // One broken disk does not hide the errors of another.
        for (path, is_admitted) in [("/a", true), ("/b", true), ("/a", false)] {
            let data = format!(r#"{{"qom-path": "{path}", "device": ""}}"#);
            let admitted = throttle.admit(event("BLOCK_IO_ERROR", &data), now);
            assert_eq!(admitted.is_some(), is_admitted, "{path}");
        }
    }

    #[test]
    fn own_events_have_limits_of_their_own() {
        let limit = RateLimit::every(Duration::from_millis(50)).by("disk");
        let mut throttle = Throttle::new([("DISK_SLOW", limit), ("WATCHDOG", limit)]);
        let after = Duration::from_millis;
        for (data, at, is_admitted) in [
            (r#"{"disk": "a"}"#, 0, true),
            (r#"{"disk": "b"}"#, 10, true),
            (r#"{"disk": "a"}"#, 20, false),
            (r#"{"disk": "b"}"#, 70, true),
        ] {
            let admitted = throttle.admit(event("DISK_SLOW", data), after(at));
            assert_eq!(admitted.is_some(), is_admitted, "{data} after {at} ms");
        }
        // The limit of QEMU's event is replaced.
        assert!(throttle.admit(event("WATCHDOG", "{}"), after(0)).is_some());
        assert!(throttle.admit(event("WATCHDOG", "{}"), after(51)).is_some());
    }
}
