//! A schema may have exactly as much as a limit says, and not one more.

#![allow(clippy::unwrap_used)] // tests

use qmp_codegen::{Root, load};

/// Returns the errors of a schema; an empty text if it is accepted.
fn errors(text: String) -> String {
    let root = Root::Text { name: String::from("limits.json"), text };
    load([root]).err().map(|error| error.to_string()).unwrap_or_default()
}

/// Whether a definition comes before or after those that it consists of makes no difference.
#[test]
fn bases_and_branches_may_be_a_hundred_levels_deep() {
    let based = |n: usize| match n {
        1 => String::from("{ 'struct': 'T1x', 'data': {} }\n"),
        n => format!("{{ 'struct': 'T{n}x', 'base': 'T{}x', 'data': {{}} }}\n", n - 1),
    };
    let branched = |n: usize| match n {
        1 => String::from("{ 'enum': 'Kind', 'data': [ 'a' ] }\n{ 'struct': 'T1x', 'data': {} }\n"),
        n => format!(
            "{{ 'union': 'T{n}x', 'base': {{ 'k{n}': 'Kind' }}, 'discriminator': 'k{n}', \
             'data': {{ 'a': 'T{}x' }} }}\n",
            n - 1
        ),
    };
    for definition in [&based as &dyn Fn(usize) -> String, &branched] {
        let inner_first = |count: usize| (1..=count).map(definition).collect::<String>();
        let outer_first = |count: usize| (1..=count).rev().map(definition).collect::<String>();
        for text in [inner_first(100), outer_first(100)] {
            assert_eq!(errors(text), "");
        }
        // Those that consist of the first that is too deep are not reported.
        for text in [inner_first(101), inner_first(103), outer_first(101), outer_first(103)] {
            let error = errors(text);
            let expected = "'T101x': bases and branches are nested more than 100 levels deep";
            assert!(error.contains(expected), "{error}");
            assert_eq!(error.matches("error: ").count(), 1, "{error}");
        }
    }
}

/// A description is repeated in each member that has the feature: 16 MiB in all.
#[test]
fn descriptions_of_features_may_take_sixteen_mebibytes() {
    let description = "a".repeat(1 << 20);
    let errors = |count: usize| {
        let members: Vec<String> = (0..count)
            .map(|n| format!("'m{n}': {{ 'type': 'int', 'features': [ 'slow' ] }}"))
            .collect();
        errors(format!(
            "##\n# @Shelf:\n#\n# Features:\n# @slow: {description}\n##\n\
             {{ 'struct': 'Shelf', 'data': {{ {} }} }}\n",
            members.join(", ")
        ))
    };
    assert_eq!(errors(16), "");
    let error = errors(17);
    assert!(error.contains("the description of feature 'slow' is repeated"), "{error:.300}");
}
