//! docs/openrpc.json is what the code does: made from the types, well-formed for OpenRPC's own
//! meta-schema, and true of everything that real programs and a real daemon say to each other.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::{Draft, Resource};
use parsec_protocol::ids::{Email, Label, OrganisationId, UserId};
use parsec_tests::openrpc;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::judge::{faults, judge};
use crate::judges::Judges;

const REMEDY: &str = "write it anew with `cargo xtask openrpc`";

#[test]
fn the_file_is_what_the_types_make() {
    let file = std::fs::read_to_string(openrpc::docs("openrpc.json")).unwrap();
    assert!(file == openrpc::text(&openrpc::document()), "docs/openrpc.json is old: {REMEDY}");
}

/// The daemon sends it in one line.
#[test]
fn the_document_fits_into_a_line() {
    let size = openrpc::committed().to_string().len();
    assert!(size < parsec_protocol::control::LINE_MAX_BYTES / 2, "{size} bytes");
}

/// Schemas are for documents and tests; what runs beside keys has no code that it doesn't need.
#[test]
fn no_shipped_program_has_schemas_in_it() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = |room: &str| std::fs::read_to_string(root.join(room).join("Cargo.toml")).unwrap();
    assert!(manifest("protocol").contains("schemars = { workspace = true, optional = true }"));
    assert!(!manifest("protocol").contains("default = "), "no feature is on by itself");
    for room in ["daemon", "ctl", "server"] {
        let asked = manifest(room).lines().any(|line| line.contains("schema"));
        assert!(!asked, "{room} turns the feature on");
    }
}

#[test]
fn the_document_is_openrpc() {
    let mut meta: Value = serde_json::from_str(include_str!("../../openrpc/meta-schema-1.3.json")).unwrap();
    let mut schemas: Value = serde_json::from_str(include_str!("../../openrpc/json-schema.json")).unwrap();
    // Both name a dialect of their own, which is draft 7; and the one names the other with a slash
    // at its end and without.
    for schema in [&mut meta, &mut schemas] {
        schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    }
    let mut registry = jsonschema::Registry::new();
    for id in ["https://meta.json-schema.tools/", "https://meta.json-schema.tools"] {
        schemas["$id"] = json!(id);
        registry = registry.add(id, Resource::from_contents(schemas.clone())).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let judge =
        jsonschema::options().with_draft(Draft::Draft7).with_registry(&registry).build(&meta).unwrap();
    let document = openrpc::committed();
    assert_eq!(faults(&judge, &document), Vec::<String>::new());
    let mut wrong = document;
    wrong["methods"][0]["result"]["schema"]["type"] = json!("objekt");
    assert!(!judge.is_valid(&wrong), "the meta-schema finds nothing wrong with anything");
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_left_over() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = openrpc::committed();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(found.contains(&format!("#/components/schemas/{name}")), "nothing uses {name}");
    }
}

#[test]
fn every_example_fits_its_schema() {
    let document = openrpc::committed();
    let judges = Judges::new(&document);
    for method in document["methods"].as_array().unwrap() {
        let name = method["name"].as_str().unwrap();
        let examples = method["examples"].as_array().unwrap();
        assert!(!examples.is_empty(), "{name} has no example in docs/local-api.md");
        for example in examples {
            let given = example["params"].as_array().unwrap();
            let params = if method["paramStructure"] == "by-name" {
                given
                    .iter()
                    .map(|one| (one["name"].as_str().unwrap().to_owned(), one["value"].clone()))
                    .collect()
            } else {
                given.iter().map(|one| one["value"].clone()).collect::<Value>()
            };
            assert_eq!(faults(&judges.takes[name], &params), Vec::<String>::new(), "{name} takes {params}");
            let result = &example["result"]["value"];
            assert_eq!(faults(&judges.gives[name], result), Vec::<String>::new(), "{name} gives {result}");
        }
    }
    for (name, error) in document["components"]["errors"].as_object().unwrap() {
        if name != "problem" {
            assert_eq!(faults(&judges.problem, &error["data"]), Vec::<String>::new(), "{name}");
            assert_eq!(error["data"]["name"], *name);
        }
    }
    for notification in document["x-notifications"].as_array().unwrap() {
        let name = notification["name"].as_str().unwrap();
        for example in notification["x-examples"].as_array().unwrap() {
            assert_eq!(faults(&judges.tells[name], example), Vec::<String>::new(), "{name} tells {example}");
        }
    }
}

/// A program that checks by the document refuses what the daemon would refuse, and nothing else.
mod patterns {
    use super::*;

    fn agrees<T: std::str::FromStr>(name: &str, text: &str) -> Result<(), TestCaseError> {
        thread_local! {
            static JUDGES: BTreeMap<String, jsonschema::Validator> = {
                let schemas = openrpc::committed()["components"]["schemas"].clone();
                let names = ["Email", "OrganisationId", "UserId"].map(|name| (name.to_owned(), judge(&schemas[name], &json!({}))));
                names.into()
            };
        }
        let valid = JUDGES.with(|judges| judges[name].is_valid(&json!(text)));
        prop_assert_eq!(valid, text.parse::<T>().is_ok(), "{}: {:?}", name, text);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn of_addresses(text in "[a-z@.A-Z<>()é%+ -]{0,12}", domain in "[a-z.-]{0,8}") {
            agrees::<Email>("Email", &text)?;
            agrees::<Email>("Email", &format!("{text}@{domain}"))?;
        }

        #[test]
        fn of_organisations(text in "[a-zA-Z0-9_. -]{0,34}") {
            agrees::<OrganisationId>("OrganisationId", &text)?;
        }

        #[test]
        fn of_ids(text in "[0-9a-fA-Fg]{31,33}", fine in "[0-9a-f]{32}") {
            agrees::<UserId>("UserId", &text)?;
            agrees::<UserId>("UserId", &fine)?;
        }

        /// Bytes and invisible characters are more than a pattern can count; what the daemon takes
        /// must pass it.
        #[test]
        fn of_names(text in "\\PC{0,20}| ?[a-zé\t\u{202e}]{0,70} ?") {
            let schemas = openrpc::committed()["components"]["schemas"].clone();
            let valid = judge(&schemas["Label"], &json!({})).is_valid(&json!(text));
            prop_assert!(valid || text.parse::<Label>().is_err(), "{:?}", text);
        }
    }
}
