//! Checks a schema, and says how long it took.

use std::time::Instant;

fn main() -> std::process::ExitCode {
    let roots: Vec<_> =
        std::env::args().skip(1).map(|path| qmp_codegen::Root::File(path.into())).collect();
    let start = Instant::now();
    match qmp_codegen::load(roots) {
        Ok(loaded) => {
            eprintln!("read and checked in {:?}", start.elapsed());
            eprint!("{}", qmp_codegen::diagnostic::render(&loaded.sources, &loaded.warnings));
            let start = Instant::now();
            let tokens = qmp_codegen::Builder::new().tokens(&loaded.schema);
            eprintln!("emitted in {:?}, empty: {}", start.elapsed(), tokens.is_empty());
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
