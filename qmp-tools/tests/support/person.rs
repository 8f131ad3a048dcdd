//! A program at a terminal: the keyboard and the screen of the person who uses it.

#![allow(dead_code, unreachable_pub)] // no test file uses everything

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Action, LocalModes, Winsize, tcflow, tcgetattr, tcsetwinsize};

use super::support::{Directory, Process, SHELL};

const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Terminal {
    pub shell: Process,
    keyboard: File,
    bytes: Receiver<Vec<u8>>,
    emulated: vt100::Parser,
    /// Everything that was written, as it was.
    pub raw: Vec<u8>,
    pub state: Directory,
}

impl Terminal {
    /// Opens the shell at a terminal of 80 columns and 24 rows.
    pub fn open(arguments: &[&str]) -> Self {
        Self::open_with(arguments, |_| {})
    }

    pub fn open_with(arguments: &[&str], set_up: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(SHELL);
        command.args(arguments);
        Self::start(command, set_up)
    }

    pub fn start(mut command: Command, set_up: impl FnOnce(&mut Command)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, winsize(80, 24)).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let state = Directory::new();
        command
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env("PAGER", "cat")
            .env("XDG_STATE_HOME", state.path(""))
            .stdin(open())
            .stdout(open())
            .stderr(Stdio::from(open()));
        set_up(&mut command);
        let child = command.spawn().unwrap();
        let keyboard = File::from(master);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let emulated = vt100::Parser::new(24, 80, 1000);
        Self { shell: Process(child), keyboard, bytes, emulated, raw: Vec::new(), state }
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Makes the terminal this large, as a person does with the window's edge.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.emulated.set_size(rows, columns);
        tcsetwinsize(&self.keyboard, winsize(columns, rows)).unwrap();
    }

    /// Returns the rows that are shown, without blanks at the ends.
    pub fn rows(&self) -> Vec<String> {
        let (_, columns) = self.emulated.screen().size();
        let rows = self.emulated.screen().rows(0, columns);
        let mut rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }

    /// Returns the rows as one text.
    pub fn text(&self) -> String {
        self.rows().join("\n")
    }

    /// Returns the row with the cursor, and the column of the cursor.
    pub fn line(&self) -> (String, u16) {
        let (row, column) = self.emulated.screen().cursor_position();
        (self.rows().get(usize::from(row)).cloned().unwrap_or_default(), column)
    }

    pub fn screen(&self) -> &vt100::Screen {
        self.emulated.screen()
    }

    /// Waits until the terminal looks like this.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut looks: impl FnMut(&Self) -> bool) {
        self.until_within(TIMEOUT, what, &mut looks);
    }

    #[track_caller]
    pub fn until_within(
        &mut self,
        within: Duration,
        what: &str,
        looks: &mut dyn FnMut(&Self) -> bool,
    ) {
        let until = Instant::now() + within;
        while !looks(self) {
            let left = until.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => {
                    self.raw.extend(&bytes);
                    self.emulated.process(&bytes);
                }
                Err(error) => panic!("{what:?} ({error}):\n{}\n{:?}", self.text(), self.line()),
            }
        }
    }

    /// Returns whether the terminal looks like this before the time is over.
    pub fn soon(&mut self, within: Duration, looks: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + within;
        while !looks(self) && Instant::now() < until {
            self.pause(Duration::from_millis(20));
        }
        looks(self)
    }

    /// Waits until a text is shown.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        self.until(text, |terminal| terminal.text().contains(text));
    }

    /// Waits until the row with the cursor is this one.
    #[track_caller]
    pub fn expect_line(&mut self, line: &str) {
        self.until(line, |terminal| terminal.line().0 == line);
    }

    /// Waits until an empty prompt is shown.
    #[track_caller]
    pub fn expect_prompt(&mut self) {
        self.until("an empty prompt", |terminal| terminal.line() == ("(QEMU)".to_owned(), 7));
    }

    /// Reads what is written meanwhile.
    pub fn pause(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => {
                    self.raw.extend(&bytes);
                    self.emulated.process(&bytes);
                }
                Err(RecvTimeoutError::Timeout) => return,
                // The program has ended.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Makes the terminal take no output, and the program wait that writes to it.
    pub fn stop_output(&self) {
        let name = ptsname(&self.keyboard, Vec::new()).unwrap();
        // It must not become the terminal of this process.
        let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let device = File::options().write(true).custom_flags(flags).open(name.to_str().unwrap());
        tcflow(device.unwrap(), Action::OOff).unwrap();
    }

    /// Returns the mode of the terminal.
    pub fn mode(&self) -> LocalModes {
        tcgetattr(&self.keyboard).unwrap().local_modes
    }

    /// Waits until the program has exited, and returns its status.
    pub fn exit(&mut self) -> i32 {
        let until = Instant::now() + TIMEOUT;
        loop {
            // The terminal has room for little: who reads nothing stops the program.
            self.pause(Duration::from_millis(10));
            if let Some(status) = self.shell.0.try_wait().unwrap() {
                self.pause(Duration::from_millis(50));
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "still running:\n{}", self.text());
        }
    }
}

fn winsize(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
