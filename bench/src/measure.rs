//! Measures processor time and memory.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the processor time that this process has used so far.
fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Measures processor time from its creation on.
pub struct Meter(Duration);

impl Meter {
    pub fn start() -> Self {
        Self(cpu())
    }

    /// Returns the microseconds spent on each of `count` operations.
    pub fn each(&self, count: usize) -> f64 {
        (cpu() - self.0).as_secs_f64() * 1e6 / count as f64
    }
}

/// Returns the resident memory of this process, in KiB.
pub fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as f64 / 1024.0
}
