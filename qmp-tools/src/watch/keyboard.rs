//! The keys of a person, and changes of the terminal's size.

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};

use ratatui::crossterm::event::{self, Event};

/// Starts a thread that reads what arrives from the terminal.
///
/// Crossterm's reader does not return in the middle of an escape sequence, or once the terminal has
/// hung up, whatever its timeout is: nothing else may wait for it.
pub(super) fn read() -> io::Result<Receiver<io::Result<Event>>> {
    // Keys that are typed faster than they are obeyed wait in the terminal.
    let (sender, events) = sync_channel(1);
    let read = move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if sender.send(event).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new().name("qmp-keyboard".to_owned()).spawn(read)?;
    Ok(events)
}
