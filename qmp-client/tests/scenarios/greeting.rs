//! Greetings and negotiations.

use std::time::{Duration, Instant};

use qmp_client::{Error, Options, ProtocolError, Service, WaitedFor};
use serde_json::json;

use super::peer::{EVENT, GREETING};
use super::{Front, PATIENCE, SOON, expect_running, play, status};

pub fn event_before_greeting<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new(),
        |peer| {
            peer.send(EVENT);
            peer.greet();
            peer.status();
            peer.status();
        },
        |client| {
            let mut client = client.unwrap();
            expect_running(&mut client);
            expect_running(&mut client);
            assert_eq!(&*client.event(PATIENCE).unwrap().name, "STOP");
        },
    );
}

pub fn event_before_negotiation_reply<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new(),
        |peer| {
            peer.send(GREETING);
            let id = peer.expect("qmp_capabilities");
            peer.send(EVENT);
            peer.succeed(&id, json!({}));
            peer.status();
            peer.status();
        },
        |client| {
            let mut client = client.unwrap();
            assert_eq!(&*client.event(PATIENCE).unwrap().name, "STOP");
            expect_running(&mut client);
            expect_running(&mut client);
        },
    );
}

pub fn silence_before_greeting<F: Front>(drip: bool) {
    let begin = Instant::now();
    play::<F>(
        drip,
        &Options::new().greeting_within(SOON),
        |_| {},
        |client| match client.err().unwrap() {
            Error::Timeout(timeout) => assert_eq!(timeout.waited_for, WaitedFor::Greeting),
            error => panic!("{error:?}"),
        },
    );
    assert!((SOON..PATIENCE).contains(&begin.elapsed()));
}

pub fn silence_after_greeting<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new().greeting_within(SOON * 25),
        |peer| peer.send(GREETING),
        |client| {
            let error = client.err().unwrap();
            assert!(error.is_timeout(), "{error:?}");
            assert_eq!(error.command(), Some("qmp_capabilities"));
        },
    );
}

pub fn human_monitor<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new(),
        |peer| {
            peer.send_bytes(b"QEMU 7.2.0 monitor - type 'help' for more information\r\n(qemu) ");
        },
        |client| {
            let error = client.err().unwrap();
            let Error::Protocol(protocol) = &error else { panic!("{error:?}") };
            assert!(matches!(**protocol, ProtocolError::HumanMonitor { .. }), "{error:?}");
            assert!(error.to_string().contains("-qmp unix:PATH"), "{error}");
        },
    );
}

/// A server that speaks first is recognized, also by a line that never ends. An NBD server's greeting
/// has no line feed: it was waited for until the deadline.
pub fn another_protocol<F: Front>(drip: bool) {
    for (hangs_up, text, service) in [
        (false, "SSH-2.0-OpenSSH_9.2p1\r\n", Some(Service::Ssh)),
        (false, "RFB 003.008\n", Some(Service::Vnc)),
        (true, "RFB 003", Some(Service::Vnc)),
        (false, "NBDMAGICIHAVEOPT\0\x03", Some(Service::Nbd)),
        (false, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", Some(Service::Http)),
        (false, "\r\ndebian login: ", Some(Service::SerialConsole)),
        (false, "220 mail.example.org ESMTP\r\n", None),
    ] {
        play::<F>(
            drip,
            &Options::new(),
            |peer| {
                peer.send_bytes(text.as_bytes());
                if hangs_up {
                    peer.hang_up();
                }
            },
            |client| {
                let error = client.err().unwrap();
                let Error::Protocol(protocol) = &error else { panic!("{error:?}") };
                let recognized = match &**protocol {
                    ProtocolError::OtherService { service, .. } => Some(*service),
                    ProtocolError::NotQmp(_) => None,
                    other => panic!("{other:?}"),
                };
                assert_eq!(recognized, service, "{error:?}");
                let sent = &text.trim_start()[..4];
                assert!(error.report().contains(sent), "{}", error.report());
            },
        );
    }
}

/// A QEMU with `-qmp telnet:HOST:PORT` offers telnet's options before it greets.
pub fn telnet<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new(),
        |peer| {
            peer.send_bytes(b"\xFF\xFB\x01\xFF\xFB\x03\xFF\xFB\x00\xFF\xFD\x00");
            peer.send(GREETING);
            let id = peer.expect("qmp_capabilities");
            peer.send(&json!({"return": {}, "id": id}).to_string());
        },
        |client| drop(client.unwrap()),
    );
}

pub fn negotiation_refused<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new(),
        |peer| {
            peer.send(GREETING);
            let id = peer.expect("qmp_capabilities");
            let error = json!({"class": "GenericError", "desc": "not today"});
            peer.send(&json!({"error": error, "id": id}).to_string());
        },
        |client| {
            let error = client.err().unwrap();
            assert_eq!(error.command(), Some("qmp_capabilities"));
            assert_eq!(error.server().unwrap().desc, "not today");
        },
    );
}

