//! The configuration of a QEMU: which of the symbols hold that the conditions of its schema name.

#[cfg(feature = "introspection")]
mod deduce;
mod file;

use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(feature = "introspection")]
use crate::introspection::{ImportError, Names, import};
use crate::named::Named;
#[cfg(feature = "introspection")]
use crate::schema::Schema;
use file::{Line, lines};

/// Which configuration symbols hold in a QEMU, such as `CONFIG_SPICE`, as far as that is known.
///
/// A schema is that of a QEMU's source. What a binary has of it depends on how it was built: `if`
/// makes a definition, member, value, branch or feature depend on symbols. A configuration comes
/// from the headers of the build, or from what the binary says of itself.
///
/// ```
/// let mut configuration = qmp_codegen::Configuration::new();
/// configuration.read("#define CONFIG_SPICE 1\n#undef CONFIG_VNC\n");
/// assert_eq!(configuration.state("CONFIG_SPICE"), Some(true));
/// assert_eq!(configuration.state("CONFIG_VNC"), Some(false));
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Configuration {
    symbols: Named<bool>,
    /// Whether all symbols that hold are listed.
    complete: bool,
    /// In order.
    contradictory: Vec<String>,
}

impl Configuration {
    /// Creates a configuration of which nothing is known.
    ///
    /// ```
    /// let configuration = qmp_codegen::Configuration::new();
    /// assert_eq!(configuration.state("CONFIG_SPICE"), None);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the files of a build that define symbols: all of `config-host.h`, and for a system
    /// emulator `<target>-config-target.h` and `<target>-config-devices.h`, or the `.mak` files that
    /// Kconfig writes. A symbol that none of them defines does not hold.
    ///
    /// ```no_run
    /// let build = ["build/config-host.h", "build/x86_64-softmmu-config-devices.h"];
    /// let configuration = qmp_codegen::Configuration::of_build(build)?;
    /// println!("SPICE: {:?}", configuration.state("CONFIG_SPICE"));
    /// # Ok::<(), qmp_codegen::ConfigurationError>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error that names the file if it cannot be read or does not mention any symbol.
    pub fn of_build<P: AsRef<Path>>(
        files: impl IntoIterator<Item = P>,
    ) -> Result<Self, ConfigurationError> {
        let mut configuration = Self::new();
        for path in files {
            let path = path.as_ref();
            let text =
                file::read(path).map_err(|error| ConfigurationError::Io(path.into(), error))?;
            if configuration.read(&text) == 0 {
                return Err(ConfigurationError::NoSymbols(path.into()));
            }
        }
        Ok(configuration)
    }

    /// Adds the symbols of a file's text: a C header, or lines such as `CONFIG_VNC=y`. From then on,
    /// a symbol that is not mentioned does not hold. Returns how many lines mention a symbol.
    ///
    /// ```
    /// let mut configuration = qmp_codegen::Configuration::new();
    /// assert_eq!(configuration.read("CONFIG_VNC=y\n# CONFIG_SPICE is not set\n"), 2);
    /// assert_eq!(configuration.state("CONFIG_VNC"), Some(true));
    /// assert_eq!(configuration.state("CONFIG_SPICE"), Some(false));
    /// ```
    pub fn read(&mut self, text: &str) -> usize {
        let mut count = 0;
        for Line { symbol, holds } in lines(text) {
            count += 1;
            // One of the headers is enough.
            *self.symbols.entry(symbol.to_owned()) |= holds;
        }
        self.complete = true;
        count
    }

