//! What real QEMUs answer, read as a schema and made again. `QMP_FACTS_DIR` names a directory
//! with `introspection-*.json`.

#![allow(clippy::unwrap_used)]

mod support;

use qmp_codegen::introspection::{Names, Naming, export, import};
use support::{answers, assert_same, canonical};

#[test]
#[ignore = "needs QMP_FACTS_DIR"]
fn an_imported_answer_exports_as_it_was() {
    for (file, text) in answers() {
        let schema =
            import(&text, &Names::none()).unwrap_or_else(|error| panic!("{file}: {error}"));
        let again = export(&schema, Naming::Masked, &|_| true);
        assert_same(&file, &canonical(&serde_json::from_str(&text).unwrap()), &again);
    }
}
