//! A monitor that tests script, and a client that sees every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use qmp_vm::proxy::{Access, Proxy, ProxyOptions};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 50, "minor": 1, "major": 9}, "package": "v9-\u00e9"}, "capabilities": ["oob", "later"]}}"#;

/// The monitor's side of the connection to the proxy. The test reads commands and writes what it
/// wants.
pub(crate) struct Monitor {
    lines: Receiver<String>,
    stream: UnixStream,
}

impl Monitor {
    /// Starts a proxy on a monitor.
    pub(crate) fn with_proxy(options: ProxyOptions) -> (Self, Proxy) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reader = ours.try_clone().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || read(reader, &sender));
        let monitor = Self { lines, stream: ours };
        let proxy = options.over(theirs).unwrap();
        (monitor, proxy)
    }

    pub(crate) fn new() -> (Self, Proxy) {
        Self::with_proxy(ProxyOptions::new())
    }

    /// Returns the next command.
    pub(crate) fn command(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// Returns whether no command arrives for a moment.
    pub(crate) fn is_quiet(&self) -> bool {
        self.lines.recv_timeout(Duration::from_millis(50)).is_err()
    }

    pub(crate) fn send(&self, line: &str) {
        (&self.stream).write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    /// Answers the command with a value.
    pub(crate) fn answer(&self, command: &str, value: &str) {
        self.send(&format!(r#"{{"return": {value}, "id": {}}}"#, id(command)));
    }

    pub(crate) fn close(&self) {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

/// Greets, negotiates, and passes on all further lines.
fn read(stream: UnixStream, lines: &Sender<String>) {
    (&stream).write_all(format!("{GREETING}\r\n").as_bytes()).unwrap();
    let mut is_negotiated = false;
    for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
        if is_negotiated {
            let _ = lines.send(line);
        } else {
            assert!(line.contains("qmp_capabilities") && line.contains("oob"), "{line}");
            let reply = format!("{{\"return\": {{}}, \"id\": {}}}\r\n", id(&line));
            (&stream).write_all(reply.as_bytes()).unwrap();
            is_negotiated = true;
        }
    }
}

/// Returns the id of a command of the proxy.
pub(crate) fn id(command: &str) -> &str {
    command.rsplit_once(r#""id":"#).unwrap().1.strip_suffix('}').unwrap()
}

/// A client without any cleverness.
pub(crate) struct Raw {
    pub(crate) stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Raw {
    /// Creates a client of an open connection, and reads the greeting.
    pub(crate) fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let mut this = Self { stream, reader };
        let greeting = this.line();
        assert!(greeting.starts_with(r#"{"QMP": {"version": "#), "{greeting}");
        this
    }

    /// Connects to a proxy, and negotiates.
    pub(crate) fn connect(proxy: &Proxy, access: Access) -> Self {
        let mut this = Self::over(proxy.connect(access).unwrap());
        this.send(r#"{"execute": "qmp_capabilities"}"#);
        assert_eq!(this.line(), r#"{"return": {}}"#);
        this
    }

    /// Connects to a proxy, and enables out-of-band execution.
    pub(crate) fn with_oob(proxy: &Proxy) -> Self {
        let mut this = Self::over(proxy.connect(Access::new()).unwrap());
        this.send(r#"{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}"#);
        assert_eq!(this.line(), r#"{"return": {}}"#);
        this
    }

    pub(crate) fn send(&self, text: &str) {
        (&self.stream).write_all(text.as_bytes()).unwrap();
    }

    /// Returns the next line, without its end; empty at the end of the connection.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.line()
    }

    /// Returns whether nothing arrives for a moment.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let is_quiet = self.reader.buffer().is_empty() && self.reader.read(&mut [0]).is_err();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        is_quiet
    }
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
