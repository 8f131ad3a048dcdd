//! The guest agent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use qmp_types::qga::commands::{
    GuestExecStatus, GuestFileClose, GuestFileOpen, GuestFsfreezeFreeze, GuestFsfreezeThaw,
    GuestPing, GuestSuspendDisk, GuestSuspendHybrid, GuestSuspendRam,
};

use super::call::Call;
use super::written::Written;
use super::{Client, Connecting};
use crate::agent::{
    Exec, ExecOutput, FREEZING, Reading, ShutdownMode, SuspendMode, Writing, may_have_frozen,
};
use crate::error::Result;
use crate::request::Request;

/// A connection to the guest agent, for asynchronous programs. It is a handle, as a [`Client`]
/// is.
///
/// The agent answers one command after the other and does not say which one it answers. So a
/// client first gets in step with it (`guest-sync-delimited`, or `guest-sync` where the agent is
/// too old), and again after a call was given up: what an earlier client left, or a late reply,
/// does no harm. That is repeated until the agent answers: in the beginning for as long as
/// [`greeting_within`](crate::Options::greeting_within) says, later for as long as a call waits.
///
/// ```no_run
/// # async fn example(guest: qmp_client::Agent) -> qmp_client::Result<()> {
/// use qmp_client::Exec;
///
/// let output = guest.exec(&Exec::new("/bin/uname").arg("-r")).await?;
/// println!("{}", String::from_utf8_lossy(&output.stdout));
/// let frozen = guest.freeze().await?;
/// // ... take the snapshot; the guest's file systems are thawed whatever happens.
/// frozen.thaw().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// As of a [`Client`]: any future may be dropped. A program that was started runs on; a file that
/// was opened is closed, and file systems are thawed, by commands that nobody waits for.
#[derive(Clone, Debug)]
pub struct Agent {
    client: Client,
}

impl Agent {
    /// Executes a command: awaiting the call gives what it returns.
    pub fn execute<R: Request>(&self, request: R) -> Call<R> {
        self.client.execute(request)
    }

