//! The history of the machines that are watched.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::source::{Sample, Update};
use crate::report::Report;
use crate::terminal::inline;

/// The number of samples that are kept.
const HISTORY: usize = 240;

/// The number of events that are kept.
const EVENTS: usize = 200;

/// The longest text of an event, in characters.
const LONGEST_EVENT: usize = 400;

/// The machines, and which one is shown in detail.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) machines: Vec<Watching>,
    pub(super) selected: usize,
    pub(super) interval: Duration,
    /// The last notice of the program itself.
    pub(super) notice: Option<String>,
}

/// A machine that is being watched.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) label: String,
    pub(super) state: State,
    /// The report from when the connection was made.
    pub(super) report: Option<Box<Report>>,
    pub(super) last: Option<Box<Sample>>,
    pub(super) rates: Rates,
    /// Events, the last one at the end.
    pub(super) events: VecDeque<String>,
}

/// The state of the connection to a machine.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum State {
    Connecting,
    Connected,
    Gone(String),
}

/// Rates per second, the latest at the end.
#[derive(Debug, Default)]
pub(super) struct Rates {
    pub(super) read: VecDeque<u64>,
    pub(super) written: VecDeque<u64>,
    /// The load of the CPUs, in percent of one CPU.
    pub(super) cpu: VecDeque<u64>,
    pub(super) received: VecDeque<u64>,
    pub(super) sent: VecDeque<u64>,
    /// The rates of each disk, with its name.
    pub(super) disks: Vec<(String, u64, u64)>,
}

impl Screen {
    pub(super) fn new(labels: impl Iterator<Item = String>, interval: Duration) -> Self {
        let machines = labels.map(Watching::new).collect();
        Self { machines, selected: 0, interval, notice: None }
    }

    pub(super) fn update(&mut self, number: usize, update: Update) {
        if let Some(machine) = self.machines.get_mut(number) {
            machine.update(update);
        }
    }

    pub(super) fn select_next(&mut self) {
        self.selected = (self.selected + 1).min(self.machines.len().saturating_sub(1));
    }

    pub(super) fn select_previous(&mut self) {
        self.selected = self.selected.saturating_sub(1);
    }
}

impl Watching {
    fn new(label: String) -> Self {
        Self {
            label,
            state: State::Connecting,
            report: None,
            last: None,
            rates: Rates::default(),
            events: VecDeque::new(),
        }
    }

    fn update(&mut self, update: Update) {
        match update {
            Update::Connected(report) => {
                self.state = State::Connected;
                self.report = Some(report);
                // Another process may count from zero.
                self.last = None;
            }
            Update::Sample(sample) => {
                if let Some(last) = &self.last {
                    self.rates.add(last, &sample);
                }
                self.last = Some(sample);
            }
            Update::Event(event) => {
                let data = event.data.as_ref().map(|data| data.get()).unwrap_or_default();
                let text = format!("{}  {} {data}", clock(event.timestamp.seconds), event.name);
                push(&mut self.events, inline(&text).chars().take(LONGEST_EVENT).collect(), EVENTS);
            }
            Update::Gone(reason) => {
                self.state = State::Gone(reason);
                self.last = None;
            }
        }
    }
}

impl Rates {
    fn add(&mut self, before: &Sample, now: &Sample) {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        let rate = |before: i64, now: i64| per_second(now.saturating_sub(before) as f64, seconds);
        let devices: HashMap<_, _> =
            before.live.block.iter().map(|device| ((&device.name, &device.path), device)).collect();
        self.disks.clear();
        let (mut all_read, mut all_written) = (0u64, 0u64);
        for device in &now.live.block {
            let same = devices.get(&(&device.name, &device.path));
            let Some(same) = same else { continue };
            let (Some(read), Some(written)) = (device.read, device.written) else { continue };
            let read = rate(same.read.unwrap_or(read), read);
            let written = rate(same.written.unwrap_or(written), written);
            all_read = all_read.saturating_add(read);
            all_written = all_written.saturating_add(written);
            self.disks.push((device.name.clone(), read, written));
        }
        push(&mut self.read, all_read, HISTORY);
        push(&mut self.written, all_written, HISTORY);
        if let Some((before, now)) = before.cpu_time.zip(now.cpu_time) {
            let spent = now.saturating_sub(before).as_secs_f64();
            push(&mut self.cpu, per_second(spent * 100.0, seconds), HISTORY);
        }
        if let Some((before, now)) = before.network.zip(now.network) {
            let rate = |before, now: u64| per_second(now.saturating_sub(before) as f64, seconds);
            push(&mut self.received, rate(before.0, now.0), HISTORY);
            push(&mut self.sent, rate(before.1, now.1), HISTORY);
        }
    }
}

fn per_second(amount: f64, seconds: f64) -> u64 {
    if seconds > 0.0 { (amount / seconds).round().max(0.0) as u64 } else { 0 }
}

fn push<T>(queue: &mut VecDeque<T>, value: T, most: usize) {
    queue.push_back(value);
    while queue.len() > most {
        queue.pop_front();
    }
}

/// Formats a time of the server's clock as UTC.
fn clock(seconds: i64) -> String {
    let day = seconds.rem_euclid(24 * 60 * 60);
    format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::report::Live;

    fn sample(at: Instant, disks: &[(&str, i64, i64)], milliseconds: u64) -> Sample {
        let block = disks.iter().map(|(name, read, written)| disk(name, *read, *written)).collect();
        let live = Live { block, ..Live::default() };
        let cpu_time = Some(Duration::from_millis(milliseconds));
        Sample { at, live, cpu_time, network: Some((milliseconds, 2 * milliseconds)) }
    }

    fn disk(name: &str, read: i64, written: i64) -> crate::report::BlockDevice {
        crate::report::BlockDevice {
            name: name.to_owned(),
            path: None,
            removable: false,
            locked: false,
            io_status: None,
            image: None,
            read: Some(read),
            written: Some(written),
            read_operations: None,
            write_operations: None,
            flush_operations: None,
        }
    }

    #[test]
    fn rates_are_per_second_and_never_negative() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let later = start + Duration::from_secs(2);
        // One disk was counted anew, and one is new.
        rates.add(
            &sample(start, &[("a", 1000, 10), ("b", 500, 500)], 0),
            &sample(later, &[("a", 5000, 10), ("b", 0, 700), ("c", 9, 9)], 3000),
        );
        let disks: Vec<_> =
            rates.disks.iter().map(|(name, r, w)| (name.as_str(), *r, *w)).collect();
        assert_eq!(disks, [("a", 2000, 0), ("b", 0, 100)]);
        assert_eq!((rates.read.back(), rates.written.back()), (Some(&2000), Some(&100)));
        assert_eq!(rates.cpu.back(), Some(&150));
        assert_eq!((rates.received.back(), rates.sent.back()), (Some(&1500), Some(&3000)));
    }

    #[test]
    fn the_history_is_bounded() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        for _ in 0..2 * HISTORY {
            rates.add(&sample(start, &[], 0), &sample(start, &[], 0));
        }
        assert_eq!((rates.read.len(), rates.cpu.len()), (HISTORY, HISTORY));
    }

    #[test]
    fn events_are_escaped_and_have_the_time_of_the_server() {
        let mut machine = Watching::new(String::new());
        let timestamp = qmp_client::Timestamp { seconds: 3661, microseconds: 0 };
        let event = qmp_client::RawEvent::new("X\u{1b}[2J".into(), None, timestamp);
        machine.update(Update::Event(event));
        assert_eq!(machine.events, ["01:01:01  X\\u{1b}[2J "]);
    }
}
