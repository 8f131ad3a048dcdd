//! How machines end.

use std::time::Instant;

use qmp_client::Options;
use qmp_client::qmp::types::ShutdownCause::{self, GuestShutdown, HostQmpQuit, HostSignal};
use qmp_server::Simulator;
use qmp_vm::{EndedBy, ShutDown, Workflows};
use serde_json::json;

use crate::peer::Peer;
use crate::{PATIENCE, SOON, connect, connect_blocking, one_thread, play, play_blocking};

/// Says what `query-status` asks.
fn is(peer: &mut Peer, status: &str) {
    let id = peer.expect("query-status");
    peer.succeed(&id, json!({"status": status, "running": status == "running"}));
}

fn obeys(peer: &mut Peer, command: &str) {
    let id = peer.expect(command);
    peer.succeed(&id, json!({}));
}

fn ends(peer: &mut Peer, by_guest: bool, reason: &str) {
    let data = json!({"guest": by_guest, "reason": reason});
    peer.send(&json!({"event": "SHUTDOWN", "data": data}).to_string());
}

/// Is told to quit, says so, and ends.
fn quits(peer: &mut Peer) {
    obeys(peer, "quit");
    ends(peer, false, "host-qmp-quit");
    peer.hang_up();
}

/// A script on the server's side, how patient the client is, who has ended it and with what reason.
type Ending = (fn(&mut Peer), bool, EndedBy, Option<ShutdownCause>);

