//! Every error is fit for a terminal and for a log: one short line, whatever a peer wrote.

#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use qmp_client::protocol::{
    CallId, Connection, Error as Protocol, Incoming, Printable, Settings, Submission,
};
use qmp_client::{
    Address, Closed, End, Error, ErrorClass, Garbage, LaunchError, Misuse, ProtocolError, QmpError,
    ServerError, Service, Timeout, TransportError, WaitedFor,
};

/// Terminal escapes, 8-bit and invisible characters, and line breaks.
fn hostile() -> String {
    "\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\r\n\0x".repeat(2000)
}

fn check(what: &str, shown: &str) {
    assert!(shown.len() <= 1024, "{what}: {} bytes", shown.len());
    let escapes = |c: char| c.is_control() || "\u{202e}\u{200b}".contains(c);
    assert!(!shown.contains(escapes), "{what}: {shown:?}");
}

/// `Debug` is a sentence, too, with the causes.
fn check_debug(error: &(dyn StdError + 'static)) {
    let shown = format!("{error:?}");
    assert!(shown.len() <= 2048, "{} bytes", shown.len());
    let escapes = |c: char| c.is_control() || "\u{202e}\u{200b}".contains(c);
    assert!(!shown.contains(escapes) && !shown.contains("{ "), "{shown}");
    // Whatever is cut off, something of each cause is shown.
    let causes = std::iter::successors(error.source(), |&error| error.source());
    for cause in causes.map(ToString::to_string) {
        let start: String = Printable(&cause).to_string().chars().take(40).collect();
        assert!(shown.contains(&format!(": {start}")), "{shown:?} lacks {start}");
    }
    assert!(shown.ends_with(')'), "{shown}");
}

fn check_error(error: &(dyn StdError + 'static)) {
    check_debug(error);
    let mut next = Some(error);
    while let Some(error) = next {
        // An error of the operating system is shown by the layer above.
        if !error.is::<io::Error>() {
            check(&name(error), &error.to_string());
        }
        next = error.source();
    }
}

/// Returns the beginning of an error, as `Debug` shows it.
fn name(error: &dyn StdError) -> String {
    format!("{error:?}").chars().take(60).collect()
}

fn io_error() -> io::Error {
    io::Error::other(hostile())
}

/// Returns garbage, as a connection reports it.
fn garbage() -> Garbage {
    let mut connection = Connection::new(Settings::default(), None);
    let mut input = connection.new_input();
    input.push(hostile().replace(['\n', '\r'], "").as_bytes());
    input.push(b"\n");
    while let Some(incoming) = connection.next(&mut input) {
        if let Incoming::Garbage(garbage) = incoming {
            return garbage;
        }
    }
    unreachable!("no garbage")
}

/// Returns the errors of a call whose reply does not decode.
fn mismatch() -> Error {
    let text = serde_json::to_string(&hostile()).unwrap();
    let value = serde_json::value::RawValue::from_string(text).unwrap();
    let error = qmp_client::protocol::decode_reply::<u8>(|| hostile().into(), &value).unwrap_err();
    error.into()
}

fn call() -> CallId {
    let mut connection = Connection::new(Settings::default(), None);
    connection.submit(Submission::new("x")).unwrap()
}

#[test]
fn every_error_is_printable_and_short() {
    let server = || QmpError::new(hostile().parse::<ErrorClass>().unwrap(), hostile());
    let ends = || {
        vec![
            End::Eof,
            End::Truncated(garbage()),
            End::Transport(io_error()),
            End::Protocol(ProtocolError::NotQmp(garbage())),
            End::Handshake(
                Timeout::new(WaitedFor::Greeting, Duration::MAX).because(Some(garbage())),
            ),
            End::Negotiation(server()),
            End::Local,
            End::NoDriver,
            End::Transcript,
        ]
    };
    let waits = [
        WaitedFor::Connection(hostile().into()),
        WaitedFor::Greeting,
        WaitedFor::Agent,
        WaitedFor::Reply(hostile().into()),
        WaitedFor::Event { name: Some("STOP"), command: Some(hostile().into()) },
        WaitedFor::State(hostile().into()),
    ];
    let command = || hostile().into();
    let garbage = || Arc::new(garbage());
    let violations = [
        ProtocolError::HumanMonitor { banner: hostile().into() },
        ProtocolError::NotAgent((*garbage()).clone()),
        ProtocolError::OtherService { service: Service::Vnc, garbage: (*garbage()).clone() },
        ProtocolError::TooLarge { limit: usize::MAX },
        ProtocolError::TooDeep { command: command(), depth: usize::MAX, limit: usize::MAX },
        ProtocolError::NotReceived { command: command(), limit: usize::MAX },
        ProtocolError::BadReply { command: command(), garbage: garbage() },
        ProtocolError::LostReply { command: command(), garbage: garbage() },
    ];
    let misuses = [
        Misuse::Arguments { command: command(), error: None },
        Misuse::OobNotEnabled { command: command() },
        Misuse::NoDescriptors { command: command() },
        Misuse::TooManyDescriptors { command: command() },
        Misuse::NoSuchKey { character: '\u{9b}' },
    ];
    let late = || Timeout::new(WaitedFor::State(hostile().into()), Duration::MAX);
    let mut errors: Vec<Error> = vec![
        ServerError::new(command(), server()).into(),
        mismatch(),
        TransportError::new(hostile(), io_error()).into(),
        late().because(Some(io_error())).into(),
        Error::Lagged(u64::MAX),
        LaunchError::not_started(hostile(), io_error()).into(),
        LaunchError::exited(hostile(), None, hostile()).into(),
        LaunchError::not_ready(hostile(), hostile(), late()).into(),
        hostile()
            .parse::<Address>()
            .map(|address| {
                TransportError::new(format!("cannot connect to {address}"), io_error()).into()
            })
            .unwrap_or_else(Error::from),
        format!("tcp:{}", hostile()).parse::<Address>().unwrap_err().into(),
    ];
    errors
        .extend(ends().into_iter().map(|end| Closed::new(Some(command()), &Arc::new(end)).into()));
    errors.extend(waits.into_iter().map(|wait| Timeout::new(wait, Duration::MAX).into()));
    errors.extend(violations.into_iter().map(Error::from));
    errors.extend(misuses.into_iter().map(Error::from));
    for error in &errors {
        check_error(error);
        check(&name(error), &error.report());
    }
    // None of them lost its root cause.
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    let error: Error = TransportError::new(hostile(), refused).into();
    assert!(error.report().ends_with("connection refused"), "{}", error.report());
    let shown = format!("{error:?}");
    assert!(shown.starts_with("TransportError("), "{shown}");
    assert!(shown.ends_with(": connection refused)"), "{shown}");
    // Nor what decides what to do next.
    let gone = QmpError::new(ErrorClass::DeviceNotFound, "Device 'x' not found");
    let error: Error = ServerError::new("device_del".into(), gone).into();
    let shown = "ServerError(device_del failed: Device 'x' not found (DeviceNotFound))";
    assert_eq!(format!("{error:?}"), shown);
    let late = Timeout::new(WaitedFor::Reply("stop".into()), Duration::from_secs(2));
    assert!(late.sent && format!("{late:?}").contains(" (sent)"), "{late:?}");
    // The errors of the protocol alone.
    let protocol = Protocol::from(ServerError::new(command(), server()));
    check_error(&protocol);
    check("id", &call().to_string());
}
