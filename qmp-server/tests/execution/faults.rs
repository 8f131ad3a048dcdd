//! Handlers that misbehave, and servers that cannot be built.

use qmp_server::{BuildError, Connection, Context, Router, SchemaError, Server};
use qmp_types::{Empty, Version};
use serde_json::json;

use crate::vmm::{Emptied, Front, Missing, Nested, NestedClient, Ping, Vm, router, schema};

#[test]
fn a_panic_in_a_handler_is_an_error_reply() {
    for front in Front::all() {
        let server = front.server();
        let mut client = front.connect(&server).negotiated();
        for (command, arguments, expected) in [
            ("panic", "{'kind': 'x'}", "the handler of the command panic panicked"),
            ("panic-borrowing", "{}", "the handler of the command panic-borrowing panicked"),
            ("panic-async", "{}", "the handler of the command panic-async panicked"),
            ("forget", "{}", "the handler of the command forget has not replied"),
        ] {
            let reply = client.execute(command, arguments);
            assert_eq!(reply["error"]["class"], "GenericError", "{reply}");
            assert_eq!(reply["error"]["desc"], expected, "{}", front.name);
        }
        // The client and the machine can still be used.
        assert_eq!(client.execute("count", "{}"), json!({"return": 1}), "{}", front.name);
    }
}

/// A handler that uses the machine while it borrows it used to wait for itself.
#[test]
fn nested_use_of_the_machine_is_an_error_reply() {
    let handle: std::sync::Arc<std::sync::OnceLock<Server<Vm>>> = std::sync::Arc::default();
    let (direct, client) = (handle.clone(), handle.clone());
    let router = router()
        .command(move |_: &mut Vm, _: Nested, _: &mut Context| {
            direct.get().unwrap().with_machine(|_, _| ());
            Ok(Empty {})
        })
        .command(move |_: &mut Vm, _: NestedClient, _: &mut Context| {
            let client: Connection<Vm> = client.get().unwrap().connect();
            client.receive(b"{'execute': 'qmp_capabilities'} {'execute': 'count', 'id': 1}");
            Ok(String::from_utf8(client.take_output()).unwrap())
        });
    let server = Server::new(Version::default(), router, Vm::default()).unwrap();
    handle.set(server.clone()).unwrap();
    for front in Front::all() {
        let mut client = front.connect(&server).negotiated();
        let reply = client.execute("nested", "{}");
        assert_eq!(reply["error"]["desc"], "the handler of the command nested panicked");
        let reply = client.execute("nested-client", "{}");
        let nested = reply["return"].as_str().unwrap();
        assert!(nested.contains("the machine is used by a handler"), "{nested}");
        assert!(client.execute("count", "{}")["return"].is_number());
    }
}

