//! The overrides of the builder: what they change, and how it says that the schema lacks a name.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

use qmp_codegen::{Builder, GenerateError};

const SCHEMA: &str = "
{ 'enum': 'Color', 'data': [ 'red', 'blue' ] }
{ 'struct': 'Blob', 'data': { 'data': 'str', '*size-hint': 'int' } }
{ 'struct': 'Wide', 'base': 'Blob', 'data': { 'width': { 'type': 'int', 'if': 'CONFIG_WIDE' } } }
{ 'union': 'Paint', 'base': { 'color': 'Color', 'coats': 'int' }, 'discriminator': 'color',
  'data': { 'red': 'Blob' } }
{ 'alternate': 'Name', 'data': { 'short': 'str', 'long': 'Blob' } }
{ 'command': 'draw', 'data': 'Blob' }
{ 'command': 'paint', 'data': 'Paint', 'boxed': true }
{ 'event': 'DRAWN', 'data': { 'lines': 'int' }, 'if': { 'any': [ 'CONFIG_DRAW', 'CONFIG_X' ] } }
";

fn builder() -> Builder {
    Builder::new().schema_text("schema.json", SCHEMA)
}

fn code(builder: &Builder) -> String {
    match builder.generate_code() {
        Ok(generated) => generated.code,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn mistakes(builder: &Builder) -> Vec<String> {
    match builder.generate_code() {
        Err(GenerateError::Request(mistakes)) => mistakes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_gets_the_type_of_the_caller() {
    let builder = builder().constructors_for_all();
    let code = code(&builder.member_type("Wide", "data", "crate::Bytes").member_type(
        "draw",
        "size-hint",
        "std::collections::HashMap<u8, u8>",
    ));
    assert!(code.contains("pub data: crate::Bytes,"), "{code}");
    assert!(code.contains("data: \"data\" (crate::Bytes),"), "{code}");
    assert!(code.contains("(std::collections::HashMap<u8, u8>),"), "{code}");
}

/// The compiler checks every function, so that only parts of other objects have those for parts.
#[test]
fn parts_of_other_objects_are_marked() {
    let is_inner = |builder: Builder, name: &str| {
        let code = code(&builder.constructors_for_all());
        assert!(code.contains(&format!("{name} = \"{name}\"")), "{code}");
        code.contains(&format!("inner {name} ="))
    };
    let schema = "
        { 'enum': 'Kind', 'data': [ 'one', 'two' ] }
        { 'struct': 'Branch', 'data': {} }
        { 'struct': 'Alternative', 'data': {} }
        { 'struct': 'Element', 'data': {} }
        { 'struct': 'Whole', 'data': {} }
        { 'union': 'Outer', 'base': { 'kind': 'Kind', 'n': 'int' }, 'discriminator': 'kind',
          'data': { 'one': { 'type': 'Branch', 'if': 'CONFIG_BRANCH' } } }
        { 'alternate': 'Either', 'data': { 'object': 'Alternative', 'array': [ 'Element' ] } }
        { 'command': 'draw', 'data': 'Whole' }
        { 'command': 'paint', 'data': { 'either': 'Either' } }
        { 'event': 'DRAWN', 'data': 'Outer', 'boxed': true }";
    let builder = || Builder::new().schema_text("schema.json", schema);
    for (name, inner) in [
        ("Branch", true),
        ("Alternative", true),
        ("Element", false),
        ("Whole", false),
        ("Outer", false),
    ] {
        assert_eq!(is_inner(builder(), name), inner, "{name}");
    }
    // Not the branch of a union that does not have it here.
    assert!(!is_inner(builder().symbols::<&str>([]), "Branch"));
}

#[test]
fn derives_reach_every_kind_of_item() {
    for name in ["Color", "Blob", "Paint", "Name", "draw", "paint", "DRAWN"] {
        let code = code(&builder().derive(name, "Probe"));
        assert_eq!(code.matches("#[derive(Probe)]").count(), 1, "{name}");
    }
}

#[test]
fn unknown_members_are_mistakes() {
    for (definition, member, message) in [
        ("Blob", "dat", "'Blob' has no member 'dat'; did you mean 'data'?"),
        ("Blob", "size_hint", "'Blob' has no member 'size_hint'; did you mean 'size-hint'?"),
        ("Wide", "size", "'Wide' has no member 'size'"),
        ("draw", "dta", "'draw' has no member 'dta'; did you mean 'data'?"),
        ("DRAWN", "line", "'DRAWN' has no member 'line'; did you mean 'lines'?"),
        ("Blub", "data", "the schema has no definition 'Blub'; did you mean 'Blob'?"),
        ("Color", "red", "'Color' is an enum and has no members whose type can be set"),
        ("Name", "short", "'Name' is an alternate and has no members whose type can be set"),
        (
            "Paint",
            "color",
            "the type of member 'color' of 'Paint' cannot be set: as the discriminator, it is the \
             enum of the branches",
        ),
        (
            "paint",
            "coats",
            "'paint' carries type 'Paint' whole; set the type of 'Paint' member 'coats'",
        ),
    ] {
        assert_eq!(mistakes(&builder().member_type(definition, member, "u8")), [message]);
    }
}

#[test]
fn unknown_names_are_mistakes() {
    let builder = builder()
        .commands(["dra"])
        .events(["DRAWNN"])
        .replace_type("Blop", "crate::Blob")
        .derive("Colr", "Eq")
        .attributes("pain", "#[cold]")
        .symbols(["CONFIG_WIDE", "CONFIG_DRAWS"]);
    assert_eq!(
        mistakes(&builder),
        [
            "the schema has no command 'dra'; did you mean 'draw'?",
            "the schema has no condition with the symbol 'CONFIG_DRAWS'; did you mean 'CONFIG_DRAW'?",
            "the schema has no definition 'Colr'; did you mean 'Color'?",
            "the schema has no definition 'pain'; did you mean 'Paint'?",
            "the schema has no event 'DRAWNN'; did you mean 'DRAWN'?",
            "the schema has no type 'Blop'; did you mean 'Blob'?",
        ]
    );
}

#[test]
fn arguments_that_do_not_parse_are_mistakes() {
    let builder = builder()
        .attributes("Blob", "derive(Eq)")
        .replace_type("Blob", "1")
        .member_type("Blob", "data", "[");
    let mistakes = mistakes(&builder);
    assert_eq!(mistakes.len(), 3);
    for (mistake, beginning) in mistakes.iter().zip([
        "`1` is not the path of a type: ",
        "`[` is not a type: ",
        "`derive(Eq)` is not a list of attributes: ",
    ]) {
        assert!(mistake.starts_with(beginning), "{mistake}");
    }
}

#[test]
fn symbols_decide_what_exists() {
    let with = |symbols: &[&str]| code(&builder().symbols(symbols.iter().copied()));
    assert!(!with(&[]).contains("pub width:"));
    assert!(with(&["CONFIG_WIDE"]).contains("pub width:"));
    assert!(with(&["CONFIG_X"]).contains("pub struct Drawn"));
    let any = builder().symbols_where(|symbol| symbol != "CONFIG_WIDE");
    assert!(!code(&any).contains("pub width:"));
}

/// QEMU's own schema does not say what is secret, and its files are not ours to change.
#[test]
fn a_root_of_its_own_says_what_is_secret() {
    let secrets = "{ 'pragma': { 'secret-members': [ 'Blob.data' ] } }";
    let code = code(&builder().schema_text("secrets.json", secrets));
    for row in [r#"("draw", &["data"])"#, r#"("paint", &["data"])"#] {
        assert!(code.contains(row), "{row}\n{code}");
    }
    assert!(code.contains("debug_without_secrets! { Wide {"), "{code}");
}

/// Everything is generated unless symbols are listed. The introspection lacked what depends on a
/// symbol not being set, so that a server refused a value that its own types have.
#[test]
fn introspection_has_what_the_types_have() {
    let schema = "
        { 'enum': 'Mode', 'data': [ 'all', { 'name': 'merged', 'if': { 'not': 'CONFIG_A' } } ] }
        { 'command': 'run', 'data': { 'mode': 'Mode' } }";
    let builder = || Builder::new().schema_text("schema.json", schema).introspection();
    let shows = |builder: &Builder| {
        let code = code(builder);
        let constant = code.split("INTROSPECTION").nth(1).unwrap().to_owned();
        constant.contains("merged")
    };
    assert!(shows(&builder()));
    assert!(!shows(&builder().symbols(["CONFIG_A"])));
    assert!(shows(&builder().symbols::<&str>([])));
}

/// A vocabulary of several files is listed by them: a flat list of a thousand types helps only a reader
/// who knows the name.
#[test]
fn modules_list_their_items_by_domain() {
    let jobs = "
        ##
        # *****
        # Jobs
        # *****
        ##
        { 'pragma': { 'doc-required': false } }

        ##
        # @Job:
        #
        # A job, e.g. a
        # backup. It has a name.
        #
        # @id: Its name.
        ##
        { 'struct': 'Job', 'data': { 'id': 'str' } }

        ##
        # @query-jobs:
        #
        # Lists the jobs.
        ##
        { 'command': 'query-jobs', 'returns': [ 'Job' ] }

        { 'command': 'job-cancel', 'data': { 'id': 'str' } }";
    let state = "{ 'command': 'stop' } { 'event': 'STOP' }";
    let builder = Builder::new().schema_text("jobs.json", jobs);
    let one = code(&builder);
    assert!(one.contains("\n/// The commands.\n#[allow("), "{one}");

    let two = code(&builder.schema_text("qapi/run-state.json", state));
    let index = "
/// The commands.
///
/// # By domain
///
/// - **Jobs:** [`query-jobs`](commands::QueryJobs), [`job-cancel`](commands::JobCancel)
/// - **run-state:** [`stop`](commands::Stop)
#[allow(";
    assert!(two.contains(index), "{two}");
    // All events are in one file.
    assert!(two.contains("\n/// The events.\n#[allow("), "{two}");

    // One page has all of them. It costs users nothing: it exists in documentation alone.
    assert!(!one.contains("mod index"), "{one}");
    let page = "
#[cfg(doc)]
/// All commands, events and types, by domain.
///
/// # Jobs
///
/// - command [`query-jobs`](commands::QueryJobs): Lists the jobs.
/// - command [`job-cancel`](commands::JobCancel)
/// - type [`Job`](types::Job): A job, e.g. a backup.
///
/// # run-state
///
/// - command [`stop`](commands::Stop)
/// - event [`STOP`](events::Stop)
pub mod index {}
";
    assert!(two.contains(page), "{two}");
}
