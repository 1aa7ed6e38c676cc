//! What earlier minor versions of the local API promised still holds: docs/openrpc.json against
//! tests/openrpc/api-*.json, one file for each version of this major number.
//!
//! Decides by the rules of docs/local-api.md, *Versions*: things are added, never taken away. Until
//! 0.1.0 is released nothing is given out to anybody: names may still change, for which the major
//! number goes up, the file of the former one goes, and that of the new one is made. From then on a
//! file that is here is never changed.

use std::collections::BTreeSet;
use std::path::Path;

use parsec_protocol::control::{API_OLDEST, API_VERSION};
use parsec_tests::openrpc;
use serde_json::{Map, Value, json};

/// Everything of the old document that a client of it would miss in the new one.
fn broken(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["methods", "x-notifications"] {
        for was in old[key].as_array().unwrap() {
            let name = was["name"].as_str().unwrap();
            match new[key].as_array().unwrap().iter().find(|now| now["name"] == was["name"]) {
                Some(now) => call(name, was, now, &mut found),
                None => found.push(format!("{name} is gone")),
            }
        }
    }
    for (name, was) in old["components"]["schemas"].as_object().unwrap() {
        schema(name, was, &new["components"]["schemas"][name], &mut found);
    }
    for (name, was) in old["components"]["errors"].as_object().unwrap() {
        let now = &new["components"]["errors"][name];
        // Words are for people, and no client may count on them (docs/local-api.md).
        let said = |key: &str| matches!(key, "hint" | "message");
        let mut data = was["data"].as_object().unwrap().iter().filter(|(key, _)| !said(key));
        let differs = data.any(|(key, value)| now["data"][key] != *value);
        if differs || was["code"] != now["code"] {
            found.push(format!("the error {name} is gone or means something else"));
        }
    }
    found
}

/// One method or notification.
fn call(name: &str, was: &Value, now: &Value, found: &mut Vec<String>) {
    if was["paramStructure"] != now["paramStructure"] {
        found.push(format!("{name} takes its parameters otherwise"));
    }
    for param in now["params"].as_array().unwrap() {
        let before = was["params"].as_array().unwrap().iter().find(|before| before["name"] == param["name"]);
        if param["required"] == true && before.is_none_or(|before| before["required"] != true) {
            found.push(format!("{name} needs {} now", param["name"]));
        }
    }
    for param in was["params"].as_array().unwrap() {
        let at = format!("{name}.{}", param["name"]);
        match now["params"].as_array().unwrap().iter().find(|now| now["name"] == param["name"]) {
            Some(now) => schema(&at, &param["schema"], &now["schema"], found),
            None => found.push(format!("{at} is gone")),
        }
    }
    if !was["result"].is_null() {
        schema(&format!("{name}'s result"), &was["result"]["schema"], &now["result"]["schema"], found);
    }
}

/// One schema: what it allowed is still allowed, what it promised is still there.
fn schema(at: &str, was: &Value, now: &Value, found: &mut Vec<String>) {
    if let Some(values) = values(was) {
        let now = self::values(now).unwrap_or_default();
        found.extend(values.difference(&now).map(|value| format!("{at} can't be {value} any more")));
        return;
    }
    for key in ["$ref", "type", "pattern", "minimum", "maximum", "minLength", "maxLength"] {
        if was[key] != now[key] {
            found.push(format!("{at} has another {key}"));
        }
    }
    for kinds in ["oneOf", "anyOf", "allOf"] {
        for kind in was[kinds].as_array().into_iter().flatten() {
            let still = now[kinds].as_array().into_iter().flatten().any(|now| {
                let mut differences = Vec::new();
                schema(at, kind, now, &mut differences);
                differences.is_empty()
            });
            if !still {
                found.push(format!("{at} misses a kind: {kind}"));
            }
        }
    }
    if !was["items"].is_null() {
        schema(&format!("{at}[]"), &was["items"], &now["items"], found);
    }
    for (name, was) in was["properties"].as_object().unwrap_or(&Map::new()) {
        match now["properties"].get(name) {
            Some(now) => schema(&format!("{at}.{name}"), was, now, found),
            None => found.push(format!("{at}.{name} is gone")),
        }
    }
    let required = |schema: &Value| -> BTreeSet<String> {
        schema["required"].as_array().into_iter().flatten().map(ToString::to_string).collect()
    };
    let (was_required, now_required) = (required(was), required(now));
    // What refuses unknown fields is taken, everything else is given.
    let missing: Vec<_> = if was["additionalProperties"] == false {
        now_required.difference(&was_required).collect()
    } else {
        was_required.difference(&now_required).collect()
    };
    found.extend(missing.iter().map(|name| format!("{at}: whether there must be {name} has changed")));
}

