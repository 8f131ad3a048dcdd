//! Runs the harnesses in full.

use std::fs::File;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["record", program, address, path] => {
            let recorded =
                File::create(path).and_then(|file| trust::record::record(program, address, file));
            match recorded {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("failed to record `{program}` at {address}: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        _ => {
            eprintln!("usage: trust record monitor|storage-daemon|agent ADDRESS FILE");
            ExitCode::FAILURE
        }
    }
}
