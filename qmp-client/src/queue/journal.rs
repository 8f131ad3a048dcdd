//! Events in the order of their arrival, as text in one buffer.
//!
//! An event takes no allocation of its own. A consumer exchanges an empty journal for a full one, and
//! decodes the events where they lie:
//!
//! ```text
//! text    NAME{"data": ...}NAME{"data": ...}
//! events  name: 4, data: 13, time   ...
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use qmp_protocol::{RawEvent, raw_value};
use qmp_types::Timestamp;
use serde_json::value::RawValue;

/// The size of data that is kept apart, in bytes: a buffer that grows is copied.
const LARGE: usize = 4 * 1024;
/// The buffer that is kept for further events, in bytes.
const KEPT: usize = 128 * 1024;

/// Events in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// The name and the data of each event, without anything between them.
    text: String,
    /// The index of the first event in the text.
    start: usize,
    events: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The length of the name.
    name: usize,
    data: Data,
    timestamp: Timestamp,
}

#[derive(Debug)]
enum Data {
    None,
    /// Data of this length in the text.
    Here(usize),
    Apart(Box<RawValue>),
}

impl Entry {
    /// Returns the bytes of the event in the text.
    fn in_text(&self) -> usize {
        let Data::Here(length) = self.data else { return self.name };
        self.name + length
    }

    fn size(&self) -> usize {
        let Data::Apart(data) = &self.data else { return self.in_text() };
        self.name + data.get().len()
    }
}

/// An event that has been taken out of a journal.
#[derive(Debug)]
pub(crate) struct Taken<'j> {
    pub(crate) name: &'j str,
    pub(crate) timestamp: Timestamp,
    /// The data in the text of the journal; empty if it is apart, or if there is none.
    text: &'j str,
    apart: Option<Box<RawValue>>,
}

impl Taken<'_> {
    /// Returns the text of the data. An event without data has an empty object.
    pub(crate) fn data(&self) -> &str {
        match &self.apart {
            Some(data) => data.get(),
            None if self.text.is_empty() => "{}",
            None => self.text,
        }
    }

    /// Makes an event of its own of it.
    pub(crate) fn into_raw(self, names: &mut Names) -> RawEvent {
        let checked = |text| raw_value(text).or_else(|| serde_json::from_str(text).ok());
        let data = Some(self.text).filter(|text| !text.is_empty()).and_then(checked);
        let mut event = RawEvent::new(names.share(self.name), data, self.timestamp);
        if self.apart.is_some() {
            event.data = self.apart;
        }
        event
    }
}

/// The last name that was given out. In a flood, the next event mostly has the same name, and shares
/// it.
#[derive(Debug, Default)]
pub(crate) struct Names(Option<Arc<str>>);

impl Names {
    fn share(&mut self, name: &str) -> Arc<str> {
        match &self.0 {
            Some(last) if **last == *name => Arc::clone(last),
            _ => Arc::clone(self.0.insert(name.into())),
        }
    }
}

impl Journal {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns the bytes of the name and the data of the first event.
    pub(crate) fn first_size(&self) -> Option<usize> {
        self.events.front().map(Entry::size)
    }

    pub(crate) fn push(&mut self, name: &str, data: Option<&RawValue>, timestamp: Timestamp) {
        let (here, data) = match data {
            None => ("", Data::None),
            Some(data) if data.get().len() < LARGE => (data.get(), Data::Here(data.get().len())),
            Some(data) => ("", Data::Apart(data.to_owned())),
        };
        self.make_room(name.len() + here.len());
        self.text.push_str(name);
        self.text.push_str(here);
        self.events.push_back(Entry { name: name.len(), data, timestamp });
    }

    /// Makes room for more text. The space of events that were taken is used again, and a large buffer
    /// grows by a quarter, not to twice its size.
    fn make_room(&mut self, bytes: usize) {
        if self.events.is_empty() {
            self.text.clear();
            self.start = 0;
        }
        if self.text.capacity() - self.text.len() >= bytes {
            return;
        }
        if self.start > (self.text.len() - self.start) / 2 {
            self.text.drain(..self.start);
            self.start = 0;
        }
        match self.text.len() {
            length if length < KEPT => self.text.reserve(bytes),
            length => self.text.reserve_exact(bytes.max(length / 4)),
        }
    }