/// The values of an enumeration, however it is written.
fn values(schema: &Value) -> Option<BTreeSet<String>> {
    if let Some(value) = schema.get("const") {
        return Some([value.to_string()].into());
    }
    if let Some(values) = schema["enum"].as_array() {
        return Some(values.iter().map(ToString::to_string).collect());
    }
    let kinds: Option<Vec<_>> = schema["oneOf"].as_array()?.iter().map(values).collect();
    Some(kinds?.into_iter().flatten().collect())
}

/// The frozen versions, with what they promise.
fn promised() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("openrpc");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let ours = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("api-"));
    ours.map(|path| {
        let old: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        (old["info"]["version"].as_str().unwrap().to_owned(), old)
    })
    .collect()
}

#[test]
fn nothing_that_was_promised_is_broken() {
    let promised = promised();
    assert!(promised.iter().any(|(version, _)| version == API_OLDEST), "no file for {API_OLDEST}");
    let major = |version: &str| version.split('.').next().unwrap().to_owned();
    for (version, old) in promised {
        assert_eq!(major(&version), major(API_VERSION), "another generation has its own files");
        assert_eq!(broken(&old, &openrpc::committed()), Vec::<String>::new(), "since {version}");
    }
}

/// Names of methods, parameters, fields, errors and events that the new document has and the old
/// one has not.
fn added(old: &Value, new: &Value) -> BTreeSet<String> {
    let names = |document: &Value| -> BTreeSet<String> {
        let methods = document["methods"].as_array().unwrap().iter();
        let methods = methods.flat_map(|method| {
            let params = method["params"].as_array().unwrap().iter();
            params.chain([method]).map(|named| named["name"].as_str().unwrap().to_owned())
        });
        let errors = document["components"]["errors"].as_object().unwrap().keys().cloned();
        let events = document["components"]["schemas"]["Event"]["oneOf"].as_array().unwrap().iter();
        let events = events.map(|event| event["properties"]["type"]["const"].as_str().unwrap().to_owned());
        // Fields of a new type come with the method that has it.
        let fields = old["components"]["schemas"].as_object().unwrap().keys().flat_map(|name| {
            let schema = document["components"]["schemas"][name]["properties"].as_object();
            schema.into_iter().flat_map(|fields| fields.keys().cloned())
        });
        methods.chain(errors).chain(events).chain(fields).filter(|name| name != "problem").collect()
    };
    names(new).difference(&names(old)).cloned().collect()
}

