//! The errors of the compiler for what is not a request, compared with what they must say.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // tests

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns what the compiler says about a function that passes `value` as a request.
fn errors_for(value: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().unwrap();
    let source = std::env::temp_dir().join(format!("qmp-diagnostics-{}.rs", std::process::id()));
    let text = format!(
        "pub struct Mine;\n\
         pub fn execute(_: impl qmp_protocol::Request) {{}}\n\
         pub fn f() {{ execute({value}); }}\n"
    );
    std::fs::write(&source, text).unwrap();
    // Other features and compilers may have left libraries that do not fit.
    let errors = libraries(built).into_iter().map(|library| compile(&source, built, &library));
    let found = errors.into_iter().find(|errors| errors.contains("E0277"));
    std::fs::remove_file(source).unwrap();
    found.unwrap_or_else(|| panic!("no library of this crate in {}", built.display()))
}

/// Returns the libraries of this crate that have been built, the newest first.
fn libraries(built: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(built).unwrap().map(|file| file.unwrap().path());
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libqmp_protocol-") && name.ends_with(".rlib")
    };
    let mut libraries: Vec<_> = files.filter(is_library).collect();
    libraries.sort_by_key(|path| std::fs::metadata(path).and_then(|data| data.modified()).ok());
    libraries.reverse();
    libraries
}

fn compile(source: &Path, built: &Path, library: &Path) -> String {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "-o", "/dev/null"])
        .arg("-L")
        .arg(format!("dependency={}", built.display()))
        .arg("--extern")
        .arg(format!("qmp_protocol={}", library.display()))
        .arg(source)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{} compiles", source.display());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The error was about `Command`, which `Raw` and `OutOfBand` do not implement.
#[test]
#[cfg(unix)]
fn what_is_not_a_request_is_explained() {
    let errors = errors_for("Mine");
    println!("{errors}");
    assert!(errors.contains("`Mine` is not a command that can be executed"), "{errors}");
    assert!(errors.contains("`Raw`, and `OutOfBand` of a command"), "{errors}");

    let errors = errors_for("qmp_protocol::OutOfBand(Mine)");
    println!("{errors}");
    assert!(errors.contains("of a command that implements `AllowOob`"), "{errors}");
}