    /// Takes the oldest event.
    pub(crate) fn pop(&mut self) -> Option<Taken<'_>> {
        let Entry { name, data, timestamp } = self.events.pop_front()?;
        let start = self.start;
        let (here, apart) = match data {
            Data::None => (0, None),
            Data::Here(length) => (length, None),
            Data::Apart(data) => (0, Some(data)),
        };
        self.start = start + name + here;
        let (name, text) = self.text.get(start..self.start)?.split_at_checked(name)?;
        Some(Taken { name, timestamp, text, apart })
    }

    /// Drops the oldest event, and returns the bytes of its name and its data.
    pub(crate) fn drop_oldest(&mut self) -> Option<usize> {
        let entry = self.events.pop_front()?;
        self.start += entry.in_text();
        Some(entry.size())
    }

    /// Removes those events for which `keep` returns false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&RawEvent) -> bool) {
        let (mut kept, mut names) = (Self::default(), Names::default());
        while let Some(taken) = self.pop() {
            let event = taken.into_raw(&mut names);
            if keep(&event) {
                kept.push(&event.name, event.data.as_deref(), event.timestamp);
            }
        }
        *self = kept;
    }

    /// Returns the bytes of the name and the data of each event.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.events.iter().map(Entry::size)
    }

    /// Drops all events, and keeps a buffer for others, unless that is large.
    pub(crate) fn clear(&mut self) {
        if self.text.capacity() > KEPT {
            *self = Self::default();
        }
        self.events.clear();
    }

    /// Frees the memory if there are no events.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn push(journal: &mut Journal, name: &str, data: Option<&str>) {
        let data = data.map(|data| serde_json::from_str::<&RawValue>(data).unwrap());
        journal.push(name, data, Timestamp { seconds: 7, ..Timestamp::UNKNOWN });
    }

    /// Every way out gives what went in, whatever was dropped, kept apart or moved before.
    #[test]
    fn events_come_out_as_they_went_in() {
        let large = format!("[{}0]", "0,".repeat(LARGE));
        let events =
            [("STOP", None), ("É", Some(r#"{"é": 1}"#)), ("", Some("{}")), ("BIG", Some(&*large))];
        let (mut journal, mut names) = (Journal::default(), Names::default());
        let mut expected = VecDeque::new();
        for round in 0..2000 {
            let event = events[round * 7 % 3 + usize::from(round % 500 == 0)];
            push(&mut journal, event.0, event.1);
            expected.push_back(event);
            // More come in than go out at first, and fewer later.
            for _ in 0..(round / 700) {
                let Some((name, data)) = expected.pop_front() else { break };
                if round % 3 == 0 {
                    let size = name.len() + data.map_or(0, str::len);
                    assert_eq!(journal.first_size(), Some(size));
                    assert_eq!(journal.drop_oldest(), Some(size));
                    continue;
                }
                let taken = journal.pop().unwrap();
                assert_eq!((taken.name, taken.data()), (name, data.unwrap_or("{}")));
                let raw = taken.into_raw(&mut names);
                assert_eq!((&*raw.name, raw.data.as_deref().map(RawValue::get)), (name, data));
                assert_eq!(raw.timestamp.seconds, 7);
            }
            assert_eq!(journal.len(), expected.len());
        }
        journal.retain(|event| &*event.name == "É");
        assert!(!journal.is_empty() && journal.sizes().all(|size| size == 11), "{journal:?}");
    }

    /// A queue that is always full moves its events to the front of the buffer.
    #[test]
    fn the_buffer_is_no_larger_than_what_it_holds() {
        let mut journal = Journal::default();
        let data = format!("\"{}\"", "x".repeat(1000));
        for _ in 0..10_000 {
            push(&mut journal, "X", Some(&data));
            if journal.len() > 1000 {
                journal.drop_oldest();
            }
        }
        assert!(journal.text.capacity() < 2_500_000, "{}", journal.text.capacity());
        journal.clear();
        journal.release();
        assert_eq!(journal.text.capacity(), 0);
    }
}
