//! Each way in which a scripted server can misbehave, against both clients.

#![cfg(all(feature = "blocking", feature = "qmp", feature = "tokio", unix))]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

use std::time::Duration;

use qmp_client::transport::Unix;
use qmp_client::{Error, Options, Raw, blocking};
use qmp_server::script::{Expecting, Script};
use serde_json::{Value, json};

/// Longer than anything that succeeds takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A short wait for something that does not happen.
const SOON: Duration = Duration::from_millis(60);

/// The result of a call, or of connecting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Success,
    Refused,
    Timeout,
    /// The connection ended.
    Closed,
    /// The server does not speak the protocol.
    Protocol,
}

use Outcome::{Closed, Protocol, Refused, Success, Timeout};

/// A script, and what a client sees of it: how connecting ends, then each `query-status`.
struct Case {
    name: &'static str,
    script: Script,
    connects: Outcome,
    calls: &'static [Outcome],
}

fn case(name: &'static str, script: Script, calls: &'static [Outcome]) -> Case {
    Case { name, script, connects: Success, calls }
}

fn status(script: Script) -> Expecting<Value> {
    script.expect_raw("query-status").arguments(json!({}))
}

fn running(script: Script) -> Script {
    status(script).returns_raw(json!({"running": true, "status": "running"}))
}

fn expect() -> Expecting<Value> {
    status(Script::new())
}

fn cases() -> Vec<Case> {
    let value = || json!({"running": true, "status": "running"});
    let error = qmp_client::QmpError::generic("not now");
    vec![
        case("well-behaved", running(Script::new()), &[Success]),
        case("an error", running(expect().fails(error)), &[Refused, Success]),
        case("late", running(expect().after(SOON).returns_raw(value())), &[Success; 2]),
        case("never", running(expect().never()), &[Timeout, Success]),
        case(
            "after another command",
            running(
                status(expect().never())
                    .returns_raw(value())
                    .answer("query-status")
                    .returns_raw(value()),
            ),
            &[Timeout, Success, Success],
        ),
        case("twice", running(expect().twice().returns_raw(value())), &[Success; 2]),
        case(
            "half, and the rest never",
            running(expect().half().returns_raw(value()).send("\r\n")),
            &[Timeout, Success],
        ),
        case(
            "closed in the middle of a message",
            expect().half().returns_raw(value()).close(),
            &[Closed, Closed],
        ),
        case("closed instead of an answer", expect().never().close(), &[Closed, Closed]),
        case(
            "garbage before the answer",
            running(expect().sends("qemu: warning\r\n").returns_raw(value())),
            &[Success; 2],
        ),
        case(
            "garbage instead of the answer",
            running(expect().sends("{]\r\n\0\u{7f}\r\n").never()),
            &[Timeout, Success],
        ),
        case(
            "a wrong id",
            running(expect().with_id("unknown").returns_raw(value())),
            &[Timeout, Success],
        ),
        case(
            "without an id",
            running(expect().without_id().returns_raw(value())),
            &[Timeout, Success],
        ),
        case(
            "events in between",
            running(
                expect()
                    .emits(&qmp_client::qmp::events::Stop::new())
                    .sends("{\"timestamp\": null, \"event\": 7}\r\n")
                    .returns_raw(value())
                    .event_raw("NEW_IN_A_LATER_RELEASE", Some(json!([1]))),
            ),
            &[Success; 2],
        ),
        case("one byte at a time", running(running(Script::new())).bytewise(), &[Success; 2]),
        Case {
            name: "without a greeting",
            script: Script::bare().pause(SOON * 40),
            connects: Timeout,
            calls: &[],
        },
        Case {
            name: "closed before the greeting",
            script: Script::bare().close(),
            connects: Closed,
            calls: &[],
        },
        Case {
            name: "another protocol",
            script: Script::bare().send("220 mail.example.org ESMTP\r\n"),
            connects: Protocol,
            calls: &[],
        },
        Case {
            name: "half a greeting",
            script: Script::bare().send("{\"QMP\": {\"vers").close(),
            connects: Protocol,
            calls: &[],
        },
        Case {
            name: "negotiation without an answer",
            script: Script::bare().greet().expect_raw("qmp_capabilities").never(),
            connects: Timeout,
            calls: &[],
        },
        Case {
            name: "negotiation refused",
            script: Script::bare()
                .greet()
                .expect_raw("qmp_capabilities")
                .fails(qmp_client::QmpError::generic("no")),
            connects: Refused,
            calls: &[],
        },
    ]
}

fn outcome<T>(result: &Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Success,
        Err(error) if error.is_timeout() => Timeout,
        Err(error) if error.is_closed() => Closed,
        Err(error) if error.server().is_some() => Refused,
        Err(Error::Protocol(_)) => Protocol,
        Err(error) => panic!("unexpected error: {error:?}"),
    }
}

fn options(case: &Case) -> Options {
    // The command of the negotiation is to arrive by then.
    let within = if case.connects == Timeout { SOON * 10 } else { PATIENCE };
    Options::new().greeting_within(within)
}

fn within(expected: Outcome) -> Duration {
    if expected == Timeout { SOON } else { PATIENCE }
}

#[test]
fn the_blocking_client_survives_each_misbehavior() {
    for case in cases() {
        let options = options(&case);
        let server = case.script.start();
        let stream = Unix::from_stream(server.connect().unwrap()).unwrap();
        let client = blocking::Client::over(stream, &options);
        assert_eq!(outcome(&client), case.connects, "{}: {client:?}", case.name);
        for (number, expected) in case.calls.iter().enumerate() {
            let call = client.as_ref().unwrap().call(Raw::<Value>::new("query-status"));
            let reply = call.within(within(*expected)).execute();
            assert_eq!(outcome(&reply), *expected, "{}, call {number}: {reply:?}", case.name);
        }
        drop(client);
        server.finish().unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}

#[tokio::test]
async fn the_client_on_tokio_survives_each_misbehavior() {
    for case in cases() {
        let options = options(&case);
        let server = case.script.start();
        let stream = server.connect().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::UnixStream::from_std(stream).unwrap();
        let (connecting, driver) = qmp_client::tokio::over(stream, &options);
        let driver = tokio::spawn(driver);
        let client = connecting.await;
        assert_eq!(outcome(&client), case.connects, "{}: {client:?}", case.name);
        for (number, expected) in case.calls.iter().enumerate() {
            let call = client.as_ref().unwrap().call(Raw::<Value>::new("query-status"));
            let reply = call.within(within(*expected)).execute().await;
            assert_eq!(outcome(&reply), *expected, "{}, call {number}: {reply:?}", case.name);
        }
        drop(client);
        drop(driver.await);
        let finished = tokio::task::spawn_blocking(|| server.finish()).await.unwrap();
        finished.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}
