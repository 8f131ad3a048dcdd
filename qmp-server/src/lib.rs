//! The server's side of QMP.

mod arguments;
mod introspection;
mod json;
mod request;
mod router;
mod serve;
mod server;
mod session;
mod throttle;

pub use request::Request;
pub use router::{Context, Router};
pub use serve::Stream;
pub use server::{Connection, Server};
pub use session::{Closed, Limits, Session};
