//! An independent judge of values against the published schemas, stricter than a client would be:
//! what a schema doesn't mention is refused, so that a field nobody described is found.

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// Makes a judge of a schema, which may refer to what is beside it in `around`.
pub(crate) fn judge(schema: &Value, around: &Value) -> Validator {
    let mut whole = around.clone();
    whole["allOf"] = json!([schema]);
    close(&mut whole);
    jsonschema::options()
        .with_draft(Draft::Draft7)
        .build(&whole)
        .unwrap_or_else(|error| panic!("{error}: {schema}"))
}

/// Forbids what is not mentioned, wherever fields are listed.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(close);
            if map.get("properties").is_some_and(Value::is_object)
                && map.get("type") == Some(&json!("object"))
            {
                map.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// What is wrong with a value.
pub(crate) fn faults(judge: &Validator, value: &Value) -> Vec<String> {
    judge
        .iter_errors(value)
        .map(|error| format!("{} at {:?}", error, error.instance_path().to_string()))
        .collect()
}
