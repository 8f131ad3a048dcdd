//! Tests of schemas written as text.

#![allow(clippy::unwrap_used)]

mod support;

use qmp_codegen::introspection::{Names, import};
use qmp_codegen::schema::Schema;
use support::{assert_equal_schemas, schema};

fn assert_survives(what: &str, schema: &Schema) {
    let text = qmp_codegen::text::write(schema);
    let again = support::schema(&text);
    assert_equal_schemas(what, schema, &again);
    assert_eq!(qmp_codegen::text::write(&again), text, "{what}");
}

#[test]
fn every_kind_of_definition_survives() {
    for text in [
        "{ 'enum': 'Nothing', 'data': [] }",
        "{ 'enum': 'Letters', 'prefix': 'LTR', 'if': 'CONFIG_L', 'features': [ 'f' ],
           'data': [ 'a', { 'name': 'b', 'if': { 'not': 'CONFIG_B' }, 'features': [ 'unstable' ] } ] }",
        "{ 'struct': 'Base', 'data': { 'a': 'int8', '*b': ['str'] } }
         { 'struct': 'Derived', 'base': 'Base', 'data': {
           'c': { 'type': ['Base'], 'if': { 'all': [ 'X', { 'any': [ 'Y', 'Z' ] } ] } },
           '*d': { 'type': 'any', 'features': [ { 'name': 'f', 'if': 'X' }, 'deprecated' ] } } }",
        "{ 'enum': 'Driver', 'data': [ 'x', 'y', 'z' ] } { 'struct': 'Thing', 'data': {} }
         { 'union': 'Choice', 'base': { 'd': 'Driver', '*n': 'number' }, 'discriminator': 'd',
           'data': { 'x': 'Thing', 'y': { 'type': 'Thing', 'if': 'X' } }, 'features': [ 'f' ] }
         { 'struct': 'Common', 'data': { 'd': 'Driver' } }
         { 'union': 'Other', 'base': 'Common', 'discriminator': 'd', 'data': { 'x': 'Thing' } }
         { 'command': 'c', 'boxed': true, 'data': 'Choice' }
         { 'event': 'E', 'boxed': true, 'data': 'Other', 'if': 'X' }",
        "{ 'alternate': 'Either', 'data': { 's': 'str', 'n': { 'type': 'null', 'if': 'X' } } }",
        "{ 'command': 'a', 'data': { 'x': 'size' }, 'returns': ['Thing'], 'success-response': false,
           'gen': false, 'allow-oob': true, 'allow-preconfig': true, 'features': [ 'f' ] }
         { 'command': 'b', 'coroutine': true } { 'struct': 'Thing', 'data': { 'q': 'QType' } }
         { 'command': 'd', 'data': 'Thing' } { 'event': 'E', 'data': 'Thing' } { 'event': 'F' }",
        "{ 'pragma': { 'command-name-exceptions': [ 'do_it' ],
                       'command-returns-exceptions': [ 'do_it' ],
                       'member-name-exceptions': [ 'Odd', 'Thing' ] } }
         { 'enum': 'Odd', 'data': [ 'Up', '2nd', 'a_b' ] } { 'struct': 'Thing', 'data': { 'Up': 'Odd' } }
         { 'command': 'do_it', 'data': { 'a-b': 'Thing' }, 'returns': 'Odd' }
         { 'event': 'EV', 'data': { 'a-b': 'int' } }
         { 'command': '__com.example_go', 'data': { '__com.example_x': 'int' } }",
        "{ 'pragma': { 'secret-members': [ 'Lock.code', 'Login.password', '__com.example_go.__com.example_x' ],
                       'read-only-commands': [ '__com.example_go' ] } }
         { 'enum': 'Kind', 'data': [ 'login' ] } { 'struct': 'Login', 'data': { 'password': 'str' } }
         { 'union': 'Lock', 'base': { 'kind': 'Kind', '*code': 'str' }, 'discriminator': 'kind',
           'data': { 'login': 'Login' } }
         { 'command': '__com.example_go', 'data': { '__com.example_x': 'int', 'lock': 'Lock' } }",
    ] {
        assert_survives(text, &schema(text));
    }
}

#[test]
fn documentation_survives() {
    let text = "##
# = Shelves
#
# What is on them.
##

##
# @Thing:
#
# A thing
# with two lines.
#
#     literal
#
# @name: what it is called, which
#     may take a while
#
#     and another paragraph
#
# @size:
#     * an item
#       that goes on
#     * and another
#
# Features:
#
# @heavy: it is
#
# Returns to nothing.
#
# Since: 1.2
#
# .. note:: Plain text again.
##
{ 'struct': 'Thing',
  'data': { 'name': 'str', 'size': 'int' },
  'features': ['heavy'] }

##
# @query-thing:
#
# Since: 1.0
#
# Looks at a thing.
#
# Returns: the thing,
#     or another
#
# Errors:
#     - If there is none, NotThere
#
# TODO: more of them
##
{ 'command': 'query-thing',
  'returns': 'Thing' }
";
    assert_survives("documentation", &schema(text));
}

#[test]
fn imported_introspection_survives() {
    let text = include_str!("data/introspection.json");
    assert_survives("introspection", &import(text, &Names::none()).unwrap());
}

#[test]
fn long_lines_are_broken() {
    let written = qmp_codegen::text::write(&schema(
        "{ 'command': 'c', 'data': { 'a-rather-long-name': 'str', '*another-long-name': ['str'],
           'third-of-these-names': { 'type': 'int', 'features': [ 'deprecated', 'unstable' ] } } }
         { 'enum': 'Numbers', 'data': [ 'one', 'two', 'three', 'four', 'five', 'six', 'seven',
           'eight', 'nine', 'ten', 'eleven', 'twelve' ] }
         { 'command': 'short', 'data': { 'a': 'str' } }",
    ));
    assert_eq!(
        written,
        "# -*- Mode: Python -*-
# vim: filetype=python

{ 'command': 'c',
  'data': { 'a-rather-long-name': 'str',
            '*another-long-name': ['str'],
            'third-of-these-names': { 'type': 'int',
                                      'features': [ 'deprecated',
                                                    'unstable' ] } } }

{ 'enum': 'Numbers',
  'data': [ 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight',
            'nine', 'ten', 'eleven', 'twelve' ] }

{ 'command': 'short',
  'data': { 'a': 'str' } }
"
    );
}
