//! A mirror of a virtual machine: its state as typed values, kept current.
//!
//! A [`Mirror`] is a handle, on either client. Its [`Keeper`] runs beside it: as a task, or on a thread
//! of its own. The keeper asks for every [`Part`] of the machine, and asks again when an event or a
//! command may have changed it. What it knows is a [`View`].
//!
//! ```no_run
//! # #[cfg(feature = "blocking")]
//! # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
//! use std::thread;
//! use std::time::Duration;
//!
//! use qmp_client::qmp::commands::Stop;
//! use qmp_vm::mirror::Mirror;
//!
//! const PATIENCE: Duration = Duration::from_secs(60);
//!
//! let (mirror, keeper) = Mirror::of(&vm);
//! thread::spawn(move || keeper.run());
//!
//! let view = mirror.current(PATIENCE)?;
//! println!("{:?}, disk is on {:?}", view.run_state(), view.chain("disk"));
//!
//! let mut changes = mirror.changes();
//! mirror.execute(Stop::new())?;
//! while let Some(update) = changes.next_within(PATIENCE) {
//!     println!("{:?}", update?.changes);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With the asynchronous client, the keeper is spawned (`tokio::spawn(keeper.run())`), and the methods
//! that wait are awaited. A mirror may also follow a [supervised](crate::supervise) connection
//! ([`Mirror::supervised`]), or connections that the program makes ([`Keeper::follow`]).
//!
//! # What makes a view right
//!
//! A view is never put together from the data of events: an event only tells which parts may have
//! changed, and those are asked for as a whole. An answer counts only up to the moment at which its
//! query was sent, so that a part about which an event has arrived since then is asked for again. After
//! an outage, all parts are. So once everything is answered, a view equals fresh queries, whatever was
//! missed or in what order it was heard.
//!
//! Events are heard when they arrive, and not kept: however many there are, they cost no memory and
//! lead to one round of queries, which are followed by the next one after a [pause](Policy::pace). A
//! view is published when no part that was asked for is stale again; in a flood of events, after a few
//! rounds, with the parts that are [stale](View::stale).
//!
//! A query that fails leaves the last value, which is [marked](View::failure) as stale, and is repeated
//! after a pause. What a release or a machine does not have is [absent](View::absence), which is not
//! a failure.
//!
//! # What no event tells
//!
//! QEMU sends no event when another program adds or removes a block node, an object or a character
//! device, adds a device or an export, limits the speed of a job, or changes the settings of a
//! migration. Neither does it report the progress of jobs and of migrations, unless their capability
//! `events` is on, nor the peers of a character device. Of these,
//!
//! - what [`Mirror::execute`] does is asked for at once, and so is what [`Mirror::note`] tells of,
//! - a migration and a job at work are asked for once a [second](Policy::motion), and
//! - everything is asked for again every half minute, or as often as the [policy](Policy::period) says,
//!   and when [`Mirror::refresh`] is called.
//!
//! The run state, the states of jobs, and the ends of devices, jobs and exports are always told. NBD
//! servers, links of network cards and other things that no query returns are in no view.
//!
//! # How it works
//!
//! ```text
//!  events ──hear──┐                         ┌──> Step::Ask ──> queries ──┐
//!                 v                         │                            │ answers, as of a stamp
//!  commands ─> Model (no I/O): what is known, when it was heard of <─────┘
//!                 │
//!                 └──publish──> View ──> view, current, wait_until, changes
//! ```
//!
//! `rules` says what an event or a command may change, `model` what to ask next, `round` asks, and
//! `keeper` drives them. On the blocking client, a thread that waits for an event cannot be interrupted;
//! a thread that waits for the mirror asks by itself for what is stale.

mod change;
mod changes;
mod handle;
mod hold;
mod keeper;
mod model;
mod part;
mod policy;
mod round;
mod rules;
mod shared;
mod view;

pub use change::{Change, Fate};
pub use changes::{Changes, Update};
pub use handle::Mirror;
pub use keeper::Keeper;
pub use part::Part;
pub use policy::Policy;
pub use view::{Absence, View};
