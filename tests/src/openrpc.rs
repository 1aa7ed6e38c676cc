//! docs/openrpc.json: the local API for programs that read documents rather than Rust.
//!
//! Decides nothing of its own: types come from `protocol::control::schema`, names and rights from
//! the daemon's table, words and examples from docs/local-api.md. Refuses a method that one of the
//! three doesn't know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use parsec_protocol::control::schema::{self, SHAPES, Shape, Takes};
use parsec_protocol::control::{API_VERSION, Problem, ProblemKind, method};
use parsecd::rpc::methods;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The version of OpenRPC that the document follows.
const OPENRPC: &str = "1.3.2";
/// Where schemas are, within the document.
const SCHEMAS: &str = "#/components/schemas";

/// A file of the documents' folder.
#[must_use]
pub fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

/// The document as committed.
#[must_use]
pub fn committed() -> Value {
    serde_json::from_str(&std::fs::read_to_string(docs("openrpc.json")).unwrap()).unwrap()
}

/// The document as the code makes it.
///
/// # Panics
/// A method has no types or no section in docs/local-api.md.
#[must_use]
pub fn document() -> Value {
    let words = Words::read(&std::fs::read_to_string(docs("local-api.md")).unwrap());
    let mut made = Schemas::new();
    // A failed call answers with one, whatever the method.
    made.gives.subschema_for::<Problem>();
    let specs = specs();
    let methods: Vec<_> = specs.iter().map(|spec| describe(spec, &mut made, &words)).collect();
    let notifications: Vec<_> = specs
        .iter()
        .filter_map(|spec| Some((spec, spec.shape.follows?)))
        .map(|(spec, follows)| {
            json!({
                "name": follows.notification,
                "summary": format!("What `{}` sends.", spec.shape.name),
                "params": [
                    {"name": "subscription", "required": true, "schema": schema::subscription(&mut made.gives)},
                    {"name": "result", "required": true, "schema": (follows.item)(&mut made.gives)},
                ],
                "x-examples": words.notifications(follows.notification),
            })
        })
        .collect();
    let tags: BTreeSet<_> = specs.iter().map(|spec| noun(spec.shape.name)).collect();
    let tags: Map<_, _> = tags.into_iter().map(|tag| (tag.to_owned(), json!({"name": tag}))).collect();
    json!({
        "openrpc": OPENRPC,
        "info": {
            "title": "Parsec's local API",
            "version": API_VERSION,
            "description": "How a program on this machine talks to parsecd: JSON-RPC 2.0, one object a line, at most 1 MiB each, over a \
                            Unix stream socket. Later versions add methods, fields, errors and values to what is here; a client passes \
                            over what it doesn't know. docs/local-api.md says the rest.",
            "license": {"name": "Apache-2.0 OR MIT"},
        },
        "servers": [
            {"name": "own", "url": "unix:/run/user/UID/parsecd/parsecd.sock", "summary": "The user's own socket: everything. $XDG_RUNTIME_DIR/parsecd/parsecd.sock"},
            {"name": "plugin", "url": "unix:/run/user/UID/parsecd/plugin.sock", "summary": "The plug-in socket: methods with x-plugin-socket, after rpc.hello with a token. $XDG_RUNTIME_DIR/parsecd/plugin.sock"},
        ],
        "methods": methods,
        "components": {"schemas": made.finish(), "errors": errors(), "tags": tags},
        "x-notifications": notifications,
    })
}

/// A document as it is written to a file.
#[must_use]
pub fn text(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap() + "\n"
}

/// One method: its types and what calling it takes.
struct MethodSpec {
    shape: Shape,
    permission: String,
    plugin: bool,
}

/// What the daemon answers to, by name. A subscription's end is not in its table.
fn specs() -> Vec<MethodSpec> {
    let shape = |name: &str| {
        *SHAPES
            .iter()
            .find(|shape| shape.name == name)
            .unwrap_or_else(|| panic!("{name} has no types in control/schema.rs"))
    };
    let mut specs = Vec::new();
    for (name, permission) in methods::table() {
        let shown = serde_json::to_value(permission).unwrap();
        let permission = shown.as_str().unwrap().to_owned();
        let plugin = matches!(permission.as_str(), "anyone" | "watch");
        let spec = MethodSpec { shape: shape(name), permission, plugin };
        if let Some(follows) = spec.shape.follows {
            specs.push(MethodSpec { shape: shape(follows.end), permission: spec.permission.clone(), plugin });
        }
        specs.push(spec);
    }
    specs.sort_by_key(|spec| spec.shape.name);
    specs
}