pub fn end_before_greeting<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new(),
        |peer| peer.hang_up(),
        |client| assert!(client.err().unwrap().is_closed()),
    );
}

/// With `pretty=on`, QEMU writes every message on several lines.
pub fn pretty_printed<F: Front>(drip: bool) {
    let pretty = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n")
    };
    play::<F>(
        drip,
        &Options::new(),
        |peer| {
            peer.send(&pretty(GREETING));
            let id = peer.expect("qmp_capabilities");
            peer.send(&pretty(&json!({"return": {}, "id": id}).to_string()));
            for _ in 0..2 {
                let id = peer.expect("query-status");
                peer.send(&pretty(EVENT));
                let reply = json!({"return": {"status": "running"}, "id": id});
                peer.send(&pretty(&reply.to_string()));
            }
        },
        |client| {
            let mut client = client.unwrap();
            expect_running(&mut client);
            expect_running(&mut client);
            assert_eq!(&*client.event(PATIENCE).unwrap().name, "STOP");
        },
    );
}

/// Several messages arrive at once, without line ends.
pub fn two_objects_on_a_line<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new(),
        |peer| {
            peer.send_bytes(format!("{EVENT}{GREETING}{EVENT}").as_bytes());
            let id = peer.expect("qmp_capabilities");
            peer.send_bytes(format!("{{\"return\":{{}},\"id\":{id}}}{EVENT}").as_bytes());
            for _ in 0..2 {
                let id = peer.expect("query-status");
                let reply = json!({"return": {"status": "running"}, "id": id});
                peer.send_bytes(format!("{EVENT} {reply}{EVENT}").as_bytes());
            }
        },
        |client| {
            let mut client = client.unwrap();
            expect_running(&mut client);
            expect_running(&mut client);
            for _ in 0..7 {
                assert_eq!(&*client.event(PATIENCE).unwrap().name, "STOP");
            }
            assert!(client.event(Duration::ZERO).unwrap_err().is_timeout());
        },
    );
}

/// A version is information, and never refuses a connection.
pub fn greetings_of_other_makes<F: Front>(drip: bool) {
    for greeting in [
        r#"{"version": {"StratoVirt": {"major": 2, "minor": 4, "micro": 0}, "package": "StratoVirt-2.4.0"}, "capabilities": []}"#,
        r#"{"version": {"qemu": {"micro": 0, "minor": 1, "major": 8}, "package": null}, "capabilities": []}"#,
        r#"{"version": {"qemu": {"micro": "0", "minor": "1", "major": "8"}, "package": ""}, "capabilities": []}"#,
        r#"{"version": {}}"#,
        r#"{"capabilities": null}"#,
        "{}",
        "null",
        "[1, {}]",
    ] {
        play::<F>(
            drip,
            &Options::new(),
            |peer| {
                peer.send(&format!(r#"{{"QMP": {greeting}}}"#));
                let id = peer.expect("qmp_capabilities");
                peer.succeed(&id, json!({}));
                peer.status();
            },
            |client| expect_running(&mut client.unwrap()),
        );
    }
}

/// QEMU answers what an earlier client has left half written with an error without an id.
pub fn an_error_for_an_earlier_client<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new(),
        |peer| {
            peer.send(GREETING);
            let id = peer.expect("qmp_capabilities");
            let error = json!({"class": "GenericError", "desc": "JSON parse error, stray '}'"});
            peer.send(&json!({"error": error}).to_string());
            peer.succeed(&id, json!({}));
            // The client asks whether the server returns ids.
            let probe = peer.command();
            let error = json!({"class": "CommandNotFound", "desc": "no"});
            peer.send(&json!({"error": error, "id": probe["id"]}).to_string());
            peer.status();
        },
        |client| {
            let mut client = client.unwrap();
            expect_running(&mut client);
            assert_eq!(client.dropped().foreign_replies, 0);
        },
    );
}

/// Such a server works one command at a time.
pub fn a_server_without_ids<F: Front>(drip: bool) {
    play::<F>(
        drip,
        &Options::new(),
        |peer| {
            peer.send(GREETING);
            peer.expect("qmp_capabilities");
            peer.send(r#"{"return": {}}"#);
            peer.command();
            peer.send(r#"{"error": {"class": "CommandNotFound", "desc": "no such command"}}"#);
            for number in 0..3 {
                peer.expect("query-status");
                peer.send(&json!({"return": number}).to_string());
            }
        },
        |client| {
            let replies = client.unwrap().execute_all(vec![status(), status(), status()]);
            let replies: Vec<_> = replies.into_iter().map(Result::unwrap).collect();
            assert_eq!(replies, [0, 1, 2]);
        },
    );
}
