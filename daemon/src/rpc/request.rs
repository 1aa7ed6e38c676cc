//! One line as a request, and the ids of subscriptions that are in lines.
//!
//! Decides what a request may say. Refuses every field that it doesn't know.

use std::borrow::Cow;

use jsonrpsee::Extensions;
use jsonrpsee::types::{Id, Request, TwoPointZero};
use serde_json::value::RawValue;

/// A request, and nothing beside it: a field we don't know may be meant to change what the others
/// say.
pub(super) fn read_request(line: &str) -> Result<Request<'_>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        jsonrpc: TwoPointZero,
        #[serde(borrow)]
        id: Id<'a>,
        #[serde(borrow)]
        method: Cow<'a, str>,
        #[serde(borrow, default)]
        params: Option<&'a RawValue>,
    }
    let Fields { jsonrpc, id, method, params } = serde_json::from_str(line)?;
    let params = params.map(Cow::Borrowed);
    Ok(Request { jsonrpc, id, method, params, extensions: Extensions::new() })
}

/// The subscription that a request ends: its only parameter.
pub(super) fn subscription_id(request: &Request<'_>) -> Option<u64> {
    let [id] = serde_json::from_str::<[u64; 1]>(request.params.as_ref()?.get()).ok()?;
    Some(id)
}

/// The subscription that an answer begins; nothing if it is a refusal.
pub(super) fn begun_id(answer: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Begun {
        result: u64,
    }
    serde_json::from_str::<Begun>(answer).ok().map(|begun| begun.result)
}
