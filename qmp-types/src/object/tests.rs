//! Unions in unions in unions: each member reaches the object that has it, wherever it stands.

use serde_json::{Map, Value};

/// Declares an object with one member, and a branch that is the next object.
macro_rules! nested {
    ($($name:ident: $member:ident $text:literal, $kind:literal => $branches:ident($branch:ident);)*) => {$(
        #[derive(Clone, Debug, PartialEq)]
        struct $name {
            $member: i64,
            kind: $branches,
        }
        crate::object! { inner $name = "X" {
            $member: $text,
            kind => $kind,
        } }

        #[derive(Clone, PartialEq)]
        enum $branches {
            Inner($branch),
            Unknown { name: Box<str>, members: Map<String, Value> },
        }
        crate::branches! { $branches by $kind {
            Inner(_): "inner",
        } }
    )*};
}

nested! {
    Outermost: a "a", "kind-a" => A(Outer);
    Outer: b "b", "kind-b" => B(Inner);
    Inner: c "c", "kind-c" => C(Innermost);
}

#[derive(Clone, Debug, PartialEq)]
struct Innermost {
    d: i64,
}
crate::object! { inner Innermost = "X" {
    d: "d",
} }

/// Calls a function with each order of the elements.
fn permute<T: Clone>(elements: &mut Vec<T>, from: usize, visit: &mut impl FnMut(&[T])) {
    if from == elements.len() {
        return visit(elements);
    }
    for index in from..elements.len() {
        elements.swap(from, index);
        permute(elements, from + 1, visit);
        elements.swap(from, index);
    }
}

#[test]
fn members_reach_their_object_in_any_order() {
    let inner = Inner { c: 3, kind: C::Inner(Innermost { d: 4 }) };
    let outer = Outer { b: 2, kind: B::Inner(inner) };
    let wanted = Outermost { a: 1, kind: A::Inner(outer) };
    let mut members: Vec<&str> = [
        r#""a": 1"#,
        r#""b": 2"#,
        r#""c": 3"#,
        r#""d": 4"#,
        r#""kind-a": "inner""#,
        r#""kind-b": "inner""#,
        r#""kind-c": "inner""#,
    ]
    .into();
    let mut count = 0;
    permute(&mut members, 0, &mut |members| {
        let text = format!("{{{}}}", members.join(", "));
        let found: Outermost = crate::decode(&text).unwrap();
        assert_eq!(found, wanted, "{text}");
        // A format that does not look ahead.
        let found: Outermost = serde_json::from_str(&text).unwrap();
        assert_eq!(found, wanted, "{text}");
        count += 1;
    });
    assert_eq!(count, 5040);
    let written = serde_json::to_string(&wanted).unwrap();
    assert_eq!(crate::decode::<Outermost>(&written).unwrap(), wanted);
}

#[test]
fn a_discriminator_that_is_not_a_string_is_reported_as_such() {
    let reason = "invalid type: integer `2`, expected a string";
    for text in [r#"{"a": 1, "kind-a": 2}"#, r#"{"kind-a": 2, "a": 1}"#] {
        let error = crate::decode::<Outermost>(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        let error = serde_json::from_str::<Outermost>(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    // The discriminator of a branch that is not known yet is kept.
    let text = r#"{"kind-b": 2, "kind-a": "inner"}"#;
    let error = serde_json::from_str::<Outermost>(text).unwrap_err().to_string();
    assert!(error.contains(reason) && error.contains("`kind-b`"), "{error}");
}
