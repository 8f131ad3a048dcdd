//! Addresses, in QEMU's spelling and as paths.

#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::path::Path;

use qmp_client::{Address, ToAddress};

fn unix(path: &str) -> Address {
    Address::Unix(path.into())
}

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.into(), port }
}

#[test]
fn addresses_are_spelled_as_on_qemus_command_line() {
    for (text, address) in [
        ("unix:/run/vm.sock", unix("/run/vm.sock")),
        ("unix:/run/vm.sock,server=on,wait=off", unix("/run/vm.sock")),
        ("unix:/run/vm.sock,server,nowait", unix("/run/vm.sock")),
        ("unix:a,,b,server=on", unix("a,b")),
        ("unix:@vm", Address::Abstract("vm".into())),
        ("unix:vm,server=on,abstract=on", Address::Abstract("vm".into())),
        ("/run/vm.sock", unix("/run/vm.sock")),
        ("/run/a,b", unix("/run/a,b")),
        ("vm.sock", unix("vm.sock")),
        ("./host:4444", unix("./host:4444")),
        ("tcp:localhost:4444", tcp("localhost", 4444)),
        ("tcp:127.0.0.1:4444,server=on,wait=off", tcp("127.0.0.1", 4444)),
        ("tcp::4444", tcp("", 4444)),
        ("tcp:[::1]:4444", tcp("::1", 4444)),
        ("localhost:4444", tcp("localhost", 4444)),
        (":4444", tcp("", 4444)),
        ("[::1]:4444", tcp("::1", 4444)),
        ("telnet:localhost:4444,server=on,wait=off", tcp("localhost", 4444)),
        ("-qmp unix:/run/vm.sock,server=on,wait=off", unix("/run/vm.sock")),
        ("--qmp=tcp:localhost:4444", tcp("localhost", 4444)),
        ("-qmp-pretty unix:/run/vm.sock", unix("/run/vm.sock")),
        ("socket,id=mon,path=/run/a,,b,server=on,wait=off", unix("/run/a,b")),
        ("-chardev socket,path=vm,abstract=on,id=mon", Address::Abstract("vm".into())),
        ("backend=socket,host=::1,port=4444", tcp("::1", 4444)),
        ("socket,port=4444,host=localhost,telnet=on", tcp("localhost", 4444)),
    ] {
        let parsed: Address = text.parse().unwrap();
        assert_eq!(parsed, address, "{text}");
        assert_eq!(parsed.to_string().parse(), Ok(address), "{text}");
    }
}

#[test]
fn an_invalid_address_says_why() {
    for (text, reason) in [
        ("", "empty"),
        ("unix:", "path is missing"),
        ("unix:@", "abstract name"),
        ("tcp:localhost", "port is missing"),
        ("tcp:localhost:http", "number"),
        ("tcp:localhost:70000", "number"),
        ("tcp:::1:4444", "brackets"),
        ("tcp:4444", "tcp:localhost:PORT"),
        ("::1:4444", "brackets"),
        ("fd:3", "qmp ls"),
        ("socket,id=mon,fd=3", "qmp ls"),
        ("socket,id=mon,server=on", "neither `path` nor `port`"),
        ("socket,path=", "path is missing"),
        ("tcp:localhost:4444,websocket=on", "websockets"),
        ("unix:vm,tls-creds=tls0", "TLS"),
        ("tn3270:localhost:4444", "supported"),
        ("http://localhost:4444", "supported"),
        ("chardev:mon", "-chardev"),
        ("chardev=mon,mode=control", "-chardev"),
        ("-qmp", "empty"),
    ] {
        let error = text.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

/// A path is taken as it is, without being parsed: a comma in it is part of the name.
#[test]
fn paths_are_taken_as_they_are() {
    let path = Path::new("/run/tcp:a,b");
    let address = unix("/run/tcp:a,b");
    assert_eq!(path.to_address(), Ok(address.clone()));
    assert_eq!(path.to_owned().to_address(), Ok(address.clone()));
    assert_eq!((&path).to_address(), Ok(address.clone()));
    assert_eq!(address.to_address(), Ok(address));
    assert_eq!("unix:/run/vm.sock".to_address(), Ok(unix("/run/vm.sock")));
    assert!(String::from("tcp:x").to_address().is_err());
}
