//! What every line of `parsecctl --json` says of itself.
//!
//! Decides nothing but where it stands in a schema.

use serde_json::{Value, json};

/// Adds the fields that say what a line is.
pub(super) fn sign(schema: &mut Value, name: &str, events: &[&str]) {
    schema["properties"]["schema"] = json!({"const": name});
    if !events.is_empty() {
        let about = "What happened; left out where a command has one result.";
        schema["properties"]["event"] = json!({"enum": events, "description": about});
    }
    if schema["required"].is_null() {
        schema["required"] = json!([]);
    }
    schema["required"].as_array_mut().unwrap().insert(0, json!("schema"));
}
