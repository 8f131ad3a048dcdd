//! Requests: commands as types, by their name, and out-of-band.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)] // tests

mod client;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use qmp_protocol::{Deadline, EncodedRequest, Error, Kind, Misuse, OutOfBand, Raw, Request};
use qmp_types::{AllowOob, Command, Empty};
use serde_core::{Serialize, Serializer};
use serde_json::json;

use client::{Client, drain, ready, take_output};

/// A command with arguments, which takes long.
struct Screendump(&'static str);

impl Command for Screendump {
    const NAME: &'static str = "screendump";
    type Return = Empty;
}

impl AllowOob for Screendump {}

impl Serialize for Screendump {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BTreeMap::from([("filename", self.0)]).serialize(serializer)
    }
}

/// A command without arguments and without an answer, which has no effect.
struct Silent;

impl Command for Silent {
    const NAME: &'static str = "silent";
    const HAS_ARGUMENTS: bool = false;
    const SUCCESS_RESPONSE: bool = false;
    const READ_ONLY: bool = true;
    type Return = Empty;
}

impl AllowOob for Silent {}

impl Serialize for Silent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

/// Submits a request, and returns the line that is sent.
fn line(client: &mut Client, request: &impl Request) -> String {
    let encoded = EncodedRequest::new(request).unwrap();
    assert_eq!(*encoded.name(), request.name());
    encoded.submit(client, None, Vec::new()).unwrap();
    take_output(client)
}

#[test]
fn a_request_is_sent_as_it_says() {
    let client = &mut ready();
    let arguments = "\"arguments\":{\"filename\":\"x\"}";
    let raw = || Raw::<Empty>::new("screendump").arguments(&json!({"filename": "x"}));
    let bare = Raw::<Empty>::new("silent");
    for (line, sent) in [
        (
            line(client, &Screendump("x")),
            format!("\"execute\":\"screendump\",{arguments},\"id\":1"),
        ),
        (line(client, &raw()), format!("\"execute\":\"screendump\",{arguments},\"id\":2")),
        (line(client, &Silent), "\"execute\":\"silent\",\"id\":3".to_owned()),
        (line(client, &bare), "\"execute\":\"silent\",\"id\":4".to_owned()),
        (
            line(client, &OutOfBand(Screendump("x"))),
            format!("\"exec-oob\":\"screendump\",{arguments},\"id\":5"),
        ),
        (
            line(client, &raw().out_of_band()),
            format!("\"exec-oob\":\"screendump\",{arguments},\"id\":6"),
        ),
        (line(client, &OutOfBand(Silent)), "\"exec-oob\":\"silent\",\"id\":7".to_owned()),
    ] {
        assert_eq!(line, format!("{{{sent}}}\n"));
    }
}

/// A driver acts on what is known about a command, whether it is executed in-band or not.
#[test]
fn a_request_tells_what_is_known_about_the_command() {
    fn told(request: &impl Request) -> (Kind, bool, bool, bool, Duration) {
        let deadline = request.recommended_deadline();
        let (has_arguments, is_read_only) = (request.has_arguments(), request.is_read_only());
        (request.kind(), request.success_response(), is_read_only, has_arguments, deadline)
    }
    let (minute, long) = (Duration::from_secs(60), Duration::from_secs(600));
    let (in_band, oob) = (Kind::InBand, Kind::OutOfBand);
    assert_eq!(told(&Screendump("x")), (in_band, true, false, true, long));
    assert_eq!(told(&OutOfBand(Screendump("x"))), (oob, true, false, true, long));
    assert_eq!(told(&Silent), (in_band, false, true, false, minute));
    assert_eq!(told(&OutOfBand(Silent)), (oob, false, true, false, minute));
    // Nothing is known about a command by its name alone, but for the time that it takes.
    let raw = Raw::<Empty>::new("screendump");
    assert_eq!(told(&raw), (in_band, true, false, false, long));
    assert_eq!(told(&raw.arguments(&json!({}))), (in_band, true, false, true, long));
    assert_eq!(told(&Raw::<Empty>::new("silent").out_of_band()), (oob, true, false, false, minute));
}

/// A request that was encoded before it was submitted is answered as any other.
#[test]
fn silence_answers_an_encoded_request() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let run = |request: EncodedRequest| {
        let mut client = ready();
        request.submit(&mut client, Deadline::after(now, second), Vec::new()).unwrap();
        take_output(&mut client);
        client.expire(now + second);
        drain(&mut client)
    };
    assert_eq!(run(EncodedRequest::new(&Silent).unwrap()), ["1 {}"]);
    let failed = run(EncodedRequest::new(&Screendump("x")).unwrap());
    assert!(failed.len() == 1 && failed[0].contains("timed out after 1 s"), "{failed:?}");
}

/// The error of arguments that cannot be written arises before anything is sent.
#[test]
fn arguments_that_are_not_json_are_the_callers_mistake() {
    let map = BTreeMap::from([((1, 2), "a name must be text")]);
    let raw = Raw::<Empty>::new("stop").arguments(&map);
    match EncodedRequest::new(&raw).unwrap_err() {
        Error::Misuse(Misuse::Arguments { command, error: Some(error) }) => {
            assert_eq!((&*command, &*error.to_string()), ("stop", "key must be a string"));
        }
        error => panic!("{error:?}"),
    }
    // Arguments that are JSON, but not an object, are found out when they are submitted.
    let encoded = EncodedRequest::new(&Raw::<Empty>::new("stop").arguments(&[1])).unwrap();
    let mut client = ready();
    let error = encoded.submit(&mut client, None, Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::Arguments { error: None, .. })), "{error:?}");
    assert!(client.output().is_empty());
}
