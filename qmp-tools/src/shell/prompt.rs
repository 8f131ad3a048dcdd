//! The prompt: a line editor with a history, and a printer that prints above the line.
//!
//! rustyline has a printer as well, but while it is in use, keys that arrive together (pasted or
//! typed ahead) are not processed until another key is pressed. Instead, the editor reports what it
//! shows, and [`Printer`] clears that, prints, and redraws it.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Context, Editor, Helper};

use super::parse;
use super::types::Builtin;

const FIRST: &str = "(QEMU) ";
const NEXT: &str = "  ...  ";

/// Reads commands from a person.
pub struct Prompt {
    editor: Editor<Observer, DefaultHistory>,
    shown: Shared,
    history: Option<PathBuf>,
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prompt").field("history", &self.history).finish_non_exhaustive()
    }
}

/// The contents of the terminal while a line is being edited.
#[derive(Debug, Default)]
struct Shown {
    editing: bool,
    prompt: String,
    line: String,
    /// The position of the cursor in the line, in bytes.
    cursor: usize,
    columns: usize,
}

type Shared = Arc<Mutex<Shown>>;

fn lock(shown: &Shared) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Prompt {
    /// Creates a prompt that completes the names of these commands.
    ///
    /// # Errors
    /// Returns an error if the terminal cannot be used.
    pub fn new(commands: Vec<String>) -> Result<Self, ReadlineError> {
        // The observer is a highlighter, which rustyline only calls if colors are enabled.
        let config = Config::builder()
            .color_mode(ColorMode::Forced)
            .completion_type(rustyline::CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config)?;
        let shown = Shared::default();
        editor.set_helper(Some(Observer { shown: Arc::clone(&shown), commands }));
        let history = history_file();
        if let Some(history) = &history {
            // The file does not exist the first time.
            let _ = editor.load_history(history);
        }
        Ok(Self { editor, shown, history })
    }

    /// Returns a printer that prints above the line that is being edited.
    #[must_use]
    pub fn printer(&self) -> Printer {
        Printer { shown: Arc::clone(&self.shown) }
    }

    /// Reads the next command, from several lines if the first is incomplete. Returns `None` at the
    /// end of input.
    ///
    /// # Errors
    /// Returns an error if the terminal cannot be used.
    pub fn read(&mut self) -> Result<Option<String>, ReadlineError> {
        let mut command = String::new();
        loop {
            let prompt = if command.is_empty() { FIRST } else { NEXT };
            match self.line(prompt) {
                Ok(line) => command += &line,
                Err(ReadlineError::Interrupted) => {
                    command.clear();
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(error),
            }
            if parse(&command, &Builtin).is_err_and(|error| error.is_incomplete()) {
                command.push('\n');
                continue;
            }
            self.remember(&command)?;
            return Ok(Some(command));
        }
    }

    /// Appends a command to the history file right away, since the shell may be killed later.
    fn remember(&mut self, command: &str) -> Result<(), ReadlineError> {
        if command.trim().is_empty() || !self.editor.add_history_entry(command)? {
            return Ok(());
        }
        if let Some(history) = &self.history {
            self.editor.append_history(history)?;
        }
        Ok(())
    }

    fn line(&mut self, prompt: &str) -> Result<String, ReadlineError> {
        let columns = self.editor.dimensions().map_or(0, |(columns, _)| usize::from(columns));
        *lock(&self.shown) = Shown {
            // A terminal that cannot move its cursor is printed to directly.
            editing: columns > 0 && std::env::var("TERM").is_ok_and(|term| term != "dumb"),
            prompt: prompt.to_owned(),
            columns,
            ..Shown::default()
        };
        let line = self.editor.readline(prompt);
        lock(&self.shown).editing = false;
        line
    }
}

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state =
        state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    std::fs::create_dir_all(&state).ok()?;
    Some(state.join("qmp-shell-history"))
}

/// Prints above the line that is being edited; each write is printed as a whole.
#[derive(Clone, Debug)]
pub struct Printer {
    shown: Shared,
}

impl Write for Printer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let shown = lock(&self.shown);
        let mut output = io::stdout().lock();
        if shown.editing && output.is_terminal() {
            let (before, after) = (shown.clear(), shown.redraw());
            output.write_all(&[before.as_bytes(), text, after.as_bytes()].concat())?;
        } else {
            output.write_all(text)?;
        }
        output.flush()?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shown {
    /// Returns the escape sequence that clears the prompt and the line.
    fn clear(&self) -> String {
        let (row, _) = self.position(self.cursor);
        format!("{}\r\x1b[J", up(row))
    }

    /// Returns the text that shows the prompt and the line again, with the cursor where it was.
    fn redraw(&self) -> String {
        let (row, column) = self.position(self.cursor);
        let (last, end) = self.position(self.line.len());
        // In the last column, a terminal does not wrap until the next character is written.
        let wrap = if end == 0 && last > 0 { "\n" } else { "" };
        let right = if column > 0 { format!("\x1b[{column}C") } else { String::new() };
        format!("{}{}{wrap}{}\r{right}", self.prompt, self.line, up(last - row))
    }

    /// Returns the row and the column of a byte position in the line.
    fn position(&self, byte: usize) -> (usize, usize) {
        let before = self.line.get(..byte).unwrap_or(&self.line).chars().count();
        let cells = self.prompt.chars().count() + before;
        (cells / self.columns.max(1), cells % self.columns.max(1))
    }
}

fn up(rows: usize) -> String {
    if rows > 0 { format!("\x1b[{rows}A") } else { String::new() }
}

/// The editor's helper: records the line that is being edited, and completes command names.
struct Observer {
    shown: Shared,
    commands: Vec<String>,
}

impl Highlighter for Observer {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        prompt.clone_into(&mut lock(&self.shown).prompt);
        Cow::Borrowed(prompt)
    }

    fn highlight_char(&self, line: &str, cursor: usize, _: CmdKind) -> bool {
        let mut shown = lock(&self.shown);
        line.clone_into(&mut shown.line);
        shown.cursor = cursor;
        false
    }
}

impl Completer for Observer {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let prefix = line.get(..cursor).unwrap_or(line);
        let matching = self.commands.iter().filter(|name| name.starts_with(prefix));
        Ok((0, matching.map(|name| format!("{name} ")).collect()))
    }
}

impl Hinter for Observer {
    type Hint = String;
}

impl Validator for Observer {}

impl Helper for Observer {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, cursor: usize) -> Shown {
        let (prompt, line) = (String::from("> "), line.to_owned());
        Shown { editing: true, prompt, line, cursor, columns: 10 }
    }

    #[test]
    fn the_line_is_redrawn_unchanged() {
        for (line, cursor, clear, redraw) in [
            ("", 0, "\r\x1b[J", "> \r\x1b[2C"),
            ("abc", 1, "\r\x1b[J", "> abc\r\x1b[3C"),
            ("é", 2, "\r\x1b[J", "> é\r\x1b[3C"),
            ("0123456789", 10, "\x1b[1A\r\x1b[J", "> 0123456789\r\x1b[2C"),
            ("0123456789", 0, "\r\x1b[J", "> 0123456789\x1b[1A\r\x1b[2C"),
            ("01234567", 8, "\x1b[1A\r\x1b[J", "> 01234567\n\r"),
        ] {
            let shown = shown(line, cursor);
            assert_eq!(shown.clear(), clear, "{line} {cursor}");
            assert_eq!(shown.redraw(), redraw, "{line} {cursor}");
        }
    }
}