    /// The client of it, for all else.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks whether it still answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self, within: Duration) -> Result<()> {
        self.execute(GuestPing::new()).within(within).await.map(|_| ())
    }

    /// Runs a program in the guest, to its end.
    ///
    /// # Errors
    /// It cannot be started, or it has not ended in time: then it runs on.
    ///
    /// # Cancel safety
    ///
    /// A program that was started runs on.
    pub async fn exec(&self, program: &Exec) -> Result<ExecOutput> {
        let mut looks = program.looks(self.client.hold().now());
        let pid = self.execute(program.command()).await?.pid;
        loop {
            let status = self.execute(GuestExecStatus::new(pid)).await?;
            if status.exited {
                return ExecOutput::new(status);
            }
            let pause = looks.pause(self.client.hold().now())?;
            self.client.pause(pause).await;
        }
    }

    /// Reads a file of the guest's, up to `limit` bytes of it: where so many come, there may be
    /// more.
    ///
    /// # Errors
    /// It cannot be read.
    ///
    /// # Cancel safety
    ///
    /// The file is closed in the guest.
    pub async fn read_file(&self, path: &str, limit: usize) -> Result<Vec<u8>> {
        let (handle, close) = self.open(GuestFileOpen::new(path)).await?;
        let mut reading = Reading::new(handle, limit);
        while let Some(next) = reading.next() {
            reading.take(&self.execute(next).await?)?;
        }
        close.await?;
        Ok(reading.into_bytes())
    }

    /// Writes a file of the guest's; what was in it is gone.
    ///
    /// # Errors
    /// It cannot be written. Part of it may be.
    ///
    /// # Cancel safety
    ///
    /// Part of it may be written. The file is closed in the guest.
    pub async fn write_file(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let (handle, close) = self.open(GuestFileOpen::new(path).mode("wb")).await?;
        let mut writing = Writing::new(handle, bytes);
        while let Some(next) = writing.next() {
            writing.written(self.execute(next).await?.count);
        }
        close.await.map(|_| ())
    }

    /// A handle, and what closes it, also when it is dropped.
    async fn open(&self, open: GuestFileOpen) -> Result<(i64, Call<GuestFileClose>)> {
        self.execute(open).guarded(|handle| GuestFileClose::new(*handle)).await
    }

    /// Asks the guest to shut down, or to start again. That it will is not answered: the agent
    /// refuses within [ten seconds](crate::deadlines::recommended), or ends with its guest, or it
    /// is taken for agreed. When it has shut down, QEMU's event `SHUTDOWN` tells.
    ///
    /// # Errors
    /// The agent refuses, or another command has to be waited for that it does not answer.
    ///
    /// # Cancel safety
    ///
    /// A guest that was asked does it, or does not.
    pub async fn shutdown(&self, mode: ShutdownMode) -> Result<()> {
        self.execute(mode.command()).await.map(|_| ())
    }

    /// Asks the guest to suspend itself, which is not answered either: see
    /// [`shutdown`](Self::shutdown). QEMU's events `SUSPEND` and `SUSPEND_DISK` tell when it has,
    /// `system_wakeup` wakes it.
    ///
    /// # Errors
    /// Those of [`shutdown`](Self::shutdown), as when the guest cannot do that.
    ///
    /// # Cancel safety
    ///
    /// A guest that was asked does it, or does not.
    pub async fn suspend(&self, mode: SuspendMode) -> Result<()> {
        match mode {
            SuspendMode::Disk => self.execute(GuestSuspendDisk::new()).await.map(|_| ()),
            SuspendMode::Ram => self.execute(GuestSuspendRam::new()).await.map(|_| ()),
            SuspendMode::Hybrid => self.execute(GuestSuspendHybrid::new()).await.map(|_| ()),
        }
    }

    /// Freezes the guest's file systems, so that a snapshot of its disks is consistent. They are
    /// thawed when the guard is dropped.
    ///
    /// # Errors
    /// They cannot be frozen; some may have been, and all are thawed again. If the agent does not
    /// have the command, or they are frozen already, nothing is thawed.
    ///
    /// # Cancel safety
    ///
    /// If the command was sent, they are thawed as soon as it is answered.
    pub async fn freeze(&self) -> Result<Frozen> {
        let thaw = Written::new(&GuestFsfreezeThaw::new(), Some(FREEZING))?;
        let freeze = self.execute(GuestFsfreezeFreeze::new()).within(FREEZING);
        let freeze = freeze.or_undo(|outcome| {
            // An error or a deadline says nothing of how many were frozen by then.
            let frozen = outcome.map_or_else(|error| error.is_none_or(may_have_frozen), |_| true);
            frozen.then_some(thaw)
        });
        match freeze.await {
            Ok(count) => Ok(Frozen { agent: self.clone(), count, thaw: self.thawing() }),
            Err(error) => {
                if may_have_frozen(&error) {
                    let _ = self.thawing().await;
                }
                Err(error)
            }
        }
    }

    /// Thaws the guest's file systems, whoever froze them, and says how many there were.
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    pub async fn thaw(&self) -> Result<i64> {
        self.execute(GuestFsfreezeThaw::new()).within(FREEZING).await
    }

    /// Thaws them, whatever becomes of the call.
    fn thawing(&self) -> Call<GuestFsfreezeThaw> {
        self.execute(GuestFsfreezeThaw::new()).within(FREEZING).regardless()
    }
}

/// A guest whose file systems are frozen. Dropping it thaws them, by a command that nobody waits
/// for; it keeps the connection open.
///
/// If the runtime ends before that is done, the command is sent if the socket takes it at once. To
/// be sure that they are thawed, await [`thaw`](Self::thaw).
#[derive(Debug)]
#[must_use = "dropping it thaws the file systems"]
pub struct Frozen {
    agent: Agent,
    count: i64,
    /// It is made when this is dropped, if not before.
    thaw: Call<GuestFsfreezeThaw>,
}

impl Frozen {
    /// How many file systems are frozen.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.count
    }

    /// Thaws them, and says how many there were. If that fails, it is tried once more, and nobody
    /// waits for that.
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    ///
    /// # Cancel safety
    ///
    /// They are thawed all the same.
    pub async fn thaw(self) -> Result<i64> {
        let thawed = self.thaw.await;
        if thawed.is_err() {
            drop(self.agent.thawing());
        }
        thawed
    }
}

/// A connection to an agent that has not answered yet: awaiting it gives the [`Agent`].
#[derive(Debug)]
#[must_use = "awaiting it gives the agent"]
pub struct ConnectingAgent(pub(crate) Connecting);

impl Future for ConnectingAgent {
    type Output = Result<Agent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Agent>> {
        Pin::new(&mut self.0).poll(cx).map(|client| Ok(Agent { client: client? }))
    }
}
