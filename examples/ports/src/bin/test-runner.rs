//! Runs a program in a guest: `test-runner MONITOR AGENT PROGRAM [ARGUMENT...]`.
//!
//! Waits until the guest has booted, runs the program there, prints its output, and shuts the guest
//! down.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::time::Duration;

    use ports::guest::Guest;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [monitor, agent, program, rest @ ..] = &arguments[..] else {
        return Err("usage: test-runner MONITOR AGENT PROGRAM [ARGUMENT...]".into());
    };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let run = || -> qmp_client::Result<bool> {
        let guest = Guest::boot(monitor, agent, Duration::from_secs(120))?;
        let output = guest.run(program, &rest)?;
        // A guest is not trustworthy: escape what it prints.
        println!("{}", output.stdout.escape_ascii());
        guest.shut_down()?;
        Ok(output.success())
    };
    if run().map_err(|error| error.report())? { Ok(()) } else { Err("the program failed".into()) }
}

#[cfg(not(unix))]
fn main() {}
