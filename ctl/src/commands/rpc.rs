//! `rpc call|hello|discover`: the daemon's local interface itself.
//!
//! Decides where parameters come from. Refuses a password or a bootstrap token among the arguments:
//! every process on this machine can read those.

use parsec_protocol::control::{Empty, HelloResult, LINE_MAX_BYTES, ProblemKind, method};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::Context;
use crate::args::Rpc;
use crate::client::Connection;
use crate::descriptor;
use crate::failure::{Done, Failure};
use crate::output::Output;
use crate::schema;
use crate::text::escaped;

/// Fields that hold a secret, and in which methods; everywhere if none is named.
const SECRETS: [(&str, &[&str]); 4] = [
    ("password", &[]),
    ("new_password", &[]),
    ("link", &[]),
    ("token", &[method::ORG_BOOTSTRAP, method::HELLO]),
];

pub(super) fn run(context: &Context<'_>, command: Rpc) -> Result<(), Failure> {
    match command {
        Rpc::Call { method, params } => call(context, &method, params),
        Rpc::Hello => hello(context),
        Rpc::Discover => discover(context),
    }
}

fn call(context: &Context<'_>, method: &str, given: Option<String>) -> Result<(), Failure> {
    let params = params(method, given)?;
    let mut daemon = context.connect()?;
    let result: Box<RawValue> = context.ask(&mut daemon, method, &params)?;
    if context.output.is_json() {
        let body = serde_json::json!({ "method": method, "result": result });
        context.output.object(schema::RPC_CALL, &[], &body)
    } else {
        context.output.json(&indented(&result)?)
    }
    .map_err(|failure| {
        failure.after(Done::new(
            format!("{} was called and answered.", escaped(method)),
            "If it changes something, look at that before you call it again.",
        ))
    })
}

/// The parameters: an argument, stdin, or none.
fn params(method: &str, given: Option<String>) -> Result<Box<RawValue>, Failure> {
    let (text, is_argument) = match given {
        None => (Zeroizing::new("{}".to_owned()), false),
        Some(dash) if dash == "-" => (read_stdin()?, false),
        Some(text) => (Zeroizing::new(text), true),
    };
    let wrong = |why: &str| {
        Failure::usage(format!("The parameters {why}"), "Give one JSON object, or - to read it from stdin.")
    };
    // serde's own words can quote what is wrong, and with it a secret.
    let value: Value = serde_json::from_str(&text).map_err(|_| wrong("are not JSON"))?;
    let Value::Object(fields) = &value else { return Err(wrong("are not an object")) };
    let secret = SECRETS
        .iter()
        .filter(|(_, methods)| methods.is_empty() || methods.contains(&method))
        .find(|(name, _)| fields.contains_key(*name));
    if let (true, Some((name, _))) = (is_argument, secret) {
        return Err(Failure::usage(
            format!("`{name}` is a secret, and every program on this machine can see arguments"),
            format!("Give the parameters on stdin: `parsecctl rpc call {} -`.", escaped(method)),
        ));
    }
    serde_json::from_str(text.trim()).map_err(|_| wrong("are not JSON"))
}

fn read_stdin() -> Result<Zeroizing<String>, Failure> {
    let failed = |why: &str| {
        Failure::usage(format!("The parameters can't be read: {why}"), "Give one JSON object on stdin.")
    };
    let bytes = descriptor::read(std::io::stdin(), LINE_MAX_BYTES + 1, false)
        .map_err(|error| failed(&error.to_string()))?;
    if bytes.len() > LINE_MAX_BYTES {
        return Err(Failure::new(
            ProblemKind::TooLarge,
            format!("The parameters are longer than {LINE_MAX_BYTES} bytes"),
        ));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| failed("they are not UTF-8 text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// JSON over several lines.
fn indented(json: &RawValue) -> Result<String, Failure> {
    serde_json::from_str::<Value>(json.get())
        .and_then(|value| serde_json::to_string_pretty(&value))
        .map_err(|error| Failure::new(ProblemKind::Internal, error.to_string()))
}

fn hello(context: &Context<'_>) -> Result<(), Failure> {
    let mut daemon = Connection::open(&context.socket()?)?;
    let Some(hello) = daemon.greet()? else { return Err(too_old()) };
    context.output.result(schema::RPC_HELLO, &hello, || described(&hello, context.output))
}

fn described(hello: &HelloResult, output: &Output) -> String {
    let rows: Vec<Vec<String>> = hello
        .methods
        .iter()
        .map(|method| {
            let note = method.deprecated.as_ref().map(|it| {
                format!("deprecated since {}, gone in {}: use {}", it.since, it.removed, it.instead)
            });
            vec![method.name.clone(), method.permission.clone(), note.unwrap_or_default()]
        })
        .collect();
    format!(
        "parsecd {}, interface {} (still speaks {})\n\n{}",
        escaped(&hello.version),
        escaped(&hello.api_version),
        escaped(&hello.api_oldest),
        output.table(&["METHOD", "RIGHT", "NOTE"], &rows)
    )
}

fn discover(context: &Context<'_>) -> Result<(), Failure> {
    let document: Box<RawValue> = context.call(method::DISCOVER, &Empty {})?;
    if context.output.is_json() {
        return context.output.object(
            schema::RPC_DISCOVER,
            &[],
            &serde_json::json!({ "document": document }),
        );
    }
    context.output.json(&indented(&document)?)
}

fn too_old() -> Failure {
    Failure::new(ProblemKind::UnknownMethod, "The daemon has no `rpc.hello`: it is older than this program")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(method: &str, text: &str) -> Option<u8> {
        params(method, Some(text.to_owned())).err().map(|failure| failure.exit_code())
    }

    #[test]
    fn parameters_are_one_object() {
        assert_eq!(params("x.y", None).unwrap().get(), "{}");
        assert_eq!(params("x.y", Some(" {\"a\":1} ".into())).unwrap().get(), "{\"a\":1}");
        for bad in ["", "[]", "1", "null", "{", "{} {}", "x", "\u{0}"] {
            assert_eq!(code("x.y", bad), Some(64), "{bad}");
        }
    }

    #[test]
    fn secrets_are_no_arguments() {
        assert_eq!(code("device.unlock", r#"{"password":"hunter2"}"#), Some(64));
        assert_eq!(code("device.password", r#"{"new_password":"hunter2"}"#), Some(64));
        assert_eq!(code("claim.start", r#"{"link":"x"}"#), Some(64));
        assert_eq!(code("org.bootstrap", r#"{"token":"x"}"#), Some(64));
        assert_eq!(code("invite.cancel", r#"{"token":"x"}"#), None, "an invitation's token opens nothing");
        let failure = params("device.unlock", Some(r#"{"password":"hunter2"}"#.into())).unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"));
    }

    #[test]
    fn malformed_parameters_are_not_repeated() {
        let failure = params("device.unlock", Some(r#"{"password":"hunter2"#.into())).unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"));
    }
}
