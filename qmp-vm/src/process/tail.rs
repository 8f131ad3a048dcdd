//! The last of what a process wrote to one of its outputs.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::sync::lock;

/// The number of bytes that are kept.
const LENGTH: usize = 4096;

/// The last of what a process wrote, shared with the thread that reads it.
#[derive(Debug)]
pub(super) struct Tail {
    text: Mutex<Text>,
    complete: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    bytes: VecDeque<u8>,
    is_complete: bool,
}

impl Tail {
    /// Creates an empty tail; it is complete if nothing will be read.
    pub(super) fn new(is_complete: bool) -> Self {
        let text = Text { is_complete, ..Text::default() };
        Self { text: Mutex::new(text), complete: Condvar::new() }
    }

    pub(super) fn push(&self, bytes: &[u8]) {
        let mut text = lock(&self.text);
        text.bytes.extend(bytes);
        let excess = text.bytes.len().saturating_sub(LENGTH);
        text.bytes.drain(..excess);
    }

    pub(super) fn finish(&self) {
        lock(&self.text).is_complete = true;
        self.complete.notify_all();
    }

    /// Waits until everything has been read, or for as long as that may take.
    pub(super) fn wait(&self, within: Duration) {
        let text = lock(&self.text);
        drop(self.complete.wait_timeout_while(text, within, |text| !text.is_complete));
    }

    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = lock(&self.text).bytes.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
