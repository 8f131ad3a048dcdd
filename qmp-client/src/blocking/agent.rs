//! The guest agent.

use std::time::{Duration, Instant};

use qmp_types::qga::commands::{
    GuestExecStatus, GuestFileClose, GuestFileOpen, GuestFsfreezeFreeze, GuestFsfreezeThaw,
    GuestPing, GuestSuspendDisk, GuestSuspendHybrid, GuestSuspendRam,
};

use super::Client;
use super::connect::open;
use crate::address::Address;
use crate::agent::{
    Exec, ExecOutput, FREEZING, Reading, ShutdownMode, SuspendMode, Writing, may_have_frozen,
};
use crate::error::Result;
use crate::machine::Dialect;
use crate::options::Options;
use crate::request::Request;
use crate::transport::Transport;

/// A connection to the guest agent, by the socket that QEMU has for it.
///
/// The agent answers one command after the other and does not say which one it answers. So a
/// client first gets in step with it (`guest-sync-delimited`, or `guest-sync` where the agent is
/// too old), and again after a call was given up: what an earlier client left, or a late reply,
/// does no harm. That is repeated until the agent answers: in the beginning for as long as
/// [`greeting_within`](Options::greeting_within) says, later for as long as a call waits.
///
/// ```no_run
/// use qmp_client::{Exec, blocking::Agent};
///
/// let mut guest = Agent::connect("unix:/run/vm-agent.sock")?;
/// let output = guest.exec(&Exec::new("/bin/uname").arg("-r"))?;
/// println!("{}", String::from_utf8_lossy(&output.stdout));
/// let frozen = guest.freeze()?;
/// // ... take the snapshot; the guest's file systems are thawed whatever happens.
/// frozen.thaw()?;
/// # Ok::<(), qmp_client::Error>(())
/// ```
#[derive(Debug)]
pub struct Agent {
    client: Client,
}

impl Agent {
    /// Connects to the agent at this address and waits until it answers.
    ///
    /// # Errors
    /// The text is no address, nobody listens there, or no agent answers in time.
    pub fn connect(address: &str) -> Result<Self> {
        Self::connect_with(address, &Options::new())
    }

