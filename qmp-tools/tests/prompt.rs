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

const PATIENCE: Duration = Duration::from_secs(30);

/// A shell at a terminal, and a person before it.
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

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is on the screen, and forgets everything up to it.
    #[track_caller]
    fn see(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("{text:?} does not come: {:?}", self.seen),
            }
        }
    }
}

/// Keys that arrive together, and before they are asked for, are all there.
#[test]
fn what_is_typed_ahead_is_not_lost() {
    let mut terminal = Terminal::open(&[]);
    terminal.see("simulated machine");
    terminal.see("(QEMU) ");
    terminal.press("query-status\rstop\rquery-status\r");
    terminal.see("\"running\": true");
    terminal.see("\"STOP\"");
    terminal.see("\"running\": false");
    terminal.see("(QEMU) ");
    // Half a line shows at once.
    terminal.press("query-nam");
    terminal.see("query-nam");
    terminal.press("e\r");
    terminal.see("\"name\": \"");
    terminal.see("(QEMU) ");
    // Ctrl-C forgets the line, and Ctrl-D leaves.
    terminal.press("nonsense\x03");
    terminal.see("(QEMU) ");
    terminal.press("\x04");
    assert!(terminal.shell.0.wait().unwrap().success());

    let history = std::fs::read_to_string(terminal.state.path("qmp-shell-history")).unwrap();
    assert!(history.ends_with("query-status\nstop\nquery-status\nquery-name\n"), "{history}");
}

#[test]
fn lines_go_on_and_names_are_completed() {
    let mut terminal = Terminal::open(&[]);
    terminal.see("(QEMU) ");
    terminal.press("{\"execute\":\r");
    terminal.see("  ...  ");
    terminal.press("\"query-status\"}\r");
    terminal.see("\"running\": true");
    terminal.see("(QEMU) ");
    terminal.press("query-ver\t\r");
    terminal.see("query-version ");
    terminal.see("\"qemu\": {");
    terminal.see("(QEMU) ");
    terminal.press("quit\r");
    terminal.see("The connection has ended.");
    assert!(terminal.shell.0.wait().unwrap().success());
}

/// An event is shown when it comes, and what is being typed stays.
#[test]
fn events_come_above_the_line() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut terminal = Terminal::open(&[&path]);
    let (stream, _) = listener.accept().unwrap();
    let mut server = stream.try_clone().unwrap();
    std::thread::spawn(move || answer(stream));
    terminal.see("QEMU 10.0.2");
    terminal.see("(QEMU) ");
    terminal.press("half a comm");
    terminal.see("half a comm");
    let time = r#"{"seconds": 1, "microseconds": 2}"#;
    writeln!(server, r#"{{"timestamp": {time}, "event": "POWERDOWN"}}"#).unwrap();
    terminal.see("\"event\": \"POWERDOWN\"");
    terminal.see("(QEMU) half a comm");
    server.shutdown(std::net::Shutdown::Both).unwrap();
    terminal.see("The connection has ended.");
    terminal.press("\r");
    assert!(terminal.shell.0.wait().unwrap().success());
}

/// A server that knows no commands.
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
