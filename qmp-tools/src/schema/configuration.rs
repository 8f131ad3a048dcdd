//! The arguments that say which configuration symbols hold.

use std::path::PathBuf;

use clap::Args;
use qmp_codegen::Configuration;
use qmp_codegen::schema::Schema;

use super::{Failure, input};
use crate::cli::TimeoutArgs;
use crate::terminal::notice;

/// The arguments `--config` and `--like`.
#[derive(Args, Clone, Debug)]
pub(super) struct ConfigurationArgs {
    /// Evaluate conditions as in a build of QEMU: config-host.h, and for a system emulator
    /// TARGET-config-target.h and TARGET-config-devices.h; may be repeated
    #[arg(long = "config", value_name = "HEADER")]
    headers: Vec<PathBuf>,

    /// Evaluate conditions as in a binary: the address of a running QEMU, or a file with its reply
    /// to query-qmp-schema
    #[arg(long, value_name = "FILE|ADDRESS", conflicts_with = "headers")]
    like: Option<String>,

    #[command(flatten)]
    timeout: TimeoutArgs,
}

impl ConfigurationArgs {
    /// Reads the configuration, if one is named. Prints a warning if the binary and the schema do
    /// not fit.
    pub(super) fn read(&self, schema: &Schema) -> Result<Option<Configuration>, Failure> {
        if !self.headers.is_empty() {
            return Ok(Some(Configuration::of_build(&self.headers)?));
        }
        let Some(source) = &self.like else { return Ok(None) };
        let reply = input::read_source(source, self.timeout)?;
        let configuration = Configuration::of_reply(schema, &reply)
            .map_err(|error| format!("{source}: {error}"))?;
        let contradictory: Vec<&str> = configuration.contradictory().collect();
        if !contradictory.is_empty() {
            notice(&format!(
                "warning: {source} contradicts the schema about {}, which are left open",
                contradictory.join(", ")
            ));
        }
        Ok(Some(configuration))
    }
}
