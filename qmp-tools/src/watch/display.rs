//! The terminal, while it shows the machines.

use std::io;

use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
#[cfg(unix)]
use ratatui::crossterm::terminal::enable_raw_mode;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, size,
};
use ratatui::layout::Rect;
use ratatui::{DefaultTerminal, TerminalOptions, Viewport};

#[cfg(unix)]
use super::Signals;
use super::state::Screen;
use super::view;
#[cfg(unix)]
use crate::ending::{allow_from_background, is_in_background, suspend};

/// A terminal that this program has taken over.
#[derive(Debug)]
pub(super) struct Display {
    terminal: DefaultTerminal,
    /// Whether the terminal has been given back: another job may show a screen of its own by now.
    is_given_back: bool,
}

impl Display {
    /// Takes over the terminal.
    pub(super) fn open() -> io::Result<Self> {
        // A part of it may have been done.
        let terminal = take_over().inspect_err(|_| drop(restore()))?;
        Ok(Self { terminal, is_given_back: false })
    }

    /// Gives the terminal back.
    pub(super) fn close(self) -> io::Result<()> {
        let restored = if self.is_given_back { Ok(()) } else { restore() };
        // Dropping it would panic if neither the cursor can be shown nor that be reported.
        std::mem::forget(self.terminal);
        restored
    }

    /// Adapts to the size of the terminal, and returns whether it has changed.
    pub(super) fn resize(&mut self) -> io::Result<bool> {
        let is_new = self.terminal.get_frame().area() != area();
        if is_new {
            self.terminal.resize(area())?;
        }
        Ok(is_new)
    }

    pub(super) fn draw(&mut self, screen: &Screen) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(frame, screen)).map(drop)
    }

    /// Gives the terminal to the shell that started this program, until that continues it. Returns `false`
    /// if a signal closes the screen meanwhile.
    #[cfg(unix)]
    pub(super) fn suspend(&mut self, signals: &Signals) -> io::Result<bool> {
        restore()?;
        self.is_given_back = true;
        suspend();
        self.take_back(signals)
    }

    /// Takes over the terminal again. Returns `false` if a signal closes the screen before.
    #[cfg(unix)]
    pub(super) fn take_back(&mut self, signals: &Signals) -> io::Result<bool> {
        if !signals.wait_for_foreground() {
            return Ok(false);
        }
        self.is_given_back = false;
        // Crossterm changes the mode only if it has not changed it already.
        disable_raw_mode()?;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.terminal.clear()?;
        Ok(true)
    }
}

fn take_over() -> io::Result<DefaultTerminal> {
    let viewport = Viewport::Fixed(area());
    let terminal = ratatui::try_init_with_options(TerminalOptions { viewport })?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    Ok(terminal)
}

/// Returns the area of the terminal. What a terminal does not know, such as a serial line, is taken to be 80
/// columns and 24 rows. Memory is needed for each cell, so that the area is limited.
fn area() -> Rect {
    let (columns, rows) = size().unwrap_or_default();
    let known = |cells, usual| if cells == 0 { usual } else { cells };
    Rect::new(0, 0, known(columns, 80).min(1000), known(rows, 24).min(500))
}

/// Gives the terminal back.
fn restore() -> io::Result<()> {
    // If a signal ended this program in the background, the mode is that of another job by now.
    #[cfg(unix)]
    let (is_ours, _allowed) = (!is_in_background(), allow_from_background());
    #[cfg(not(unix))]
    let is_ours = true;
    let mode = if is_ours { disable_raw_mode() } else { Ok(()) };
    mode.and(execute!(io::stdout(), Show, LeaveAlternateScreen))
}
