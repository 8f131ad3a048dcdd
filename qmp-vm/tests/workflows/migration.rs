//! Migrations.

use qmp_client::qmp::commands::{Migrate, MigrateContinue};
use qmp_client::qmp::types::{MigrationInfo, MigrationStatus, RunState};
use qmp_client::{Error, WaitedFor};
use qmp_vm::{MigrationOutcome, Workflows};
use serde_json::json;

use crate::peer::Peer;
use crate::{PATIENCE, SOON, play, play_blocking};

fn begins(peer: &mut Peer) {
    for command in ["migrate-set-capabilities", "migrate"] {
        let id = peer.expect(command);
        peer.succeed(&id, json!({}));
    }
}

fn is(peer: &mut Peer, command: &str, status: &str) {
    let id = peer.expect(command);
    peer.succeed(&id, json!({"status": status, "running": status == "running"}));
}

fn migrate() -> Migrate {
    Migrate::new().uri("exec:cat")
}

/// Events trigger queries, and queries are also made without events. When the migration has ended,
/// the run state may still be transient.
#[test]
fn a_migration_is_followed() {
    let script = |peer: &mut Peer| {
        begins(peer);
        for status in ["setup", "active", "completed"] {
            is(peer, "query-migrate", status);
            if status == "setup" {
                peer.send(r#"{"event": "MIGRATION", "data": {"status": "active"}}"#);
            }
        }
        for status in ["finish-migrate", "finish-migrate", "postmigrate"] {
            is(peer, "query-status", status);
        }
        is(peer, "query-status", "postmigrate");
    };
    let check = |info: MigrationInfo, seen: Vec<String>| {
        assert_eq!(info.status, Some(MigrationStatus::Completed));
        assert_eq!(seen, ["setup", "active", "completed"]);
    };
    let mut seen = Vec::new();
    let see = |info: &MigrationInfo| info.status.clone().unwrap().to_string();
    play(script, async |client| {
        let followed = client.migrate(migrate(), PATIENCE, |info| seen.push(see(info)));
        check(followed.await.unwrap().into_result().unwrap(), std::mem::take(&mut seen));
        assert_eq!(client.settle(PATIENCE).await.unwrap(), RunState::Postmigrate);
    });
    play_blocking(script, |client| {
        let info = client
            .migrate(migrate(), PATIENCE, |info| seen.push(see(info)))
            .unwrap()
            .into_result()
            .unwrap();
        check(info, seen);
        assert_eq!(client.settle(PATIENCE).unwrap(), RunState::Postmigrate);
    });
}

/// Other clients can cancel a migration. It is cancelled when its last state says so.
#[test]
fn a_migration_that_is_cancelled() {
    let script = |peer: &mut Peer| {
        begins(peer);
        is(peer, "query-migrate", "active");
        changes(peer, "cancelling");
        is(peer, "query-migrate", "cancelling");
        changes(peer, "cancelled");
        is(peer, "query-migrate", "cancelled");
        is(peer, "query-status", "running");
    };
    let check = |outcome: MigrationOutcome| {
        assert!(matches!(outcome, MigrationOutcome::Cancelled(_)), "{outcome:?}");
        let error = outcome.into_result().unwrap_err();
        assert_eq!(error.to_string(), "the migration was cancelled");
        assert_eq!(format!("{error:?}"), format!("MigrationError({error})"));
    };
    play(script, async |client| {
        check(client.migrate(migrate(), PATIENCE, |_| {}).await.unwrap());
    });
    play_blocking(script, |client| check(client.migrate(migrate(), PATIENCE, |_| {}).unwrap()));
}

/// The outcome is not lost if QEMU ends before its run state has settled.
#[test]
fn a_source_that_ends_after_its_migration() {
    let script = |peer: &mut Peer| {
        begins(peer);
        is(peer, "query-migrate", "completed");
        peer.expect("query-status");
        peer.hang_up();
    };
    play(script, async |client| {
        let info =
            client.migrate(migrate(), PATIENCE, |_| {}).await.unwrap().into_result().unwrap();
        assert_eq!(info.status, Some(MigrationStatus::Completed));
        assert!(client.settle(PATIENCE).await.unwrap_err().is_closed());
    });
    play_blocking(script, |client| {
        let info = client.migrate(migrate(), PATIENCE, |_| {}).unwrap().into_result().unwrap();
        assert_eq!(info.status, Some(MigrationStatus::Completed));
        assert!(client.settle(PATIENCE).unwrap_err().is_closed());
    });
}

/// The error of a deadline says what the migration was waiting for. The caller may wait longer.
#[test]
fn a_migration_that_takes_too_long() {
    for state in [
        "active",
        "cancelling",
        "device",
        "postcopy-active",
        "postcopy-recover",
        "postcopy-recover-setup",
        "wait-unplug",
        "newer",
    ] {
        let script = |peer: &mut Peer| {
            begins(peer);
            while let id = peer.command()["id"].clone()
                && !id.is_null()
            {
                peer.succeed(&id, json!({"status": state}));
            }
        };
        let check = |error: Error| {
            let Error::Timeout(timeout) = error else { panic!("{error:?}") };
            let waited_for = format!("the migration to end; its state is `{state}`");
            assert_eq!(timeout.waited_for, WaitedFor::State(waited_for.into()));
        };
        play(script, async |client| {
            check(client.migrate(migrate(), SOON, |_| {}).await.unwrap_err());
            check(client.follow_migration(SOON, |_| {}).await.unwrap_err());
        });
        play_blocking(script, |client| {
            check(client.migrate(migrate(), SOON, |_| {}).unwrap_err());
            check(client.follow_migration(SOON, |_| {}).unwrap_err());
        });
    }
}

fn changes(peer: &mut Peer, status: &str) {
    peer.send(&json!({"event": "MIGRATION", "data": {"status": status}}).to_string());
}

/// The guest is stopped, and the migration waits for a command without a deadline: the caller is
/// told at once, and continues it.
#[test]
fn a_migration_that_waits_for_a_command() {
    for state in ["pre-switchover", "postcopy-paused"] {
        let script = |peer: &mut Peer| {
            begins(peer);
            is(peer, "query-migrate", "active");
            changes(peer, state);
            is(peer, "query-migrate", state);
            // Capabilities are refused during a migration.
            let id = peer.expect("migrate-set-capabilities");
            let error = json!({"class": "GenericError", "desc": "There's a migration process"});
            peer.send(&json!({"error": error, "id": id}).to_string());
            let id = peer.expect("migrate-continue");
            peer.succeed(&id, json!({}));
            // The command takes effect a moment later.
            is(peer, "query-migrate", state);
            changes(peer, "device");
            is(peer, "query-migrate", "completed");
            is(peer, "query-status", "postmigrate");
        };
        let status: MigrationStatus = state.parse().unwrap();
        let check = |outcome: &MigrationOutcome| {
            assert!(outcome.is_waiting() && !outcome.is_completed(), "{outcome:?}");
            assert_eq!(outcome.info().status.as_ref(), Some(&status));
            let error = outcome.clone().into_result().unwrap_err().to_string();
            assert!(
                error.contains(&format!("waits for a command in the state `{state}`")),
                "{error}"
            );
        };
        let go_on = || MigrateContinue::new(status.clone());
        play(script, async |client| {
            check(&client.migrate(migrate(), PATIENCE, |_| {}).await.unwrap());
            let outcome = client.migrate(go_on(), PATIENCE, |_| {}).await.unwrap();
            assert!(outcome.is_completed());
        });
        play_blocking(script, |client| {
            check(&client.migrate(migrate(), PATIENCE, |_| {}).unwrap());
            assert!(client.migrate(go_on(), PATIENCE, |_| {}).unwrap().is_completed());
        });
    }
}

/// The migration waits already at the first look.
#[test]
fn a_waiting_migration_is_followed() {
    let script = |peer: &mut Peer| is(peer, "query-migrate", "pre-switchover");
    play(script, async |client| {
        assert!(client.follow_migration(PATIENCE, |_| {}).await.unwrap().is_waiting());
    });
    play_blocking(script, |client| {
        assert!(client.follow_migration(PATIENCE, |_| {}).unwrap().is_waiting());
    });
}

/// The source sends nothing, and the destination is not waited for forever.
#[test]
fn a_run_state_that_does_not_settle() {
    let script = |peer: &mut Peer| {
        while let id = peer.command()["id"].clone()
            && !id.is_null()
        {
            peer.succeed(&id, json!({"status": "inmigrate", "running": false}));
        }
    };
    let check = |error: Error| {
        let Error::Timeout(timeout) = error else { panic!("{error:?}") };
        println!("{timeout}");
        assert_eq!(
            (&timeout.waited_for, timeout.within),
            (&WaitedFor::State("the run state to settle; it is `inmigrate`".into()), SOON)
        );
    };
    play(script, async |client| check(client.settle(SOON).await.unwrap_err()));
    play_blocking(script, |client| check(client.settle(SOON).unwrap_err()));
}