const ENDINGS: [Ending; 13] = [
    (
        |peer| {
            is(peer, "running");
            obeys(peer, "system_powerdown");
            ends(peer, true, "guest-shutdown");
            // With `-no-shutdown`, QEMU is still there.
            quits(peer);
        },
        true,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // The event comes before the reply, and then QEMU is gone.
    (
        |peer| {
            is(peer, "running");
            let id = peer.expect("system_powerdown");
            ends(peer, true, "guest-shutdown");
            peer.succeed(&id, json!({}));
            peer.hang_up();
        },
        true,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // A guest that is paused hears nothing.
    (
        |peer| {
            is(peer, "paused");
            obeys(peer, "cont");
            obeys(peer, "system_powerdown");
            ends(peer, true, "guest-shutdown");
            quits(peer);
        },
        true,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // Nor does one that sleeps, whom `cont` does not wake.
    (
        |peer| {
            is(peer, "suspended");
            obeys(peer, "system_wakeup");
            obeys(peer, "system_powerdown");
            ends(peer, true, "guest-shutdown");
            quits(peer);
        },
        true,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // One that cannot be resumed cannot be asked.
    (
        |peer| {
            is(peer, "paused");
            let id = peer.expect("cont");
            let error = json!({"class": "GenericError", "desc": "no"});
            peer.send(&json!({"error": error, "id": id}).to_string());
            quits(peer);
        },
        true,
        EndedBy::Quit,
        Some(HostQmpQuit),
    ),
    // It is off already.
    (
        |peer| {
            is(peer, "shutdown");
            quits(peer);
        },
        true,
        EndedBy::Guest,
        None,
    ),
    // Somebody else is faster.
    (
        |peer| {
            is(peer, "running");
            obeys(peer, "system_powerdown");
            ends(peer, false, "host-qmp-quit");
            peer.hang_up();
        },
        true,
        EndedBy::Other,
        Some(HostQmpQuit),
    ),
    // QEMU ends without a word, while the guest is waited for and while it is asked.
    (
        |peer| {
            is(peer, "running");
            obeys(peer, "system_powerdown");
            peer.hang_up();
        },
        true,
        EndedBy::Other,
        None,
    ),
    (
        |peer| {
            peer.expect("query-status");
            peer.hang_up();
        },
        true,
        EndedBy::Other,
        None,
    ),
    // The guest does not care. What has shut down earlier is not the answer.
    (
        |peer| {
            ends(peer, true, "guest-shutdown");
            is(peer, "running");
            obeys(peer, "system_powerdown");
            quits(peer);
        },
        false,
        EndedBy::Quit,
        Some(HostQmpQuit),
    ),
    // It does, a moment too late.
    (
        |peer| {
            is(peer, "running");
            obeys(peer, "system_powerdown");
            peer.expect("quit");
            ends(peer, true, "guest-shutdown");
            peer.hang_up();
        },
        false,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // `quit` is not answered; and a signal comes first.
    (
        |peer| {
            is(peer, "prelaunch");
            peer.expect("quit");
            peer.hang_up();
        },
        true,
        EndedBy::Quit,
        None,
    ),
    (
        |peer| {
            is(peer, "guest-panicked");
            peer.expect("quit");
            ends(peer, false, "host-signal");
            peer.hang_up();
        },
        true,
        EndedBy::Other,
        Some(HostSignal),
    ),
];

#[test]
fn who_has_ended_it_and_why() {
    for (number, (script, patient, by, reason)) in ENDINGS.into_iter().enumerate() {
        let patience = if patient { PATIENCE } else { SOON };
        let check = |how: ShutDown| {
            assert_eq!((how.by, &how.reason), (by, &reason), "script {number}");
            assert_eq!(how.by_guest(), by == EndedBy::Guest);
        };
        let begin = Instant::now();
        play(script, async |client| check(client.shut_down(patience).await.unwrap()));
        play_blocking(script, |client| check(client.shut_down(patience).unwrap()));
        // Nothing was waited for that cannot come.
        assert!(begin.elapsed() < PATIENCE, "script {number}");
    }
}

/// Nobody can react in these states: the power button is not pressed, nothing is waited for.
#[test]
fn a_guest_that_is_not_there_is_not_asked() {
    for state in [
        "prelaunch",
        "inmigrate",
        "postmigrate",
        "finish-migrate",
        "internal-error",
        "guest-panicked",
        "watchdog",
        "save-vm",
        "restore-vm",
    ] {
        let script = |peer: &mut Peer| {
            is(peer, state);
            quits(peer);
        };
        play(script, async |client| {
            let how = client.shut_down(PATIENCE).await.unwrap();
            assert_eq!(how.by, EndedBy::Quit, "{state}");
        });
        play_blocking(script, |client| {
            assert_eq!(client.shut_down(PATIENCE).unwrap().by, EndedBy::Quit, "{state}");
        });
    }
}

/// Whatever has stopped it, it can go on; one in a state that is newer than this client may run.
#[test]
fn a_guest_that_is_stopped_goes_on_to_shut_down() {
    for (state, is_resumed) in
        [("paused", true), ("io-error", true), ("debug", true), ("colo", false), ("newer", false)]
    {
        let script = |peer: &mut Peer| {
            is(peer, state);
            if is_resumed {
                obeys(peer, "cont");
            }
            obeys(peer, "system_powerdown");
            ends(peer, true, "guest-shutdown");
            quits(peer);
        };
        play(script, async |client| {
            assert!(client.shut_down(PATIENCE).await.unwrap().by_guest(), "{state}");
        });
        play_blocking(script, |client| {
            assert!(client.shut_down(PATIENCE).unwrap().by_guest(), "{state}");
        });
    }
}

/// All that comes before the event takes of the same patience, and `quit` has as much again.
#[test]
fn a_machine_that_hangs_is_not_waited_for_much_longer() {
    for answers in 0..3 {
        let script = move |peer: &mut Peer| {
            let names = ["query-status", "cont", "system_powerdown"];
            for name in names.into_iter().take(answers) {
                let id = peer.expect(name);
                peer.succeed(&id, json!({"status": "paused", "running": false}));
            }
        };
        let begin = Instant::now();
        play(script, async |client| {
            assert!(client.shut_down(SOON).await.unwrap_err().is_timeout());
        });
        play_blocking(script, |client| {
            assert!(client.shut_down(SOON).unwrap_err().is_timeout());
        });
        let least = 4 * SOON;
        assert!((least..least + PATIENCE / 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    }
}

/// A guest that reacts to its power button, and one that does not.
#[test]
fn a_simulated_machine_is_shut_down() {
    for (obeys, stays, by) in
        [(true, false, EndedBy::Guest), (true, true, EndedBy::Guest), (false, false, EndedBy::Quit)]
    {
        let machine = || {
            Simulator::builder().guest_obeys_powerdown(obeys).stays_after_shutdown(stays).build()
        };
        let patience = if obeys { PATIENCE } else { SOON };
        let reason = if obeys { GuestShutdown } else { HostQmpQuit };

        let simulator = machine();
        let stream = simulator.connect().unwrap();
        one_thread().block_on(async {
            let client = connect(stream, &Options::new()).await;
            let how = client.shut_down(patience).await.unwrap();
            assert_eq!((how.by, how.reason.as_ref()), (by, Some(&reason)));
            assert!(client.ended().is_some());
        });
        let simulator = machine();
        let client = connect_blocking(simulator.connect().unwrap(), &Options::new());
        client.execute(qmp_client::qmp::commands::Stop::new()).unwrap();
        let how = client.shut_down(patience).unwrap();
        assert_eq!((how.by, how.reason), (by, Some(reason)));
        assert!(client.ended().is_some());
    }
}
