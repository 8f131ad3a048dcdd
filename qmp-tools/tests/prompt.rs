//! `qmp-shell` at a terminal.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)] // tests

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use support::{Directory, Process, SHELL};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A shell at a terminal, with the keyboard and the screen of the person who uses it.
struct Terminal {
    shell: Process,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    state: Directory,
}

impl Terminal {
    fn open(arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 40, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let state = Directory::new();
        let child = Command::new(SHELL)
            .args(arguments)
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", state.path(""))
            .stdin(open())
            .stdout(open())
            .stderr(Stdio::from(open()))
            .spawn()
            .unwrap();
        let keyboard = File::from(master);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { shell: Process(child), keyboard, screen: receiver, seen: String::new(), state }
    }

    fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the text appears on the screen, and discards everything up to its end.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let until = Instant::now() + TIMEOUT;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("{text:?} does not appear: {:?}", self.seen),
            }
        }
    }
}

/// Keys that arrive together, and before the prompt reads them, are all processed.
#[test]
fn keys_typed_ahead_are_not_lost() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect("simulated machine");
    terminal.expect("(QEMU) ");
    terminal.type_keys("query-status\rstop\rquery-status\r");
    terminal.expect("\"running\": true");
    terminal.expect("STOP");
    terminal.expect("\"running\": false");
    terminal.expect("(QEMU) ");
    // An incomplete line is shown immediately.
    terminal.type_keys("query-nam");
    terminal.expect("query-nam");
    terminal.type_keys("e\r");
    terminal.expect("\"name\": \"");
    terminal.expect("(QEMU) ");
    // Ctrl-C discards the line, and Ctrl-D exits.
    terminal.type_keys("nonsense\x03");
    terminal.expect("(QEMU) ");
    terminal.type_keys("\x04");
    assert!(terminal.shell.0.wait().unwrap().success());

    let history = std::fs::read_to_string(terminal.state.path("qmp-shell-history")).unwrap();
    assert!(history.ends_with("query-status\nstop\nquery-status\nquery-name\n"), "{history}");
}

#[test]
fn lines_continue_and_names_are_completed() {
    let mut terminal = Terminal::open(&[]);
    terminal.expect("(QEMU) ");
    terminal.type_keys("{\"execute\":\r");
    terminal.expect("  ...  ");
    terminal.type_keys("\"query-status\"}\r");
    terminal.expect("\"running\": true");
    terminal.expect("(QEMU) ");
    terminal.type_keys("query-ver\t\r");
    terminal.expect("query-version ");
    terminal.expect("\"qemu\": {");
    terminal.expect("(QEMU) ");
    terminal.type_keys("quit\r");
    terminal.expect("The connection was closed.");
    assert!(terminal.shell.0.wait().unwrap().success());
}

/// An event is shown as soon as it arrives, and the line that is being edited is kept.
#[test]
fn events_are_printed_above_the_line() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut terminal = Terminal::open(&[&path]);
    let (stream, _) = listener.accept().unwrap();
    let mut server = stream.try_clone().unwrap();
    std::thread::spawn(move || answer(stream));
    terminal.expect("QEMU 10.0.2");
    terminal.expect("(QEMU) ");
    terminal.type_keys("half a comm");
    terminal.expect("half a comm");
    let time = r#"{"seconds": 1, "microseconds": 2}"#;
    writeln!(server, r#"{{"timestamp": {time}, "event": "POWERDOWN"}}"#).unwrap();
    terminal.expect("POWERDOWN");
    terminal.expect("(QEMU) half a comm");
    server.shutdown(std::net::Shutdown::Both).unwrap();
    terminal.expect("The connection was closed.");
    terminal.type_keys("\r");
    assert!(terminal.shell.0.wait().unwrap().success());
}

/// Serves a machine without commands.
fn answer(stream: UnixStream) {
    let mut output = stream.try_clone().unwrap();
    let version = r#"{"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": ""}"#;
    writeln!(output, r#"{{"QMP": {{"version": {version}, "capabilities": []}}}}"#).unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let command: serde_json::Value = serde_json::from_str(&line).unwrap();
        let empty = if command["execute"] == "query-commands" { "[]" } else { "{}" };
        let _ = writeln!(output, r#"{{"return": {empty}, "id": {}}}"#, command["id"]);
    }
}
