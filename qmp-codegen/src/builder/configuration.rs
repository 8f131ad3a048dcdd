//! Where the configuration of a builder comes from.

use std::path::PathBuf;

use crate::configuration::Configuration;
use crate::schema::Schema;

/// The source of a configuration, which is read when code is generated.
#[derive(Clone, Debug, Default)]
pub(super) enum Source {
    #[default]
    None,
    Value(Configuration),
    /// The headers of a build.
    Build(Vec<PathBuf>),
    /// A file with a reply to `query-qmp-schema`.
    #[cfg(feature = "introspection")]
    Reply(PathBuf),
}

impl Source {
    /// Returns the files that are read.
    pub(super) fn files(&self) -> &[PathBuf] {
        match self {
            Self::None | Self::Value(_) => &[],
            Self::Build(files) => files,
            #[cfg(feature = "introspection")]
            Self::Reply(file) => std::slice::from_ref(file),
        }
    }

    /// Reads the configuration, if there is a source.
    #[cfg_attr(not(feature = "introspection"), allow(unused_variables, reason = "for replies"))]
    pub(super) fn read(&self, schema: &Schema) -> Result<Option<Configuration>, String> {
        let configuration = match self {
            Self::None => return Ok(None),
            Self::Value(configuration) => configuration.clone(),
            Self::Build(files) => Configuration::of_build(files).map_err(|e| with_cause(&e))?,
            #[cfg(feature = "introspection")]
            Self::Reply(file) => {
                let path = file.display();
                let reply = std::fs::read_to_string(file)
                    .map_err(|error| format!("cannot read '{path}': {error}"))?;
                Configuration::of_reply(schema, &reply)
                    .map_err(|error| format!("'{path}' is not introspection data: {error}"))?
            }
        };
        Ok(Some(configuration))
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
