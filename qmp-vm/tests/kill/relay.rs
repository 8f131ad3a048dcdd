//! Counts the messages between a program and its servers, and stops them at a chosen one.

use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::vm::PATIENCE;

/// A point of a program's run: the messages of all its connections, in both directions, are numbered
/// from one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Point {
    /// After the end: nothing is stopped.
    End,
    /// The message has arrived here and is not passed on, as if it had not been sent.
    Before(usize),
    /// The message has just been passed on.
    After(usize),
}

impl Point {
    /// Returns all points of a run with this number of messages.
    pub fn all(messages: usize) -> impl Iterator<Item = Self> {
        (1..=messages).flat_map(|number| [Self::Before(number), Self::After(number)])
    }
}

/// Counts messages, and closes at a point.
pub struct Gate {
    point: Point,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    passed: usize,
    closed: bool,
    last: String,
}

impl Gate {
    pub fn new(point: Point) -> Arc<Self> {
        Arc::new(Self { point, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Passes a message on, unless the gate is closed.
    fn pass(&self, line: &[u8], forward: impl FnOnce()) {
        let mut state = self.state.lock().unwrap();
        if state.closed {
            return;
        }
        let number = state.passed + 1;
        state.last = String::from_utf8_lossy(line).chars().take(100).collect();
        state.closed = self.point == Point::Before(number);
        if !state.closed {
            forward();
            state.passed = number;
            state.closed = self.point == Point::After(number);
        }
        if state.closed {
            self.changed.notify_all();
        }
    }

    /// Waits until the gate is closed, for a moment; returns whether it is.
    pub fn is_closed_soon(&self) -> bool {
        let state = self.state.lock().unwrap();
        let pause = Duration::from_millis(5);
        self.changed.wait_timeout_while(state, pause, |state| !state.closed).unwrap().0.closed
    }

    /// Returns the number of messages that were passed on, and the beginning of the last one.
    pub fn passed(&self) -> (usize, String) {
        let state = self.state.lock().unwrap();
        (state.passed, state.last.clone())
    }
}

/// A socket at which a program reaches a server through a gate.
pub struct Relay {
    path: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens at a path. If `outlives`, the server is sent what another process sends on the
    /// connection after the program has ended: the gate is for the program.
    pub fn listen(path: &str, server: &str, outlives: bool, gate: &Arc<Gate>) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (server, gate, stopped) = (server.to_owned(), gate.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut pumps = Vec::new();
            while let Ok((client, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let Some(server) = connect(&server, &stopped) else { break };
                pumps.extend(pump(client, server, outlives, &gate));
            }
            for pump in pumps {
                pump.join().unwrap();
            }
        });
        Self { path: path.to_owned(), stop, thread: Some(thread) }
    }
}

/// Waits until every connection has ended, which is when the last process that has it ends.
impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(UnixStream::connect(&self.path));
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been reported.
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Connects to a server, which may be starting.
fn connect(path: &str, stopped: &AtomicBool) -> Option<UnixStream> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE && !stopped.load(Ordering::Relaxed) {
        if let Ok(stream) = UnixStream::connect(path) {
            return Some(stream);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Starts the threads of a connection, one a direction.
fn pump(
    client: UnixStream,
    server: UnixStream,
    outlives: bool,
    gate: &Arc<Gate>,
) -> [JoinHandle<()>; 2] {
    let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (up, down) = (gate.clone(), gate.clone());
    let sending = std::thread::spawn(move || {
        messages(&client, |line, descriptors| {
            let stopped = up.state.lock().unwrap().closed;
            let forward = || send(&server, line, descriptors);
            if outlives && stopped { forward() } else { up.pass(line, forward) }
        });
        // As when the program itself had been connected.
        let _ = server.shutdown(Shutdown::Both);
    });
    let receiving = std::thread::spawn(move || {
        messages(&from_server, |line, descriptors| {
            down.pass(line, || send(&to_client, line, descriptors));
        });
        let _ = to_client.shutdown(Shutdown::Both);
    });
    [sending, receiving]
}

/// Reads messages, each a line, and the descriptors that travel with them.
fn messages(stream: &UnixStream, mut each: impl FnMut(&[u8], &[OwnedFd])) {
    let (mut pending, mut descriptors) = (Vec::new(), Vec::new());
    let mut bytes = [0; 16 << 10];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(stream, &mut slices, &mut control, flags) {
            Ok(received) if received.bytes > 0 => received.bytes,
            Err(rustix::io::Errno::INTR) => continue,
            _ => return,
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        pending.extend_from_slice(&bytes[..received]);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            // The system delivers nothing that was sent after them in the same call.
            let is_last = !pending.contains(&b'\n');
            let own = if is_last { std::mem::take(&mut descriptors) } else { Vec::new() };
            each(&line, &own);
        }
    }
}

/// Sends a message. The peer may have ended.
fn send(stream: &UnixStream, line: &[u8], descriptors: &[OwnedFd]) {
    let mut rest = line;
    if !descriptors.is_empty() {
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
        let slices = [IoSlice::new(rest)];
        match sendmsg(stream, &slices, &mut control, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(_) => return,
        }
    }
    let _ = (&*stream).write_all(rest);
}
