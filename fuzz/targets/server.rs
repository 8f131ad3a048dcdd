//! Feeds bytes from a client to the simulated virtual machine, in pieces. All its output must be JSON
//! objects.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qmp_server::Simulator;
use serde_json::Value;

fuzz_target!(|pieces: Vec<&[u8]>| {
    // The input must not create files.
    let simulator = Simulator::builder().sees_host(false).build();
    let connection = simulator.connection();
    let mut output = connection.take_output();
    connection.receive(b"{'execute': 'qmp_capabilities'}");
    for piece in pieces {
        connection.receive(piece);
        output.extend(connection.take_output());
    }
    for message in serde_json::Deserializer::from_slice(&output).into_iter::<Value>() {
        assert!(message.expect("output is JSON").is_object());
    }
});