fn describe(spec: &MethodSpec, made: &mut Schemas, words: &Words) -> Value {
    let name = spec.shape.name;
    let (summary, description) = words.about(name);
    let going = method::deprecation(name);
    let (structure, params) = match spec.shape.takes {
        Takes::Fields(make) => ("by-name", fields(make(&mut made.takes).as_value())),
        Takes::Subscription => {
            let schema = schema::subscription(&mut made.takes);
            ("by-position", vec![json!({"name": "subscription", "required": true, "schema": schema})])
        }
    };
    let errors =
        ["invalid_request", "internal", "problem"].map(|error| format!("#/components/errors/{error}"));
    let errors: Vec<_> = errors.iter().map(|error| json!({"$ref": error})).collect();
    let mut method = json!({
        "name": name,
        "summary": summary,
        "description": description,
        "tags": [{"$ref": format!("#/components/tags/{}", noun(name))}],
        "paramStructure": structure,
        "params": params,
        "result": {"name": "result", "required": true, "schema": (spec.shape.gives)(&mut made.gives)},
        "errors": errors,
        "deprecated": going.is_some(),
        "examples": words.calls(name, structure == "by-name"),
        "x-permission": spec.permission,
        "x-plugin-socket": spec.plugin,
    });
    if let Some(going) = going {
        method["x-deprecation"] = json!(going);
    }
    if let Some(follows) = spec.shape.follows {
        method["x-subscription"] = json!({"notification": follows.notification, "end": follows.end});
    }
    method
}

/// A struct's fields as parameters, those that must be given first.
fn fields(schema: &Value) -> Vec<Value> {
    let required: BTreeSet<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object().cloned().unwrap_or_default();
    let mut params: Vec<_> = fields
        .into_iter()
        .map(|(name, mut schema)| {
            let required = required.contains(name.as_str());
            let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let mut param = json!({"name": name, "required": required, "schema": schema});
            if let Some(about) = about {
                param["description"] = about;
            }
            param
        })
        .collect();
    params.sort_by_key(|param| param["required"] == false);
    params
}

fn noun(method: &str) -> &str {
    method.split('.').next().unwrap_or(method)
}

/// Every problem by its name; and one that stands for all in a method's list, where numbers may not
/// repeat.
fn errors() -> Map<String, Value> {
    let number = |kind: ProblemKind| parsecd::rpc::errors::object(&Problem::new(kind, "")).code();
    let mut errors: Map<_, _> = ProblemKind::ALL
        .iter()
        .map(|kind| {
            let problem = Problem::new(*kind, kind.hint());
            let error = json!({"code": number(*kind), "message": kind.hint(), "data": problem});
            (kind.name().to_owned(), error)
        })
        .collect();
    let any = json!({
        "code": parsecd::rpc::errors::PROBLEM_CODE,
        "message": "One of the other errors here with this number.",
        "data": {"$ref": format!("{SCHEMAS}/Problem")},
    });
    errors.insert("problem".to_owned(), any);
    errors
}

/// Schemas of both directions, under one roof: what is sent may be narrower than what is taken.
struct Schemas {
    takes: SchemaGenerator,
    gives: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let path = "/components/schemas";
        Self {
            takes: schema::settings(path).for_deserialize().into_generator(),
            gives: schema::settings(path).for_serialize().into_generator(),
        }
    }

    fn finish(mut self) -> Map<String, Value> {
        let mut all = self.takes.take_definitions(true);
        for (name, given) in self.gives.take_definitions(true) {
            let former = all.insert(name.clone(), given.clone());
            assert!(
                former.is_none_or(|taken| taken == given),
                "{name} looks different in the two directions: make it two types"
            );
        }
        all
    }
}

/// What docs/local-api.md says and shows.
struct Words {
    sections: BTreeMap<String, String>,
    lines: Vec<Value>,
}

impl Words {
    fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| line.starts_with(r#"{"jsonrpc""#));
        let lines = lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        let mut sections = BTreeMap::new();
        for section in text.split("\n### ").skip(1) {
            let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
            let about = body.trim().split("\n\n").next().unwrap_or_default().replace('\n', " ");
            for name in heading.split('`').skip(1).step_by(2) {
                sections.insert(name.to_owned(), about.clone());
            }
        }
        Self { sections, lines }
    }

    /// The first sentence and the whole paragraph about a method.
    fn about(&self, name: &str) -> (String, String) {
        let about = self
            .sections
            .get(name)
            .unwrap_or_else(|| panic!("docs/local-api.md has no section about {name}"));
        let first = about.split_once(". ").map_or(about.as_str(), |(first, _)| first);
        (format!("{}.", first.trim_end_matches('.')), about.clone())
    }

    fn calls(&self, name: &str, by_name: bool) -> Vec<Value> {
        let requests = self.lines.iter().filter(|line| line["method"] == name && line.get("id").is_some());
        let answers =
            |id: &Value| self.lines.iter().find(|line| line["id"] == *id && line.get("result").is_some());
        requests
            .filter_map(|request| {
                let answer = answers(&request["id"])?;
                let params: Vec<_> = match (&request["params"], by_name) {
                    (Value::Object(params), true) => {
                        params.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
                    }
                    (Value::Array(params), false) => {
                        params.iter().map(|value| json!({"name": "subscription", "value": value})).collect()
                    }
                    (other, _) => panic!("{name}: these are no parameters: {other}"),
                };
                Some(json!({"name": name, "params": params, "result": {"name": "result", "value": answer["result"]}}))
            })
            .collect()
    }

    fn notifications(&self, name: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["method"] == name).map(|line| &line["params"]).collect()
    }
}

/// A schema of its own for one type as it is sent: its definitions are inside.
#[must_use]
pub fn sent<T: JsonSchema>() -> Value {
    let generator = schema::settings("/definitions").for_serialize().into_generator();
    generator.into_root_schema_for::<T>().to_value()
}