/// What the table of versions in docs/local-api.md says of one.
fn told(text: &str, version: &str) -> BTreeSet<String> {
    let row = text.lines().find(|line| line.starts_with(&format!("| {version} |"))).unwrap_or_default();
    row.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The document of a version that lacks some things which the present one has.
fn without(mut document: Value) -> Value {
    document["methods"].as_array_mut().unwrap().retain(|method| method["name"] != "trust.repair");
    let components = document["components"].as_object_mut().unwrap();
    for (schema, field) in [("DeviceView", "outbox_set_aside"), ("InvitationItem", "mismatches")] {
        components["schemas"][schema]["properties"].as_object_mut().unwrap().remove(field).unwrap();
    }
    components["errors"].as_object_mut().unwrap().remove("member_budget_spent").unwrap();
    document
}

/// Whoever writes for a version finds what it added.
#[test]
fn the_table_of_versions_names_what_was_added() {
    let missing = |old: &Value, text: &str| -> Vec<String> {
        let told = told(text, API_VERSION);
        let noun = |name: &str| name.split_once('.').map(|(noun, _)| format!("{noun}.*"));
        let named = |name: &String| told.contains(name) || noun(name).is_some_and(|all| told.contains(&all));
        added(old, &openrpc::committed()).into_iter().filter(|name| !named(name)).collect()
    };
    let text = std::fs::read_to_string(openrpc::docs("local-api.md")).unwrap();
    for (version, old) in promised() {
        assert_eq!(
            missing(&old, &text),
            Vec::<String>::new(),
            "since {version}, not in the row of {API_VERSION}"
        );
    }
    let (old, names) = (
        without(openrpc::committed()),
        ["trust.repair", "outbox_set_aside", "mismatches", "member_budget_spent"],
    );
    let row =
        format!("| {API_VERSION} | `trust.*`, `outbox_set_aside`, `mismatches`, `member_budget_spent` |");
    assert_eq!(missing(&old, &row), Vec::<String>::new());
    for name in names {
        let silent = row.replace(&format!("`{name}`"), "").replace("`trust.*`", "");
        assert!(missing(&old, &silent).contains(&name.to_owned()), "nobody would miss {name}");
    }
}

/// A place in the document, and what is done to it.
type Change = (&'static str, fn(&mut Value));

/// Each way to break a client is found.
#[test]
fn breaking_changes_are_seen() {
    let (_, old) = promised().into_iter().find(|(version, _)| version == API_OLDEST).unwrap();
    let device = "/components/schemas/DeviceView";
    let changes: &[Change] = &[
        ("/methods/0", |method| method["name"] = json!("ceremony.bless")),
        ("/methods/0/params", |params| {
            params.as_array_mut().unwrap().push(json!({"name": "new", "required": true, "schema": {}}));
        }),
        ("/methods/0/params", |params| drop(params.as_array_mut().unwrap().pop())),
        ("/methods/0/result/schema", |schema| schema["$ref"] = json!("#/components/schemas/Empty")),
        (device, |schema| drop(schema["properties"].as_object_mut().unwrap().remove("outbox"))),
        (device, |schema| schema["properties"]["server"] = json!({"type": "integer"})),
        (device, |schema| schema["required"].as_array_mut().unwrap().retain(|field| field != "outbox")),
        ("/components/schemas/Stage/oneOf", |stages| drop(stages.as_array_mut().unwrap().pop())),
        ("/components/schemas/DeviceSelector", |schema| schema["required"] = json!(["device"])),
        ("/components/schemas/Email", |schema| schema["maxLength"] = json!(20)),
        ("/components/schemas/Subject/oneOf", |kinds| drop(kinds.as_array_mut().unwrap().pop())),
        ("/components/errors", |errors| drop(errors.as_object_mut().unwrap().remove("wrong_password"))),
        ("/components/errors/wrong_password/data", |data| data["retryable"] = json!(false)),
    ];
    for (place, change) in changes {
        let mut new = openrpc::committed();
        // The methods stand in another order there.
        let place = place.replace("/methods/0", &format!("/methods/{}", position(&new, &old["methods"][0])));
        change(new.pointer_mut(&place).unwrap_or_else(|| panic!("{place}")));
        assert_ne!(broken(&old, &new), Vec::<String>::new(), "{place}");
    }
    let mut more = openrpc::committed();
    more["components"]["schemas"]["DeviceView"]["properties"]["colour"] = json!({"type": "string"});
    more["methods"][0]["params"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "new", "required": false, "schema": {}}));
    more["components"]["schemas"]["Stage"]["oneOf"].as_array_mut().unwrap().push(json!({"const": "resting"}));
    assert_eq!(broken(&old, &more), Vec::<String>::new(), "what is added breaks nobody");
}

fn position(document: &Value, method: &Value) -> usize {
    document["methods"].as_array().unwrap().iter().position(|other| other["name"] == method["name"]).unwrap()
}
