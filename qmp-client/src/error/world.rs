//! What nobody does wrong: time passes, connections end, systems fail.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use qmp_types::QmpError;

use super::peer::ProtocolError;
use crate::machine::Garbage;

/// The operating system failed us.
///
/// Programs make one of what they attempt themselves on the way, so that [`Error`](super::Error) is
/// the error of all that they do. There is no conversion from [`io::Error`] alone, which does not
/// say of what file it speaks:
///
/// ```no_run
/// # #[cfg(all(unix, feature = "blocking", feature = "qmp"))]
/// # fn example(vm: &mut qmp_client::blocking::Client) -> qmp_client::Result<()> {
/// use std::fs::File;
///
/// use qmp_client::TransportError;
///
/// let path = "disk.qcow2";
/// let image = File::open(path)
///     .map_err(|error| TransportError::new(format!("cannot open {path}"), error))?;
/// let held = vm.add_descriptor(image)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct TransportError {
    /// What was tried, such as "cannot connect to unix:/run/vm.sock".
    pub attempt: Box<str>,
    /// What the operating system said.
    pub error: io::Error,
}

impl TransportError {
    /// What was tried, such as "cannot open disk.qcow2", and what came of it.
    pub fn new(attempt: impl Into<Box<str>>, error: io::Error) -> Self {
        Self { attempt: attempt.into(), error }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attempt)
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}

/// What a deadline was set for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WaitedFor {
    /// The connection to this address.
    Connection(Box<str>),
    /// The greeting, and the negotiation that follows it.
    Greeting,
    /// The same of a program that was launched: nobody else can be connected to it.
    Launch,
    /// The first answer of a guest agent.
    Agent,
    /// The reply to this command.
    Reply(Cow<'static, str>),
    /// An event.
    Event {
        /// Its name, if only one would do.
        name: Option<&'static str>,
        /// The command that was to bring it about, if it was waited for with one.
        command: Option<Cow<'static, str>>,
    },
    /// The run state that follows a migration.
    Settled,
    /// The end of the program that was launched.
    Exit,
}

/// A deadline passed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Timeout {
    /// What was waited for.
    pub waited_for: WaitedFor,
    /// How long.
    pub within: Duration,
    /// What may have been the cause: the last failed attempt, or garbage that came instead.
    pub cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Timeout {
    pub(crate) fn new(waited_for: WaitedFor, within: Duration) -> Self {
        Self { waited_for, within, cause: None }
    }

    pub(crate) fn because(self, cause: Option<impl Into<Box<dyn StdError + Send + Sync>>>) -> Self {
        Self { cause: cause.map(Into::into), ..self }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = self.within;
        match &self.waited_for {
            WaitedFor::Connection(address) => {
                write!(f, "no connection to {address} within {within:?}")
            }
            WaitedFor::Greeting => write!(
                f,
                "no greeting within {within:?}; a monitor serves one client at a time, so another \
                 one may be connected"
            ),
            WaitedFor::Launch => write!(f, "no greeting within {within:?}"),
            WaitedFor::Agent => write!(
                f,
                "the guest agent did not answer within {within:?}; it may not be running, or \
                 another client may be connected"
            ),
            WaitedFor::Reply(command) => write!(f, "no reply to `{command}` within {within:?}"),
            WaitedFor::Event { name, command } => {
                f.write_str(if command.is_some() || name.is_some() {
                    "no such event"
                } else {
                    "no event"
                })?;
                if let Some(name) = name {
                    write!(f, " `{name}`")?;
                }
                write!(f, " within {within:?}")?;
                match command {
                    Some(command) => write!(f, " of `{command}`"),
                    None => Ok(()),
                }
            }
            WaitedFor::Settled => {
                write!(f, "the run state that follows a migration did not come within {within:?}")
            }
            WaitedFor::Exit => write!(f, "the program did not end within {within:?}"),
        }
    }
}

impl StdError for Timeout {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}

/// The connection has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Closed {
    /// The command that was not answered; nothing if none was waiting.
    pub command: Option<Cow<'static, str>>,
    /// Why the connection ended.
    pub reason: Arc<End>,
}

impl Closed {
    pub(crate) fn new(command: Option<Cow<'static, str>>, reason: &Arc<End>) -> Self {
        Self { command, reason: Arc::clone(reason) }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => write!(f, "the connection ended before the reply to `{command}`"),
            None => f.write_str("the connection has ended"),
        }
    }
}

