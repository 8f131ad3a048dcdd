//! A test runner's monitor and guest agent: it waits until the guest has booted, runs programs in it,
//! moves files, checks that commands cause the events that they should, and snapshots frozen disks.

use std::time::{Duration, Instant};

use qmp_client::qmp::commands::QueryCommands;
use qmp_client::{Event, Occurrence, Options, Request, Result, blocking::Client};
use qmp_vm::blocking::Agent;
use qmp_vm::{Exec, ExecOutput, ShutDown, Workflows};

/// The time between two attempts to reach an agent that is not running yet.
const RETRY: Duration = Duration::from_millis(200);

/// The largest file that is read from a guest, in bytes.
const LARGEST_FILE: usize = 64 << 20;

/// A guest under test: its monitor, and the agent in it.
#[derive(Debug)]
pub struct Guest {
    /// The monitor.
    pub vm: Client,
    /// The agent in the guest.
    pub agent: Agent,
    patience: Duration,
}

impl Guest {
    /// Connects to the monitor, and to the agent as soon as the guest has started it.
    ///
    /// # Errors
    /// The monitor does not answer, or the agent does not answer in time.
    pub fn boot(monitor: &str, agent: &str, patience: Duration) -> Result<Self> {
        let vm = Client::connect_with(monitor, &Options::new().wait_for_socket(patience))?;
        let agent = wait_for_agent(
            |within| {
                let options = Options::new().greeting_within(within).calls_within(patience);
                Agent::connect_with(agent, &options)
            },
            patience,
        )?;
        Ok(Self::new(vm, agent, patience))
    }

    /// Uses existing connections.
    #[must_use]
    pub fn new(vm: Client, agent: Agent, patience: Duration) -> Self {
        Self { vm, agent, patience }
    }

    /// Runs a program in the guest to its end, and returns its exit status and output.
    ///
    /// # Errors
    /// The program cannot be started, or does not end in time.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<ExecOutput> {
        let program = Exec::new(program).args(arguments.iter().copied()).within(self.patience);
        self.agent.exec(&program)
    }

    /// Writes a file of the guest.
    ///
    /// # Errors
    /// The file cannot be written, or not in time.
    pub fn copy_in(&self, path: &str, contents: &[u8]) -> Result<()> {
        self.agent.write_file(path, contents, self.patience)
    }

    /// Reads a file of the guest, such as a log.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub fn copy_out(&self, path: &str) -> Result<Vec<u8>> {
        self.agent.read_file(path, LARGEST_FILE, self.patience)
    }

    /// Executes a command of the monitor, and waits for the event that it must cause.
    ///
    /// # Errors
    /// QEMU refuses the command, or the event does not arrive in time.
    pub fn causes<E: Event>(&self, command: impl Request) -> Result<Occurrence<E>> {
        let call = self.vm.call(command).within(self.patience);
        call.until(|_: &E| true).map(|(_, event)| event)
    }

    /// Does something while the file systems of the guest are frozen. They are thawed in any case.
    ///
    /// # Errors
    /// Freezing or thawing fails, or `snapshot` does.
    pub fn frozen<T>(&self, snapshot: impl FnOnce(&Client) -> Result<T>) -> Result<T> {
        let frozen = self.agent.freeze()?;
        let result = snapshot(&self.vm);
        frozen.thaw()?;
        result
    }

    /// Returns whether this QEMU has a command: tests of others are skipped.
    ///
    /// # Errors
    /// Those of `Client::execute`.
    pub fn has_command(&self, name: &str) -> Result<bool> {
        let commands = self.vm.execute(QueryCommands::new())?;
        Ok(commands.iter().any(|command| command.name == name))
    }

    /// Ends the test: the guest shuts down, and if it does not, QEMU is told to quit.
    ///
    /// # Errors
    /// QEMU does not end.
    pub fn shut_down(self) -> Result<ShutDown> {
        self.vm.shut_down(self.patience)
    }
}

/// Connects until an agent answers. Nothing is lost by an attempt that fails: the next one synchronizes
/// with the agent again.
///
/// # Errors
/// The last attempt's, when the time is over.
pub fn wait_for_agent(
    mut connect: impl FnMut(Duration) -> Result<Agent>,
    patience: Duration,
) -> Result<Agent> {
    let end = Instant::now().checked_add(patience);
    loop {
        let left = end.map_or(patience, |end| end.saturating_duration_since(Instant::now()));
        match connect(left.min(Duration::from_secs(5))) {
            Ok(agent) => return Ok(agent),
            Err(error) if left.is_zero() => return Err(error),
            Err(_) => std::thread::sleep(RETRY.min(left)),
        }
    }
}
