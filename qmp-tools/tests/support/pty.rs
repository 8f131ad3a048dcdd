//! A program at a terminal, as the person sees it who uses it.

#![allow(dead_code, unreachable_pub)] // no file uses everything

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{self, LocalModes, Winsize, tcsetwinsize};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A program, its keyboard and its screen.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
    /// The device that the program has.
    path: PathBuf,
    reader: Option<JoinHandle<()>>,
    hung_up: Arc<AtomicBool>,
}

impl Terminal {
    pub fn open(program: &str, arguments: &[&str], rows: u16, columns: u16) -> Self {
        Self::open_as(program, arguments, (rows, columns), (rows, columns))
    }

    /// Opens a terminal that states another number of rows and columns than it has.
    pub fn open_as(
        program: &str,
        arguments: &[&str],
        stated: (u16, u16),
        (rows, columns): (u16, u16),
    ) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        // A program that has the master of its own terminal would never see it hang up.
        #[cfg(target_os = "linux")]
        let flags = flags | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, size(stated.0, stated.1)).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let open = || Stdio::from(open_device(&path));
        let child = Command::new(program)
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        let keyboard = File::from(master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let (output, parser) = (keyboard.try_clone().unwrap(), screen.clone());
        let hung_up = Arc::new(AtomicBool::new(false));
        let ends = hung_up.clone();
        let reader = Some(std::thread::spawn(move || read(output, &parser, &ends)));
        Self { child, keyboard, screen, path, reader, hung_up }
    }

    /// Closes the terminal, as the end of a connection or of a window does.
    pub fn hang_up(&mut self) {
        self.hung_up.store(true, Ordering::Relaxed);
        self.reader.take().unwrap().join().unwrap();
        self.keyboard = File::open("/dev/null").unwrap();
    }

    /// Makes the terminal take no output, and the program wait that writes to it.
    pub fn stop_output(&self) {
        termios::tcflow(open_device(&self.path), termios::Action::OOff).unwrap();
    }

    pub fn mode(&self) -> LocalModes {
        termios::tcgetattr(&self.keyboard).unwrap().local_modes
    }

    /// Returns a line that was typed and that no program has read.
    pub fn typed(&self) -> String {
        let device = open_device(&self.path);
        let within = Timespec { tv_sec: 5, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&device, PollFlags::IN)], Some(&within)), Ok(1));
        let mut bytes = [0; 100];
        let length = (&device).read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    pub fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Changes the size of the terminal. The program is told as the kernel tells the foreground
    /// process, which it is not here.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.screen.lock().unwrap().set_size(rows, columns);
        tcsetwinsize(&self.keyboard, size(rows, columns)).unwrap();
        self.signal(Signal::WINCH);
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub fn with_screen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.screen.lock().unwrap().screen())
    }

    pub fn contents(&self) -> String {
        self.with_screen(vt100::Screen::contents)
    }

    /// Waits until the screen satisfies a condition.
    #[track_caller]
    pub fn wait_for(&self, what: &str, condition: impl Fn(&vt100::Screen) -> bool) {
        let until = Instant::now() + TIMEOUT;
        while !self.with_screen(&condition) {
            assert!(Instant::now() < until, "{what}: {}", self.contents());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        self.wait_for(text, |screen| screen.contents().contains(text));
    }

    /// Waits until the program has ended, and returns its exit status.
    #[track_caller]
    pub fn end(&mut self) -> Option<i32> {
        self.end_within(TIMEOUT).code()
    }

    #[track_caller]
    pub fn end_within(&mut self, within: Duration) -> ExitStatus {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the program does not end: {}", self.contents());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Opens a terminal, which does not become that of this process.
fn open_device(path: &PathBuf) -> File {
    let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
    File::options().read(true).write(true).custom_flags(flags).open(path).unwrap()
}

/// Shows what the program writes, until it ends or the terminal hangs up.
fn read(mut output: File, screen: &Mutex<vt100::Parser>, hung_up: &AtomicBool) {
    let within = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let mut bytes = [0; 4096];
    while !hung_up.load(Ordering::Relaxed) {
        if poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&within)).unwrap_or(0) == 0 {
            continue;
        }
        let Ok(length @ 1..) = output.read(&mut bytes) else { return };
        screen.lock().unwrap().process(&bytes[..length]);
    }
}
