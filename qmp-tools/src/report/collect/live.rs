//! The part of a report that changes while a machine runs.

use std::time::Duration;

use qmp_client::Error;
use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{QueryBlock, QueryBlockstats, QueryJobs, QueryMigrate};

use super::super::model::{BlockDevice, Job, Migration};
use super::block::{self, Block};
use super::machine;
use super::query::Queries;

/// The part of the report that changes from second to second.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Live {
    /// The run state.
    pub state: Option<String>,
    /// Block devices.
    pub block: Vec<BlockDevice>,
    /// Jobs.
    pub jobs: Vec<Job>,
    /// The current migration, or the last one.
    pub migration: Option<Migration>,
}

/// Queries a machine for what changes, in one round trip.
///
/// # Errors
/// The connection fails, or not one query is answered before the deadline.
pub fn live(vm: &Client, within: Duration) -> Result<Live, Error> {
    let mut queries = Queries::new(vm, within);
    let q = &mut queries;
    let status = q.ask_raw("query-status")?;
    let block = q.ask(QueryBlock::new())?;
    let stats = q.ask(QueryBlockstats::new())?;
    let jobs = q.ask(QueryJobs::new())?;
    let migration = q.ask(QueryMigrate::new())?;

    let state = q.answer(status)?.as_ref().and_then(machine::state);
    let (block, stats) = (q.answer(block)?.unwrap_or_default(), q.answer(stats)?);
    let block = Block::new(block, stats.unwrap_or_default(), Vec::new(), None);
    let jobs = q.answer(jobs)?.unwrap_or_default().into_iter().map(block::job).collect();
    let migration = q.answer(migration)?.and_then(machine::migration);
    q.check()?;
    Ok(Live { state, block: block.devices(), jobs, migration })
}
