//! How to test code that uses a client, without a QEMU.
//!
//! The crate `qmp-server` contains peers for tests, which run in the same process:
//!
//! | peer | for |
//! | --- | --- |
//! | `Simulator` | code that should work with a machine: it keeps state, and answers as QEMU does |
//! | `script::Script` | code that must handle a certain answer or misbehavior, such as a late reply |
//! | `replay::Replay` | code that was seen to work with a live QEMU, whose session was recorded |
//! | `agent::AgentSimulator` (feature `agent`) | code that talks to the guest agent |
//!
//! ```toml
//! [dev-dependencies]
//! qmp-server = { version = "0.1", features = ["agent"] }
//! ```
//!
//! # The code under test
//!
//! The examples test these functions, which pause a machine unless it is paused already:
//!
//! ```
//! # #[cfg(all(feature = "blocking", feature = "qmp", feature = "tokio"))] mod code {
//! use qmp_client::qmp::commands::{QueryStatus, Stop};
//!
//! fn pause(client: &qmp_client::blocking::Client) -> qmp_client::Result<bool> {
//!     let running = client.execute(QueryStatus::new())?.running;
//!     if running {
//!         client.execute(Stop::new())?;
//!     }
//!     Ok(running)
//! }
//!
//! async fn pause_async(client: &qmp_client::Client) -> qmp_client::Result<bool> {
//!     let running = client.execute(QueryStatus::new()).await?.running;
//!     if running {
//!         client.execute(Stop::new()).await?;
//!     }
//!     Ok(running)
//! }
//! # }
//! ```
//!
//! # Against the simulated machine
//!
//! A test checks the outcome, and may look at the state of the machine:
//!
//! ```
//! # #[cfg(all(feature = "blocking", feature = "qmp", unix))] {
//! use qmp_client::{Options, blocking::Client, transport::Unix};
//! # use qmp_client::qmp::commands::{QueryStatus, Stop};
//! # fn pause(client: &Client) -> qmp_client::Result<bool> {
//! #     let running = client.execute(QueryStatus::new())?.running;
//! #     if running { client.execute(Stop::new())?; }
//! #     Ok(running)
//! # }
//!
//! let simulator = qmp_server::Simulator::new();
//! let client = Client::over(Unix::from_stream(simulator.connect()?)?, &Options::new())?;
//! assert!(pause(&client)?);
//! assert!(!pause(&client)?);
//! assert_eq!(simulator.run_state().as_str(), "paused");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On tokio:
//!
//! ```
//! # #[cfg(all(feature = "qmp", feature = "tokio", unix))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use qmp_client::Options;
//! # use qmp_client::qmp::commands::{QueryStatus, Stop};
//! # async fn pause_async(client: &qmp_client::Client) -> qmp_client::Result<bool> {
//! #     let running = client.execute(QueryStatus::new()).await?.running;
//! #     if running { client.execute(Stop::new()).await?; }
//! #     Ok(running)
//! # }
//!
//! let simulator = qmp_server::Simulator::new();
//! let stream = simulator.connect()?;
//! stream.set_nonblocking(true)?;
//! let stream = tokio::net::UnixStream::from_std(stream)?;
//! let (connecting, driver) = qmp_client::tokio::over(stream, &Options::new());
//! tokio::spawn(driver);
//! assert!(pause_async(&connecting.await?).await?);
//! assert_eq!(simulator.run_state().as_str(), "paused");
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "qmp", feature = "tokio", unix)))] fn main() {}
//! ```
//!
//! # Against a script
//!
//! A script states which commands are expected and how each is answered, and can misbehave in every
//! way that a server can. At the end, `finish` returns an error if the code has done something else.
//!
//! ```
//! # #[cfg(all(feature = "blocking", feature = "qmp", unix))] {
//! use qmp_client::qmp::commands::{QueryStatus, Stop};
//! use qmp_client::qmp::types::{RunState, StatusInfo};
//! use qmp_client::{Options, QmpError, blocking::Client, transport::Unix};
//! use qmp_server::script::Script;
//! # fn pause(client: &Client) -> qmp_client::Result<bool> {
//! #     let running = client.execute(QueryStatus::new())?.running;
//! #     if running { client.execute(Stop::new())?; }
//! #     Ok(running)
//! # }
//!
//! let script = Script::new()
//!     .expect(QueryStatus::new()).returns(StatusInfo::new(true, RunState::Running))
//!     .expect(Stop::new()).fails(QmpError::generic("not now"))
//!     .start();
//! let client = Client::over(Unix::from_stream(script.connect()?)?, &Options::new())?;
//! assert_eq!(pause(&client).unwrap_err().server().unwrap().desc, "not now");
//! script.finish()?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On tokio, with a server that closes the connection instead of answering:
//!
//! ```
//! # #[cfg(all(feature = "qmp", feature = "tokio", unix))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use qmp_client::Options;
//! use qmp_client::qmp::commands::{QueryStatus, Stop};
//! use qmp_client::qmp::types::{RunState, StatusInfo};
//! use qmp_server::script::Script;
//! # async fn pause_async(client: &qmp_client::Client) -> qmp_client::Result<bool> {
//! #     let running = client.execute(QueryStatus::new()).await?.running;
//! #     if running { client.execute(Stop::new()).await?; }
//! #     Ok(running)
//! # }
//!
//! let script = Script::new()
//!     .expect(QueryStatus::new()).returns(StatusInfo::new(true, RunState::Running))
//!     .expect(Stop::new()).never()
//!     .close()
//!     .start();
//! let stream = script.connect()?;
//! stream.set_nonblocking(true)?;
//! let stream = tokio::net::UnixStream::from_std(stream)?;
//! let (connecting, driver) = qmp_client::tokio::over(stream, &Options::new());
//! tokio::spawn(driver);
//! assert!(pause_async(&connecting.await?).await.unwrap_err().is_closed());
//! script.finish()?;
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "qmp", feature = "tokio", unix)))] fn main() {}
//! ```
//!
//! # A recording
//!
//! The transcript of a client is recorded once, and replayed in tests:
//!
//! ```
//! # #[cfg(all(feature = "blocking", feature = "qmp", unix))] {
//! use qmp_client::qmp::commands::QueryStatus;
//! use qmp_client::{Options, blocking::Client, transport::Unix};
//! use qmp_server::replay::{Recorder, Recording, Replay};
//!
//! let path = std::env::temp_dir().join("status.jsonl");
//! let recorder = Recorder::new(std::fs::File::create(&path)?, "vm");
//! let hook = recorder.clone();
//! let options = Options::new()
//!     .transcript(move |direction, message| hook.message(direction, message, 0));
//! // A live QEMU, in reality: `Client::connect_with("unix:/run/vm.sock", &options)?`.
//! # let simulator = qmp_server::Simulator::new();
//! # let client = Client::over(Unix::from_stream(simulator.connect()?)?, &options)?;
//! let status = client.execute(QueryStatus::new())?;
//! recorder.finish()?;
//!
//! let replay = Replay::of(Recording::open(&path)?).start();
//! let client = Client::over(Unix::from_stream(replay.connect()?)?, &Options::new())?;
//! assert_eq!(client.execute(QueryStatus::new())?, status);
//! replay.finish()?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