impl StdError for Closed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.reason)
    }
}

/// Why a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// The peer closed it.
    Eof,
    /// The peer closed it in the middle of a message.
    Truncated(Garbage),
    /// The operating system reported an error.
    Transport(io::Error),
    /// The peer broke the protocol so that nothing it sends can be understood any more.
    Protocol(ProtocolError),
    /// Greeting and negotiation were not through in time.
    Handshake(Timeout),
    /// The server refused the negotiation.
    Negotiation(QmpError),
    /// This side closed it.
    Local,
    /// The driver was dropped, which does an asynchronous client's input and output.
    NoDriver,
    /// The function panicked that is shown the [transcript](crate::Options::transcript).
    Transcript,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("the peer closed it"),
            Self::Truncated(_) => f.write_str("the peer closed it in the middle of a message"),
            Self::Transport(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Handshake(timeout) => timeout.fmt(f),
            Self::Negotiation(_) => f.write_str("the server refused the negotiation"),
            Self::Local => f.write_str("it was closed on this side"),
            Self::NoDriver => f.write_str("its driver was dropped"),
            Self::Transcript => f.write_str("the function that is shown the transcript panicked"),
        }
    }
}

impl StdError for End {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Truncated(garbage) => Some(garbage),
            Self::Transport(error) => error.source(),
            Self::Protocol(error) => error.source(),
            Self::Negotiation(error) => Some(error),
            Self::Handshake(timeout) => timeout.source(),
            Self::Eof | Self::Local | Self::NoDriver | Self::Transcript => None,
        }
    }
}

/// A program that did not start, ended before it opened its monitor, or did not open it in time.
#[derive(Debug)]
#[non_exhaustive]
pub struct LaunchError {
    /// The program.
    pub program: Box<str>,
    /// How it ended; nothing if it did not start, has not ended, or if somebody else waited for it.
    pub status: Option<ExitStatus>,
    /// The last lines that it wrote to its standard error.
    pub stderr: Box<str>,
    /// Why it did not start.
    pub error: Option<io::Error>,
    /// How long it was waited for, if it ran on and did not greet.
    pub timeout: Option<Timeout>,
}

#[cfg(any(feature = "blocking", feature = "tokio", feature = "futures-io"))]
impl LaunchError {
    pub(crate) fn ended(program: Box<str>, status: Option<ExitStatus>, stderr: Box<str>) -> Self {
        Self { program, status, stderr, error: None, timeout: None }
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = &self.program;
        match (&self.error, &self.status) {
            (Some(_), _) => return write!(f, "cannot start {program}"),
            (None, Some(status)) => write!(f, "{program} ended before its monitor was open")
                .and_then(|()| write!(f, " ({status})"))?,
            (None, None) if self.timeout.is_some() => {
                write!(f, "{program} did not open its monitor in time")?;
            }
            (None, None) => write!(f, "{program} ended before its monitor was open")?,
        }
        match self.stderr.trim() {
            "" => {}
            stderr => write!(f, "; it said: {stderr}")?,
        }
        match self.status {
            Some(status) if status.success() => {
                f.write_str("; it must stay in the foreground, without `-daemonize`")
            }
            _ => Ok(()),
        }
    }
}

impl StdError for LaunchError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let timeout = self.timeout.as_ref().map(|timeout| timeout as _);
        self.error.as_ref().map(|error| error as _).or(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// Who waits for several things has to be told which one did not come.
    #[test]
    fn a_time_out_says_what_was_waited_for() {
        let timeout = |name, command: Option<&'static str>| {
            let waited_for = WaitedFor::Event { name, command: command.map(Cow::Borrowed) };
            Timeout::new(waited_for, Duration::from_secs(2))
        };
        assert_eq!(timeout(None, None).to_string(), "no event within 2s");
        assert_eq!(timeout(Some("STOP"), None).to_string(), "no such event `STOP` within 2s");
        let unplug = timeout(Some("DEVICE_DELETED"), Some("device_del"));
        assert_eq!(unplug.to_string(), "no such event `DEVICE_DELETED` within 2s of `device_del`");
        assert_eq!(Error::from(unplug).command(), Some("device_del"));
    }
}
