//! The output of the thread that executes commands.

use std::io::{self, Write};
use std::sync::mpsc::SyncSender;

use super::engine::Message;
use super::tty::Waker;

/// Prints above the line that is being edited; each write is printed as a whole.
#[derive(Clone, Debug)]
pub(super) struct Printer {
    messages: SyncSender<Message>,
    waker: Waker,
}

impl Printer {
    pub(super) fn new(messages: SyncSender<Message>, waker: Waker) -> Self {
        Self { messages, waker }
    }

    pub(super) fn send(&self, message: Message) -> io::Result<()> {
        // The waker comes second: the other thread reads the messages after it was woken.
        let sent = self.messages.send(message);
        self.waker.wake();
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Printer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.send(Message::Print(String::from_utf8_lossy(text).into_owned()))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

