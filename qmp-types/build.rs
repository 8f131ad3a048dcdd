//! Generates the vocabularies whose features are set from the schema crate.

#[cfg(feature = "generate")]
mod vocabularies;

use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=vocabularies.rs");
    #[cfg(feature = "generate")]
    for (name, builder) in vocabularies::all() {
        let feature = format!("CARGO_FEATURE_{}", name.to_uppercase());
        if std::env::var_os(feature).is_some() && builder.generate(name) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
