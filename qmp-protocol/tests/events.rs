//! Events that a consumer keeps, and decodes later.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // tests

use std::collections::BTreeMap;

use qmp_protocol::{Error, RawEvent, Subject};
use qmp_types::{DecodeError, Event, Timestamp, Vocabulary};
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An event whose data has one member, `offset`.
#[derive(Debug, PartialEq)]
struct RtcChange(i64);

impl Event for RtcChange {
    const NAME: &'static str = "RTC_CHANGE";
}

impl<'de> Deserialize<'de> for RtcChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = BTreeMap::<String, i64>::deserialize(deserializer)?;
        members.remove("offset").map(Self).ok_or_else(|| serde_core::de::Error::custom("no offset"))
    }
}

impl Serialize for RtcChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BTreeMap::from([("offset", self.0)]).serialize(serializer)
    }
}

/// An event without data.
#[derive(Debug, PartialEq)]
struct Stop;

impl Event for Stop {
    const NAME: &'static str = "STOP";
}

impl<'de> Deserialize<'de> for Stop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, i64>::deserialize(deserializer).map(|_| Self)
    }
}

impl Serialize for Stop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BTreeMap::<String, i64>::new().serialize(serializer)
    }
}

#[derive(Debug, PartialEq)]
enum AnyEvent {
    Stop(Stop),
    RtcChange(RtcChange),
    Other(String),
}

impl Vocabulary for AnyEvent {
    const EVENTS: &'static [&'static str] = &["RTC_CHANGE", "STOP"];

    fn name(&self) -> &str {
        match self {
            Self::Stop(_) => Stop::NAME,
            Self::RtcChange(_) => RtcChange::NAME,
            Self::Other(name) => name,
        }
    }

    fn decode(name: &str, data: Option<&RawValue>) -> Result<Self, DecodeError> {
        let data = data.map_or("{}", RawValue::get);
        match name {
            "STOP" => qmp_types::decode(data).map(Self::Stop),
            "RTC_CHANGE" => qmp_types::decode(data).map(Self::RtcChange),
            _ => Ok(Self::Other(name.to_owned())),
        }
    }
}

fn event(name: &str, data: Option<&str>) -> RawEvent {
    let data = data.map(|text| RawValue::from_string(text.to_owned()).unwrap());
    RawEvent::new(name.into(), data.as_deref(), Timestamp::now())
}

/// A consumer of all events decodes those that it knows, and passes over the others.
#[test]
fn an_event_is_decoded_as_what_its_name_says() {
    let change = event("RTC_CHANGE", Some(r#"{"offset": 78}"#));
    assert!(change.is::<RtcChange>() && !change.is::<Stop>());
    assert_eq!(change.decode::<RtcChange>().unwrap(), Some(RtcChange(78)));
    assert_eq!(change.decode::<Stop>().unwrap(), None);
    assert_eq!(change.decode_any::<AnyEvent>().unwrap(), AnyEvent::RtcChange(RtcChange(78)));

    let stop = event("STOP", None);
    assert!(stop.is::<Stop>() && !stop.is::<RtcChange>());
    assert_eq!(stop.decode::<Stop>().unwrap(), Some(Stop));
    assert_eq!(stop.decode_any::<AnyEvent>().unwrap(), AnyEvent::Stop(Stop));

    let unknown = event("NEW_IN_QEMU_12", Some(r#"{"x": 1}"#));
    assert_eq!(unknown.decode::<Stop>().unwrap(), None);
    assert_eq!(
        unknown.decode_any::<AnyEvent>().unwrap(),
        AnyEvent::Other("NEW_IN_QEMU_12".to_owned())
    );
}

/// Data of another form is the error of the event that has it.
#[test]
fn data_that_does_not_fit_names_the_event() {
    let change = event("RTC_CHANGE", Some(r#"{"offset": "late"}"#));
    for error in
        [change.decode::<RtcChange>().unwrap_err(), change.decode_any::<AnyEvent>().unwrap_err()]
    {
        let Error::Decode(mismatch) = error else { panic!("{error}") };
        assert_eq!(mismatch.subject, Subject::Event("RTC_CHANGE".into()));
    }
    assert_eq!(change.decode::<Stop>().unwrap(), None);
}

/// A consumer that keeps events counts their bytes: the text of an event, and not its time.
#[test]
fn the_size_of_an_event_is_that_of_its_text() {
    assert_eq!(event("STOP", None).size(), 4);
    assert_eq!(event("STOP", Some("{}")).size(), 4 + 2);
    assert_eq!(event("RTC_CHANGE", Some(r#"{"offset": 78}"#)).size(), 10 + 14);
}
