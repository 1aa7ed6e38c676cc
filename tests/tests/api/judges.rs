//! The judges of an OpenRPC document: of what each method takes and gives, of what notifications
//! carry, of problems.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::judge::judge;

/// The judges of an OpenRPC document.
pub(crate) struct Judges {
    pub(crate) takes: BTreeMap<String, Validator>,
    pub(crate) gives: BTreeMap<String, Validator>,
    pub(crate) tells: BTreeMap<String, Validator>,
    pub(crate) problem: Validator,
}

impl Judges {
    pub(crate) fn new(document: &Value) -> Self {
        let around = json!({"components": {"schemas": document["components"]["schemas"]}});
        let judge = |schema: &Value| judge(schema, &around);
        let each = |key: &str, make: &dyn Fn(&Value) -> Value| {
            let entries = document[key].as_array().unwrap().iter();
            entries.map(|entry| (entry["name"].as_str().unwrap().to_owned(), judge(&make(entry)))).collect()
        };
        Self {
            takes: each("methods", &parameters),
            gives: each("methods", &|method| method["result"]["schema"].clone()),
            tells: each("x-notifications", &parameters),
            problem: judge(&json!({"$ref": "#/components/schemas/Problem"})),
        }
    }
}

/// The list of parameters as one schema.
fn parameters(method: &Value) -> Value {
    let params = method["params"].as_array().unwrap();
    if method["paramStructure"] == "by-position" {
        let items: Vec<_> = params.iter().map(|param| &param["schema"]).collect();
        return json!({"type": "array", "items": items, "additionalItems": false, "minItems": items.len()});
    }
    let fields: Map<_, _> = params
        .iter()
        .map(|param| (param["name"].as_str().unwrap().to_owned(), param["schema"].clone()))
        .collect();
    let required: Vec<_> =
        params.iter().filter(|param| param["required"] == true).map(|param| &param["name"]).collect();
    json!({"type": "object", "properties": fields, "required": required, "additionalProperties": false})
}
