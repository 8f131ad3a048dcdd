//! Turns a copy of this crate into what is published: the code of the vocabularies in place of the
//! build script that generates it. Usage: `package DIRECTORY`
//!
//! ```text
//! vocabularies.rs ──generate──> src/generated/qmp.rs, src/generated/qga.rs
//! src/*.rs: include_vocabulary!("qmp"); ──> include!("generated/qmp.rs");
//! Cargo.toml: without build script, build dependencies, and the feature `generate`
//! build.rs, vocabularies.rs and this program ──> removed
//! ```
//!
//! Everything else is as in the copy. A part of it that is not found as expected is an error.

// The example is a program of this repository only.
#![allow(missing_docs)]

#[path = "../vocabularies.rs"]
pub(crate) mod vocabularies;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: package DIRECTORY")?;
    package(&PathBuf::from(directory))
}

pub(crate) fn package(directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut manifest = Text::read(directory.join("Cargo.toml"))?;
    let mut sources = sources(&directory.join("src"))?;
    fs::create_dir_all(directory.join("src/generated"))?;
    for (name, builder) in vocabularies::all() {
        let file = format!("generated/{name}.rs");
        fs::write(directory.join("src").join(&file), builder.generate_code()?.code)?;
        let include = format!("include_vocabulary!(\"{name}\");");
        let source = sources.iter_mut().find(|source| source.text.contains(&include));
        let source = source.ok_or_else(|| format!("no source contains this: {include}"))?;
        source.replace(&include, &format!("include!(\"{file}\");"))?;
    }
    manifest.text = manifest.text.replace("[\"generate\"]", "[]");
    manifest.remove_between("# In this repository only:", "\n[dependencies]")?;
    manifest.remove_between("[build-dependencies]", "[dev-dependencies]")?;
    manifest.remove_between("[[example]]", "[lints]")?;
    manifest.replace("\n[package.metadata", "build = false\n\n[package.metadata")?;
    sources.iter().try_for_each(Text::write)?;
    manifest.write()?;
    for file in ["build.rs", "vocabularies.rs", "examples/package.rs", "tests/package.rs"] {
        fs::remove_file(directory.join(file))?;
    }
    Ok(())
}

/// Reads the files that a vocabulary may be included in.
fn sources(directory: &Path) -> Result<Vec<Text>, Box<dyn Error>> {
    let files = fs::read_dir(directory)
        .map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let mut sources = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Text::read(path)?);
        }
    }
    Ok(sources)
}

/// A file that is changed.
struct Text {
    path: PathBuf,
    text: String,
}

impl Text {
    fn read(path: PathBuf) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(Self { path, text })
    }

    fn write(&self) -> Result<(), Box<dyn Error>> {
        Ok(fs::write(&self.path, &self.text)?)
    }

    fn replace(&mut self, old: &str, new: &str) -> Result<(), String> {
        if self.text.matches(old).count() != 1 {
            return Err(format!("{} does not contain this once: {old}", self.path.display()));
        }
        self.text = self.text.replacen(old, new, 1);
        Ok(())
    }

    /// Removes a text from its beginning up to what follows it.
    fn remove_between(&mut self, beginning: &str, next: &str) -> Result<(), String> {
        let start = self.text.find(beginning);
        let found = start.and_then(|start| Some((start, start + self.text[start..].find(next)?)));
        let Some((start, end)) = found else {
            return Err(format!("{} does not contain this: {beginning}", self.path.display()));
        };
        self.text.replace_range(start..end, "");
        Ok(())
    }
}
