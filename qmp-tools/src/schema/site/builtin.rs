//! The schemas that this program was built with, as the build script has written them.

use qmp_codegen::Root;
use serde_json::Value;

use super::super::{Failure, input};
use super::model::{Domain, Part};

/// The schemas, without their division into files.
const TEXTS: [(&str, &str); 2] = [
    ("Monitor", include_str!(concat!(env!("OUT_DIR"), "/monitor.json"))),
    ("Guest agent", include_str!(concat!(env!("OUT_DIR"), "/agent.json"))),
];
/// The files of each schema, with the names of what they define.
const DOMAINS: &str = include_str!(concat!(env!("OUT_DIR"), "/domains.json"));

/// Returns the schemas of the monitor and of the guest agent.
pub(in crate::schema) fn parts() -> Result<Vec<Part>, Failure> {
    let domains: Vec<Value> = serde_json::from_str(DOMAINS)?;
    let part = |((title, text), domains): (&(&str, &str), Value)| {
        let root = Root::Text { name: "builtin".to_owned(), text: (*text).to_owned() };
        let loaded = qmp_codegen::load([root]).map_err(|error| input::invalid_schema(&error))?;
        let domains = domains.as_array().into_iter().flatten().map(domain).collect();
        Ok(Part { title: (*title).to_owned(), schema: loaded.schema, domains: Some(domains) })
    };
    TEXTS.iter().zip(domains).map(part).collect()
}

fn domain(value: &Value) -> Domain {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let path = text("path");
    let domain = Domain::new(&texts(value.get("introduction")), &path);
    Domain { file: text("page"), definitions: texts(value.get("definitions")), ..domain }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let elements = value.and_then(Value::as_array).into_iter().flatten();
    elements.filter_map(|element| element.as_str().map(str::to_owned)).collect()
}
