//! Both clients have the same methods: moving a program from one to the other means adding or
//! deleting `.await`. This test reads the source, and fails for a method that only one client has or
//! whose parameters differ, unless the reason is listed here.

#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{FnArg, ImplItem, Item, Visibility};

/// Methods that only one client has, and why.
const ALONE: &[(&str, &str)] = &[
    // The driver must be polled meanwhile, so that the asynchronous one is a future.
    ("blocking Connecting::negotiate", "the asynchronous one is awaited"),
    // `receive` can be polled together with a timer, as long as its caller likes.
    ("blocking Ticket::arrives_within", "the future of the asynchronous one can be polled again"),
];

/// Methods whose parameters differ, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("Client::over", "each has its own kind of stream"),
    // With a name for the closure's type, the future can be named.
    ("Call::until", "the asynchronous one names the type of its closure"),
    ("Call::until_some", "the asynchronous one names the type of its closure"),
];

/// Returns the public methods of the types in these files, with their parameters.
fn methods(files: &[PathBuf]) -> BTreeMap<String, String> {
    let mut methods = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for item in syn::parse_file(&text).unwrap().items {
            let Item::Impl(item) = item else { continue };
            if item.trait_.is_some() {
                continue;
            }
            let name = item.self_ty.to_token_stream().to_string();
            let name = name.split([' ', '<']).next().unwrap().to_owned();
            for method in item.items {
                let ImplItem::Fn(method) = method else { continue };
                if !matches!(method.vis, Visibility::Public(_)) {
                    continue;
                }
                let parameters = method.sig.inputs.iter().map(parameter).collect::<Vec<_>>();
                let name = format!("{name}::{}", method.sig.ident);
                methods.insert(name, parameters.join(", "));
            }
        }
    }
    methods
}

fn parameter(argument: &FnArg) -> String {
    match argument {
        FnArg::Receiver(receiver) => {
            let receiver = receiver.to_token_stream().to_string();
            receiver.strip_prefix("mut ").unwrap_or(&receiver).to_owned()
        }
        FnArg::Typed(typed) => typed.ty.to_token_stream().to_string(),
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Returns whether both clients have the type of this method.
fn is_shared(name: &str) -> bool {
    let (of, _) = name.split_once("::").unwrap();
    ["Call", "Client", "Connecting", "Events", "Ticket", "Undo"].contains(&of)
}

#[test]
fn both_clients_have_the_same_methods() {
    let blocking = methods(&files("blocking"));
    let mut sources = files("nonblocking");
    // The constructors need a runtime.
    sources.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tokio.rs"));
    let nonblocking = methods(&sources);
    let mut faults = Vec::new();
    let alone = |name: &str| ALONE.iter().any(|(listed, _)| *listed == name);
    let different = |name: &str| DIFFERENT.iter().any(|(listed, _)| *listed == name);
    for (name, parameters) in blocking.iter().filter(|(name, _)| is_shared(name)) {
        match nonblocking.get(name) {
            None if alone(&format!("blocking {name}")) => {}
            None => faults.push(format!("only the blocking client has {name}")),
            Some(others) if parameters == others || different(name) => {}
            Some(others) => faults.push(format!("{name} takes ({parameters}) and ({others})")),
        }
    }
    for name in nonblocking.keys().filter(|name| is_shared(name)) {
        if !blocking.contains_key(name) && !alone(&format!("asynchronous {name}")) {
            faults.push(format!("only the asynchronous client has {name}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The files were found and read.
    for name in ["Client::execute", "Client::connect", "Call::until", "Events::next_within"] {
        assert!(blocking.contains_key(name) && nonblocking.contains_key(name), "{name}");
    }
    for (name, _) in DIFFERENT {
        assert_ne!(
            blocking.get(*name),
            nonblocking.get(*name),
            "{name} is listed but does not differ"
        );
    }
}
