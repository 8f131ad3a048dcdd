//! The keys of a person, and changes of the terminal's size.

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

/// Starts a thread that reads what arrives from the terminal, up to a key that [ends](is_end) the view: what
/// is typed after that is for the next program. Only keys that arrive together with it are lost.
///
/// Crossterm's reader does not return in the middle of an escape sequence, or once the terminal has
/// hung up, whatever its timeout is: nothing else may wait for it.
pub(super) fn read() -> io::Result<Receiver<io::Result<Event>>> {
    let (sender, events) = sync_channel(1);
    let read = move || {
        loop {
            let event = event::read();
            let is_last = event.as_ref().map_or(true, is_end);
            if sender.send(event).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new().name("qmp-keyboard".to_owned()).spawn(read)?;
    Ok(events)
}

/// Returns whether a person closes the view.
pub(super) fn is_end(event: &Event) -> bool {
    is_control(event, 'c')
        || matches!(event, Event::Key(key) if key.kind != KeyEventKind::Release
            && matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

/// Returns whether a person stops the program, to continue it later.
#[cfg(unix)]
pub(super) fn is_stop(event: &Event) -> bool {
    is_control(event, 'z')
}

fn is_control(event: &Event, character: char) -> bool {
    matches!(event, Event::Key(key) if key.kind != KeyEventKind::Release
        && key.modifiers.contains(KeyModifiers::CONTROL)
        && key.code == KeyCode::Char(character))
}