#[test]
fn a_schema_that_cannot_be_read_is_an_error() {
    let build = |schema: &str| {
        let router = Router::new().introspection(schema.to_owned());
        let router = router.command(|_: &mut (), _: Ping, _: &mut Context| Ok(Empty {}));
        Server::new(Version::default(), router, ()).map(drop).unwrap_err()
    };
    assert!(matches!(build("[oops"), BuildError::Schema(SchemaError::Json(_))));
    assert!(matches!(build("{}"), BuildError::Schema(SchemaError::Json(_))));
    for (schema, expected) in [
        (r#"[{"meta-type": "enum"}]"#, SchemaError::Unnamed(0)),
        (r#"[{"name": "x", "meta-type": "y"}]"#, SchemaError::UnknownMetaType("x".to_owned())),
        (
            r#"[{"name": "x", "meta-type": "array", "element-type": "y"}]"#,
            SchemaError::UnknownType { name: "x".to_owned(), reference: "y".to_owned() },
        ),
        (
            r#"[{"name": "x", "meta-type": "enum"}, {"name": "x", "meta-type": "enum"}]"#,
            SchemaError::Duplicate("x".to_owned()),
        ),
    ] {
        assert_eq!(build(schema), BuildError::Schema(expected));
    }
    assert_eq!(build("[]"), BuildError::CommandsNotInSchema(vec!["ping".to_owned()]));
}

/// A server that does not start prints the error alone, so it names what is to be mended.
#[test]
fn an_error_in_building_a_server_says_what_to_mend() {
    let router = || Router::new().command(|_: &mut (), _: Ping, _: &mut Context| Ok(Empty {}));
    let build = |router| Server::new(Version::default(), router, ()).map(drop).unwrap_err();
    let invalid = build(router().introspection(r#"[{"meta-type": "enum"}]"#));
    assert_eq!(invalid.to_string(), "the schema of the server's commands is invalid");
    let cause = std::error::Error::source(&invalid).unwrap().to_string();
    assert_eq!(cause, SchemaError::Unnamed(0).to_string());
    for (error, text) in [
        (build(router()), "the router has no schema; pass the vocabulary's INTROSPECTION to"),
        (
            build(router().introspection("[]")),
            "the schema lacks commands that have handlers: ping;",
        ),
        (
            build(router().introspection(schema()).event::<Emptied>()),
            "the schema lacks events of the router: EMPTIED",
        ),
        (
            build(router().introspection(schema()).handles_all()),
            "commands of the schema have no handlers: ",
        ),
    ] {
        assert!(error.to_string().starts_with(text), "{error}");
        assert!(std::error::Error::source(&error).is_none(), "{error}");
    }
}

#[test]
fn checks_are_turned_off_only_on_request() {
    let router = || Router::new().command(|_: &mut (), _: Ping, _: &mut Context| Ok(Empty {}));
    let build = |router| Server::new(Version::default(), router, ()).map(drop);
    assert_eq!(build(router()), Err(BuildError::NoSchema));
    // What a program shows whose `main` returns the error.
    let shown = format!("{:?}", BuildError::NoSchema);
    assert_eq!(shown, format!("BuildError({})", BuildError::NoSchema));
    assert_eq!(build(router().unchecked()), Ok(()));
    assert_eq!(build(router().introspection("[]").unchecked_command::<Ping>()), Ok(()));
    let with_event = router().introspection(schema()).event::<Emptied>();
    assert_eq!(build(with_event), Err(BuildError::EventsNotInSchema(vec!["EMPTIED".to_owned()])));
}

#[test]
fn commands_without_handlers_are_listed() {
    let server = Server::new(Version::default(), router(), Vm::default()).unwrap();
    assert_eq!(server.unhandled_commands(), ["nested", "nested-client", "missing"]);
    let unhandled = Server::new(Version::default(), router().handles_all(), Vm::default());
    let Err(BuildError::Unhandled(names)) = unhandled else { panic!("{unhandled:?}") };
    assert_eq!(names, ["nested", "nested-client", "missing"]);
    let mut client = Front::all()[0].connect(&server).negotiated();
    let reply = client.execute("missing", "{}");
    assert_eq!(
        reply["error"],
        json!({"class": "CommandNotFound", "desc": "The command missing has not been found"})
    );
    let commands = client.execute("query-commands", "{}").to_string();
    assert!(commands.contains("query-version") && !commands.contains("missing"));
    let complete = router().command(|_: &mut Vm, _: Missing, _: &mut Context| Ok(Empty {}));
    let server = Server::new(Version::default(), complete, Vm::default()).unwrap();
    assert_eq!(server.unhandled_commands(), ["nested", "nested-client"]);
}

/// The schema has its own types with the numbers that those of the protocol might have.
#[test]
fn introspection_contains_the_commands_of_the_protocol() {
    let server = Server::new(Version::default(), router(), Vm::default()).unwrap();
    let mut client = Front::all()[0].connect(&server).negotiated();
    let reply = client.execute("query-qmp-schema", "{}");
    let entries = reply["return"].as_array().unwrap();
    let find = |name: &str| {
        let mut found = entries.iter().filter(|entry| entry["name"] == *name);
        let entry = found.next().unwrap_or_else(|| panic!("{name}"));
        assert!(found.next().is_none(), "{name} is duplicated");
        entry
    };
    for name in ["qmp_capabilities", "query-version", "query-commands", "query-qmp-schema"] {
        assert_eq!(find(name)["meta-type"], "command");
    }
    // From a command to the members of its return type.
    let version = find(find("query-version")["ret-type"].as_str().unwrap());
    assert_eq!(version["members"][0]["name"], "qemu");
    let triple = find(version["members"][0]["type"].as_str().unwrap());
    assert_eq!(triple["members"][0], json!({"name": "major", "type": "int"}));
    let sleep = find(find("sleep")["arg-type"].as_str().unwrap());
    assert_eq!(sleep["members"], json!([{"name": "ms", "type": "int"}]));
    // The arguments of the protocol's own commands are checked, too.
    let reply = client.execute("query-version", "{'x': 1}");
    assert_eq!(reply["error"]["desc"], "Parameter 'x' is unexpected");
    let reply = client.execute("sleep", "{'ms': 'soon'}");
    assert_eq!(reply["error"]["desc"], "Parameter 'ms' expects uint64");
}
