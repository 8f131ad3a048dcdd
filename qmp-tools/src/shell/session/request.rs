//! Commands on their way to the server.

use std::borrow::Cow;
use std::time::Duration;

use qmp_client::Command as _;
use qmp_client::protocol::{Kind, Request};
use qmp_client::qga::commands::{
    GuestShutdown, GuestSuspendDisk, GuestSuspendHybrid, GuestSuspendRam,
};
use qmp_client::{Raw, blocking::Client};
use qmp_types::redact;
use serde_json::Value;
use serde_json::value::RawValue;

/// The commands of a guest agent whose success is not answered.
const UNANSWERED: [&str; 4] =
    [GuestShutdown::NAME, GuestSuspendDisk::NAME, GuestSuspendRam::NAME, GuestSuspendHybrid::NAME];

/// A command without a type.
pub(super) struct Dynamic {
    raw: Raw<Box<RawValue>>,
    success_response: bool,
}

impl Dynamic {
    pub(super) fn new(name: &str, arguments: Option<&Value>, oob: bool) -> Self {
        let mut raw = Raw::new(name.to_owned());
        if let Some(arguments) = arguments {
            raw = raw.arguments(arguments);
        }
        if oob {
            raw = raw.out_of_band();
        }
        Self { raw, success_response: !UNANSWERED.contains(&name) }
    }

    /// Returns the time after which a command whose success is not answered has succeeded.
    pub(super) fn silence(&self, client: &Client) -> Duration {
        match self.success_response {
            true => Duration::MAX,
            false => client.options().call_within(&self.raw.name()),
        }
    }
}

impl Request for Dynamic {
    type Return = Box<RawValue>;

    fn name(&self) -> Cow<'static, str> {
        self.raw.name()
    }

    fn kind(&self) -> Kind {
        self.raw.kind()
    }

    fn success_response(&self) -> bool {
        self.success_response
    }

    fn has_arguments(&self) -> bool {
        self.raw.has_arguments()
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        self.raw.write_arguments(out)
    }
}

/// Returns a command as it is sent, without its secrets.
pub(super) fn shown(name: &str, arguments: Option<&Value>, oob: bool) -> String {
    let key = if oob { "exec-oob" } else { "execute" };
    let quoted = Value::from(name);
    match arguments {
        None => format!("{{\"{key}\": {quoted}}}"),
        Some(arguments) => {
            let text = arguments.to_string();
            format!("{{\"{key}\": {quoted}, \"arguments\": {}}}", redact(name, &text))
        }
    }
}