    /// [`connect`](Self::connect) with options.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub fn connect_with(address: &str, options: &Options) -> Result<Self> {
        Self::connect_to(&address.parse()?, options)
    }

    /// [`connect`](Self::connect) to an address that is one already.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), but for the text.
    pub fn connect_to(address: &Address, options: &Options) -> Result<Self> {
        let transport = open(address, options, &mut || Ok(()))?;
        Ok(Self { client: Client::handshake(transport, options, Dialect::Agent)? })
    }

    /// Makes a client of a connection that is open, and waits until the agent answers.
    ///
    /// # Errors
    /// No agent answers in time, or the connection ends.
    pub fn from_transport(transport: impl Transport + 'static, options: &Options) -> Result<Self> {
        Ok(Self { client: Client::handshake(Box::new(transport), options, Dialect::Agent)? })
    }

    /// Executes a command and waits for its reply.
    ///
    /// # Errors
    /// Those of [`Client::execute`].
    pub fn execute<R: Request>(&mut self, request: R) -> Result<R::Return> {
        self.client.execute(request)
    }

    /// Executes a command and waits for its reply no longer than `within`. Commands that end the
    /// guest or suspend it (`guest-shutdown`) are not answered on success: when no refusal has come by then, they have
    /// succeeded.
    ///
    /// # Errors
    /// Those of [`Client::execute`].
    pub fn execute_within<R: Request>(
        &mut self,
        request: R,
        within: Duration,
    ) -> Result<R::Return> {
        self.client.execute_within(request, within)
    }

    /// Asks whether it still answers.
    ///
    /// # Errors
    /// It does not.
    pub fn ping(&mut self, within: Duration) -> Result<()> {
        self.execute_within(GuestPing::new(), within).map(|_| ())
    }

    /// Runs a program in the guest, to its end.
    ///
    /// # Errors
    /// It cannot be started, or it has not ended in time: then it runs on.
    pub fn exec(&mut self, program: &Exec) -> Result<ExecOutput> {
        let mut looks = program.looks(Instant::now());
        let pid = self.execute(program.command())?.pid;
        loop {
            let status = self.execute(GuestExecStatus::new(pid))?;
            if status.exited {
                return ExecOutput::new(status);
            }
            std::thread::sleep(looks.pause(Instant::now())?);
        }
    }

    /// Reads a file of the guest's, up to `limit` bytes of it: where so many come, there may be
    /// more.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_file(&mut self, path: &str, limit: usize) -> Result<Vec<u8>> {
        let handle = self.execute(GuestFileOpen::new(path))?;
        let read = self.read_handle(handle, limit);
        let closed = self.execute(GuestFileClose::new(handle));
        let bytes = read?;
        closed.map(|_| bytes)
    }

    fn read_handle(&mut self, handle: i64, limit: usize) -> Result<Vec<u8>> {
        let mut reading = Reading::new(handle, limit);
        while let Some(next) = reading.next() {
            reading.take(&self.execute(next)?)?;
        }
        Ok(reading.into_bytes())
    }

    /// Writes a file of the guest's; what was in it is gone.
    ///
    /// # Errors
    /// It cannot be written. Part of it may be.
    pub fn write_file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let handle = self.execute(GuestFileOpen::new(path).mode("wb"))?;
        let written = self.write_handle(handle, bytes);
        let closed = self.execute(GuestFileClose::new(handle));
        written.and(closed.map(|_| ()))
    }

    fn write_handle(&mut self, handle: i64, bytes: &[u8]) -> Result<()> {
        let mut writing = Writing::new(handle, bytes);
        while let Some(next) = writing.next() {
            writing.written(self.execute(next)?.count);
        }
        Ok(())
    }

    /// Asks the guest to shut down, or to start again. That it will is not answered: the agent
    /// refuses within [ten seconds](crate::deadlines::recommended), or ends with its guest, or it
    /// is taken for agreed. When it has shut down, QEMU's event `SHUTDOWN` tells.
    ///
    /// # Errors
    /// The agent refuses, or another command has to be waited for that it does not answer.
    pub fn shutdown(&mut self, mode: ShutdownMode) -> Result<()> {
        self.execute(mode.command()).map(|_| ())
    }

    /// Asks the guest to suspend itself, which is not answered either: see
    /// [`shutdown`](Self::shutdown). QEMU's events `SUSPEND` and `SUSPEND_DISK` tell when it has,
    /// `system_wakeup` wakes it.
    ///
    /// # Errors
    /// Those of [`shutdown`](Self::shutdown), as when the guest cannot do that.
    pub fn suspend(&mut self, mode: SuspendMode) -> Result<()> {
        match mode {
            SuspendMode::Disk => self.execute(GuestSuspendDisk::new()).map(|_| ()),
            SuspendMode::Ram => self.execute(GuestSuspendRam::new()).map(|_| ()),
            SuspendMode::Hybrid => self.execute(GuestSuspendHybrid::new()).map(|_| ()),
        }
    }

    /// Freezes the guest's file systems, so that a snapshot of its disks is consistent. They are
    /// thawed when the guard is dropped.
    ///
    /// # Errors
    /// They cannot be frozen; some may have been, and all are thawed again. If the agent does not
    /// have the command, or they are frozen already, nothing is thawed.
    pub fn freeze(&mut self) -> Result<Frozen<'_>> {
        match self.execute_within(GuestFsfreezeFreeze::new(), FREEZING) {
            Ok(count) => Ok(Frozen { agent: self, count, thawed: false }),
            Err(error) => {
                // An error or a deadline says nothing of how many were frozen by then.
                if may_have_frozen(&error) {
                    let _ = self.thaw();
                }
                Err(error)
            }
        }
    }

    /// Thaws the guest's file systems, whoever froze them, and says how many there were.
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    pub fn thaw(&mut self) -> Result<i64> {
        self.execute_within(GuestFsfreezeThaw::new(), FREEZING)
    }

    /// The client of it, for all else.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// A guest whose file systems are frozen. Dropping it thaws them.
#[derive(Debug)]
#[must_use = "dropping it thaws the file systems"]
pub struct Frozen<'a> {
    agent: &'a mut Agent,
    count: i64,
    thawed: bool,
}

impl Frozen<'_> {
    /// How many file systems are frozen.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.count
    }

    /// Thaws them, and says how many there were. If that fails, it is tried once more.
    ///
    /// # Errors
    /// The agent refuses, or does not answer.
    pub fn thaw(mut self) -> Result<i64> {
        let count = self.agent.thaw()?;
        self.thawed = true;
        Ok(count)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if !self.thawed {
            // There is nobody left to tell.
            let _ = self.agent.thaw();
        }
    }
}
