//! Running a program in the guest, by its agent.
//!
//! - The socket is there as soon as QEMU is, the agent only when the guest has booted, and it says
//!   nothing by itself. `connect` asks until it answers, and clears away what an earlier client
//!   left; how long is the `greeting_within` of the options.
//! - `guest-exec` only starts the program. `exec` then asks for its status, in pauses that grow,
//!   and decodes what it wrote.
//! - The agent keeps 16 MiB of each output, and says if there was more. It sends all of it in one
//!   message: the limit for a message, 4 MiB, is raised here for programs that write much.
//! - A program that takes too long runs on: the agent has no command to end it. So programs that
//!   may hang are better run under `timeout`.
//! - The agent may be told to refuse `guest-exec`, or be too old for it: a class of error.
//!
//! ```console
//! $ cargo run --example guest_exec --features tokio,qga -- unix:/run/agent.sock /bin/uname -a
//! ```

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use qmp_client::{Agent, Exec, ExecOutput, Options, Result};

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

/// Runs a program to its end.
pub async fn run(
    address: &str,
    program: &str,
    arguments: &[String],
    patience: Duration,
) -> Result<ExecOutput> {
    let options = Options::new()
        .wait_for_socket(Duration::from_secs(10))
        .greeting_within(patience)
        // 16 MiB twice, as base64.
        .message_size(48 << 20);
    let agent = Agent::connect_with(address, &options).await?;
    let program = Exec::new(program).args(arguments).within(patience);
    let output = agent.exec(&program).await.inspect_err(|error| {
        if error.is_command_not_found() {
            eprintln!("this agent runs no programs");
        }
    })?;
    if output.truncated {
        eprintln!("it wrote more than the agent keeps");
    }
    Ok(output)
}
