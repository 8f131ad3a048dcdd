//! Scenarios of what a server may do, which are played with every client.
//!
//! A scenario is a script for the server and a check of the client, which mostly executes
//! `query-status` twice: both calls must succeed, or fail with the error that says what happened.
//! Each scenario is played twice, the second time with one byte at a time in both directions.

pub mod peer;

pub mod calls;
pub mod damage;
pub mod endings;
pub mod greeting;
pub mod masses;
#[cfg(feature = "qmp")]
pub mod values;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use qmp_client::Dropped;
use qmp_client::{Error, Options, Raw, RawEvent, Request};
use serde_json::Value;

use peer::Peer;

/// Longer than anything that succeeds takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A short wait for something that does not happen.
pub const SOON: Duration = Duration::from_millis(60);

/// The part of a client that the scenarios use.
pub trait Front: Sized {
    /// Creates a client of a connected socket. With `drip`, it reads and writes one byte at a time.
    fn connect(stream: UnixStream, drip: bool, options: &Options) -> Result<Self, Error>;

    /// Executes a command.
    fn execute<R: Request>(&mut self, request: R, within: Duration) -> Result<R::Return, Error>;

    /// Executes several commands at once, and returns their results in the order of the commands.
    fn execute_all<R: Request>(&mut self, requests: Vec<R>) -> Vec<Result<R::Return, Error>>;

    /// Sends a command, and abandons the call.
    fn cancel<R: Request>(&mut self, request: R);

    /// Waits for the next event.
    fn event(&mut self, within: Duration) -> Result<RawEvent, Error>;

    /// Returns the number of messages that were received and dropped.
    fn dropped(&self) -> Dropped;
}

/// Plays a scenario: `script` is the server's side, and `check` the client's.
pub fn play<F: Front>(
    drip: bool,
    options: &Options,
    script: impl FnOnce(&mut Peer) + Send,
    check: impl FnOnce(Result<F, Error>),
) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| Peer::play(theirs, script));
        check(F::connect(ours, drip, options));
    });
}

/// Plays a scenario that begins after the negotiation.
pub fn play_ready<F: Front>(
    drip: bool,
    script: impl FnOnce(&mut Peer) + Send,
    check: impl FnOnce(&mut F),
) {
    let script = |peer: &mut Peer| {
        peer.greet();
        script(peer);
    };
    play::<F>(drip, &Options::new(), script, |client| check(&mut client.unwrap()));
}

/// Creates a `query-status` whose reply is not decoded.
pub fn status() -> Raw<Value> {
    Raw::new("query-status")
}

/// Executes `query-status`, and expects a running machine.
pub fn expect_running<F: Front>(client: &mut F) {
    let reply = client.execute(status(), PATIENCE);
    assert_eq!(reply.unwrap()["status"], "running");
}

/// Makes a test of each scenario, for one client.
#[macro_export]
macro_rules! scenarios {
    ($front:ty) => {
        $crate::scenarios! { $front, [false, true];
            greeting {
                event_before_greeting,
                event_before_negotiation_reply,
                silence_before_greeting,
                silence_after_greeting,
                human_monitor,
                another_protocol,
                telnet,
                negotiation_refused,
                end_before_greeting,
                pretty_printed,
                two_objects_on_a_line,
                greetings_of_other_makes,
                an_error_for_an_earlier_client,
                a_server_without_ids,
            }
            calls {
                unknown_event,
                unknown_time,
                times_in_any_form,
                ids_in_other_forms,
                unknown_members,
                error_without_id,
                unknown_error_class,
                reply_with_foreign_id,
                reply_twice,
                reply_of_the_wrong_type,
                canceled_then_another,
                canceled_while_queued,
                deadline_then_another,
                replies_in_any_order,
            }
            damage {
                garbage_then_good,
                damaged_reply,
                damaged_reply_overtaken,
                truncated_line_then_good,
                invalid_utf8,
                delimiters,
                separators,
                reply_nested_deep,
                message_nested_deep_in_garbage,
            }
            endings {
                end_instead_of_reply,
                end_with_several_in_flight,
                end_in_a_message,
                events_before_the_end,
                an_end_by_this_side,
            }
        }
        #[cfg(feature = "qmp")]
        $crate::scenarios! { $front, [false, true];
            values {
                unknown_value_in_a_reply,
                unknown_value_in_an_event,
                unknown_branch,
                missing_member,
            }
        }
        // One byte at a time, these would take minutes.
        $crate::scenarios! { $front, [false];
            masses {
                huge_reply,
                too_large_reply,
                events_without_a_listener,
                peer_that_stops_reading,
            }
        }
    };
    ($front:ty, $drips:expr; $($module:ident { $($name:ident,)* })*) => {$($(
        #[test]
        fn $name() {
            for drip in $drips {
                $crate::scenarios::$module::$name::<$front>(drip);
            }
        }
    )*)*};
}