    /// Deduces symbols from a reply to `query-qmp-schema`: what the binary has satisfies its
    /// condition, and what it lacks does not. Only symbols that decide about something that the
    /// schema has become known.
    ///
    /// `schema` must be that of the binary's release. If the reply contradicts it about a symbol,
    /// nothing is known of that symbol, and [`contradictory`](Self::contradictory) lists it.
    ///
    /// Needs the feature `introspection`.
    ///
    /// ```
    /// use qmp_codegen::{Configuration, Root, load};
    ///
    /// let text = "{ 'command': 'park' } { 'command': 'charge', 'if': 'CONFIG_ELECTRIC' }";
    /// let schema = load([Root::Text { name: "garage.json".into(), text: text.into() }])?.schema;
    /// let reply = r#"[{"meta-type": "command", "name": "park", "arg-type": "0", "ret-type": "0"},
    ///                 {"meta-type": "object", "name": "0", "members": []}]"#;
    /// let configuration = Configuration::of_reply(&schema, reply)?;
    /// assert_eq!(configuration.state("CONFIG_ELECTRIC"), Some(false));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the reply is not introspection data.
    #[cfg(feature = "introspection")]
    pub fn of_reply(schema: &Schema, reply: &str) -> Result<Self, ImportError> {
        let binary = import(reply, &Names::none())?;
        let mut configuration = Self::new();
        configuration.deduce(&deduce::facts(schema, &binary));
        Ok(configuration)
    }

    /// Sets whether a symbol holds.
    ///
    /// ```
    /// let mut configuration = qmp_codegen::Configuration::new();
    /// configuration.set("CONFIG_SPICE", true);
    /// assert_eq!(configuration.state("CONFIG_SPICE"), Some(true));
    /// ```
    pub fn set(&mut self, symbol: impl Into<String>, holds: bool) {
        self.symbols.insert(symbol.into(), holds);
    }

    /// Returns whether a symbol holds, or `None` if that is not known.
    ///
    /// ```
    /// let mut configuration = qmp_codegen::Configuration::new();
    /// configuration.set("CONFIG_SPICE", false);
    /// assert_eq!(configuration.state("CONFIG_SPICE"), Some(false));
    /// assert_eq!(configuration.state("CONFIG_VNC"), None);
    /// ```
    #[must_use]
    pub fn state(&self, symbol: &str) -> Option<bool> {
        self.symbols.get(symbol).copied().or(self.complete.then_some(false))
    }

    /// Returns the symbols that are known, with their states, by name.
    ///
    /// ```
    /// let mut configuration = qmp_codegen::Configuration::new();
    /// configuration.read("#define CONFIG_VNC 1\n#undef CONFIG_SPICE\n");
    /// let symbols: Vec<_> = configuration.symbols().collect();
    /// assert_eq!(symbols, [("CONFIG_SPICE", false), ("CONFIG_VNC", true)]);
    /// ```
    pub fn symbols(&self) -> impl Iterator<Item = (&str, bool)> {
        let mut symbols: Vec<&str> = self.symbols.names().collect();
        symbols.sort_unstable();
        symbols.into_iter().map(|symbol| (symbol, self.symbols.get(symbol) == Some(&true)))
    }

    /// Returns the symbols about which the schema and the reply contradict each other, by name.
    ///
    /// ```
    /// use qmp_codegen::{Configuration, Root, load};
    ///
    /// let text = "
    ///     { 'command': 'plug', 'if': 'CONFIG_ELECTRIC' }
    ///     { 'command': 'charge', 'if': 'CONFIG_ELECTRIC' }";
    /// let schema = load([Root::Text { name: "garage.json".into(), text: text.into() }])?.schema;
    /// // The binary is of another release, in which only one of them depended on the symbol.
    /// let reply = r#"[{"meta-type": "command", "name": "plug", "arg-type": "0", "ret-type": "0"},
    ///                 {"meta-type": "object", "name": "0", "members": []}]"#;
    /// let configuration = Configuration::of_reply(&schema, reply)?;
    /// assert_eq!(configuration.contradictory().collect::<Vec<_>>(), ["CONFIG_ELECTRIC"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contradictory(&self) -> impl Iterator<Item = &str> {
        self.contradictory.iter().map(String::as_str)
    }
}

/// The reason why a configuration cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The file cannot be read.
    Io(PathBuf, std::io::Error),
    /// The file does not mention any symbol.
    NoSymbols(PathBuf),
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, _) => write!(f, "cannot read '{}'", path.display()),
            Self::NoSymbols(path) => {
                let path = path.display();
                write!(f, "'{path}' does not define any symbol, as config-host.h of a build does")
            }
        }
    }
}

impl std::error::Error for ConfigurationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::NoSymbols(_) => None,
        }
    }
}
