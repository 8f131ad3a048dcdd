//! Asks many servers of the same build what they can do, and keeps the answers.
//!
//! The figure is the memory that each connection takes for that; the time until its answer is known is
//! noted.

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::QueryQmpSchema;
use qmp_vm::Workflows;

use crate::entry::Task;
use crate::measure::{Meter, resident};
use crate::{Anything, floors};

/// Asks each of some connections, and keeps the answers.
fn keep<C, T>(
    task: &Task<'_>,
    connections: &mut [C],
    ask: impl FnMut(&mut C) -> Anything<T>,
) -> Anything<f64> {
    let before = resident();
    let meter = Meter::start();
    let kept = connections.iter_mut().map(ask).collect::<Result<Vec<_>, _>>()?;
    task.note("us CPU to be ready", meter.each(task.count));
    let after = resident();
    drop(kept);
    Ok((after - before) / task.count as f64)
}

fn connect(task: &Task<'_>) -> Anything<Vec<Client>> {
    (0..task.count).map(|_| Ok(Client::connect(task.path)?)).collect()
}

/// Reads each answer, and keeps nothing.
pub fn raw(task: &Task<'_>) -> Anything<f64> {
    let mut buffer = vec![0; 1 << 20];
    let mut streams = (0..task.count)
        .map(|_| floors::connect(task, &mut buffer))
        .collect::<Result<Vec<_>, _>>()?;
    keep(task, &mut streams, |stream| floors::ask_schema(stream, &mut buffer))
}

/// Keeps each answer as the types of the vocabulary.
pub fn decoded(task: &Task<'_>) -> Anything<f64> {
    keep(task, &mut connect(task)?, |client| Ok(client.execute(QueryQmpSchema::new())?))
}

/// Keeps what the workflow returns, which shares equal answers.
pub fn shared(task: &Task<'_>) -> Anything<f64> {
    keep(task, &mut connect(task)?, |client| {
        let capabilities = client.capabilities()?;
        assert!(capabilities.has("query-status/ret-type/running"));
        Ok(capabilities)
    })
}
