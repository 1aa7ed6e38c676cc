//! `rpc.discover`: the OpenRPC document of this very daemon, docs/openrpc.json.
//!
//! Decides how it is sent: without the spaces that people read it by. A test compares the file with
//! the types.

use std::sync::LazyLock;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use parsec_protocol::control::{Empty, Problem, ProblemKind};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::errors::object;
use super::methods::{MethodSpec, read};
use crate::engine::command::Handle;

/// The file, as it was when this program was built.
const FILE: &str = include_str!("../../../docs/openrpc.json");

/// The same in one line. Absent if it were no JSON, which every test would find.
static LINE: LazyLock<Option<Box<RawValue>>> =
    LazyLock::new(|| to_raw_value(&serde_json::from_str::<Value>(FILE).ok()?).ok());

pub(super) fn register(
    module: &mut RpcModule<Handle>,
    spec: &'static MethodSpec,
) -> Result<(), RegisterMethodError> {
    module
        .register_method(spec.name, |params, _, _| {
            let Empty {} = read(&params)?;
            let missing = || object(&Problem::new(ProblemKind::Internal, "The API's document is missing."));
            LINE.clone().ok_or_else(missing)
        })
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use parsec_protocol::control::LINE_MAX_BYTES;

    use super::*;

    #[test]
    fn it_is_a_document_and_fits_into_a_line() {
        let line = LINE.as_ref().unwrap().get();
        assert!(line.len() < LINE_MAX_BYTES / 2, "{} bytes", line.len());
        assert_eq!(
            serde_json::from_str::<Value>(line).unwrap(),
            serde_json::from_str::<Value>(FILE).unwrap()
        );
    }
}
