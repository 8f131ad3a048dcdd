//! Runs a program in the guest, through the guest agent.
//!
//! - QEMU opens the agent's socket at once, but the agent runs only when the guest has booted, and
//!   sends no greeting. `connect` repeats its question until the agent answers, and discards what an
//!   earlier client left unread. The option `greeting_within` limits that time.
//! - `guest-exec` only starts the program. `exec` then asks for its status, with growing pauses, and
//!   decodes its output.
//! - The agent keeps 16 MiB of each output stream, and reports whether there was more.
//! - A program that takes too long goes on: the agent has no command that ends it. Run programs that
//!   may hang under `timeout`. With `spawn` instead of `exec`, it can be waited for again.
//! - An agent may be configured to refuse `guest-exec`, or be too old to have it. Both are errors of
//!   the class `CommandNotFound`.
//!
//! If this program is killed, this is left:
//!
//! - the program in the guest, which goes on. The agent keeps its output until it is asked for its
//!   status, or ends.
//!
//! ```console
//! $ cargo run --example guest_exec --features tokio,qga -- unix:/run/agent.sock /bin/uname -a
//! ```

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use qmp_client::{Options, Result};
use qmp_vm::{Agent, Exec, ExecOutput};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, program, rest @ ..] = &arguments[..] else {
        return Err("usage: guest_exec AGENT PROGRAM ARGUMENT...".into());
    };
    let output = run(address, program, rest, Duration::from_secs(5 * 60)).await;
    let output = output.map_err(|error| error.report())?;
    std::io::stdout().write_all(&output.stdout)?;
    std::io::stderr().write_all(&output.stderr)?;
    match (output.exitcode, output.signal) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("exit status {code}").into()),
        (None, signal) => Err(format!("ended by signal {}", signal.unwrap_or(0)).into()),
    }
}

/// Runs a program, and waits until it has exited.
pub async fn run(
    address: &str,
    program: &str,
    arguments: &[String],
    patience: Duration,
) -> Result<ExecOutput> {
    let options = Options::new().wait_for_socket(Duration::from_secs(10)).greeting_within(patience);
    let guest = Agent::connect_with(address, &options).await?;
    let program = Exec::new(program).args(arguments).within(patience);
    let output = guest.exec(&program).await.inspect_err(|error| {
        if error.is_command_not_found() {
            eprintln!("this agent does not run programs");
        }
    })?;
    for (name, truncated) in
        [("output", output.stdout_truncated), ("error", output.stderr_truncated)]
    {
        if truncated {
            eprintln!("the standard {name} is over 16 MiB, and the agent has dropped the rest");
        }
    }
    Ok(output)
}
