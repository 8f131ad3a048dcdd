//! Measures each step from the text of a schema to Rust code.
//!
//! `cargo bench -p qmp-codegen` measures this project's schema, and
//! `QAPI_SCHEMA_DIR=<qemu>/qapi cargo bench -p qmp-codegen` that of QEMU.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use qmp_codegen::{Builder, Root, load};

const RUNS: usize = 20;

fn main() {
    let roots = roots();
    println!(
        "{}",
        roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(" ")
    );
    let load_all = || match load(roots.iter().cloned().map(Root::File)) {
        Ok(loaded) => loaded.schema,
        Err(error) => panic!("{error}"),
    };
    let schema = load_all();
    let (types, commands) = (schema.types.len(), schema.commands.len());
    println!("{types} types, {commands} commands, {} events\n", schema.events.len());
    let read = measure("read, parse, and check", load_all);
    let emit = measure("emit", || Builder::new().tokens(&schema));
    println!("{:<24} {:>8.1?}", "total", read + emit);
    measure("emit and format", || Builder::new().generate_from(&schema).map(|code| code.len()));
}

fn roots() -> Vec<PathBuf> {
    match std::env::var_os("QAPI_SCHEMA_DIR") {
        Some(directory) => vec![Path::new(&directory).join("qapi-schema.json")],
        None => {
            let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema");
            vec![schema.join("qmp-spec.json"), schema.join("qmp-events.json")]
        }
    }
}

/// Prints the median and minimum time of several runs. Returns the median.
fn measure<T>(what: &str, run: impl Fn() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let result = run();
            let time = start.elapsed();
            drop(result);
            time
        })
        .collect();
    times.sort_unstable();
    println!("{what:<24} {:>8.1?} (minimum {:.1?})", times[RUNS / 2], times[0]);
    times[RUNS / 2]
}
