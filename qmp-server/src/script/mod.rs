//! Scripted servers, for tests of code that uses a QMP client.
//!
//! A [`Script`] is a list of steps: the server expects this command and answers that, or misbehaves.
//! [`Script::start`] plays it for a client in the same process, or for one that connects to a
//! socket. [`ScriptServer::finish`] returns an error if the client has done something else, or has
//! stopped early. It shows the step, what was expected, what the client did, and the messages before
//! it. A script never waits longer than its deadline.
//!
//! ```
//! # #[cfg(all(feature = "simulator", unix))] {
//! use std::io::{BufRead, BufReader, Write};
//!
//! use qmp_server::script::Script;
//! use qmp_types::qmp::commands::{QueryStatus, Stop};
//! use qmp_types::qmp::types::{RunState, StatusInfo};
//! use qmp_types::{Empty, QmpError};
//!
//! let server = Script::new()
//!     .expect(QueryStatus::new()).returns(StatusInfo::new(true, RunState::Running))
//!     .expect(Stop::new()).emits(&qmp_types::qmp::events::Stop::new()).returns(Empty {})
//!     .expect_raw("query-block").fails(QmpError::generic("not today"))
//!     .start();
//!
//! let mut client = BufReader::new(server.connect()?);
//! client.get_mut().write_all(b"{'execute': 'qmp_capabilities'} {'execute': 'query-status'}")?;
//! client.get_mut().write_all(b"{'execute': 'cont'}")?;
//! let error = server.finish().unwrap_err();
//! assert_eq!(error.step(), Some(6));
//! assert!(error.to_string().contains("expected: `stop` without arguments"));
//! assert!(error.to_string().contains("got:      `cont` without arguments"));
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Misbehavior
//!
//! | the server | how |
//! | --- | --- |
//! | answers late | `.expect(..).after(time).returns(..)` |
//! | answers after another command | `.expect(..).never()`, later `.answer("name").returns(..)` |
//! | never answers | `.expect(..).never()` |
//! | answers twice, or sends half an answer | `.expect(..).twice()`, `.half()` |
//! | answers with a wrong identifier, or none | `.expect(..).with_id(..)`, `.without_id()` |
//! | sends garbage | `.send("garbage")`, or before an answer: `.expect(..).sends("garbage")` |
//! | sends events in between | `.expect(..).emits(&event)`, `.event(&event)` |
//! | closes the connection, also within a message | `.close()`, `.expect(..).half().returns(..).close()` |
//! | sends no greeting, or garbage | [`Script::bare`], then `.send(..)`, `.greet()`, `.negotiate()` |
//! | sends one byte at a time | [`Script::bytewise`] |

mod builder;
mod failure;
mod player;
mod server;
mod step;

pub use self::builder::{Expecting, Script};
pub use self::failure::{Got, ScriptError};
pub use self::server::ScriptServer;
pub use self::step::{Answer, Arguments, Content, Expectation, Form, Id, Step};
