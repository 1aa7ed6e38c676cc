//! The methods of the local API: what each is called, what calling it takes, how its parameters are
//! read.
//!
//! Decides what a permission is. Refuses parameters it does not know, without repeating them: they
//! may hold a password that landed in the wrong field. The methods themselves are in `table`.

mod table;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{Extensions, RpcModule};
use parsec_protocol::control::{Problem, ProblemKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::Client;
use super::errors::object;
use super::passing::RequestFile;
use crate::engine::command::{Handle, Needs};
use crate::os::caller::Caller;
use table::TABLE;

/// What somebody must be allowed to, to call a method. The user's own socket allows all of it, the
/// plug-in socket [`Permission::Anyone`] and, of [`Permission::Watch`], what a token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Asks what this is.
    Anyone,
    /// Sees that something goes on. A plug-in may be given it.
    Watch,
    /// Sees what is there, people's names and codes included; changes nothing.
    Look,
    /// Takes part in ceremonies (the greeter's answer needs a confirmation), and takes back what
    /// was given.
    Enrol,
    /// Signs in the user's name: invites and vouches. Needs the confirmation of a person at the
    /// caller's session.
    Vouch,
    /// Opens and closes devices, founds organisations, gives plug-ins their tokens.
    Own,
}

impl Permission {
    /// Its name in `rpc.hello`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Watch => "watch",
            Self::Look => "look",
            Self::Enrol => "enrol",
            Self::Vouch => "vouch",
            Self::Own => "own",
        }
    }

    /// Who signs in the user's name must have given the password.
    const fn needs(self) -> Needs {
        match self {
            Self::Vouch => Needs::Confirmation,
            Self::Anyone | Self::Watch | Self::Look | Self::Enrol | Self::Own => Needs::Nothing,
        }
    }
}

/// Registers a method under its name.
type Register =
    fn(&mut RpcModule<Handle>, &'static MethodSpec) -> Result<(), jsonrpsee::core::RegisterMethodError>;

/// One method of the local API.
pub(super) struct MethodSpec {
    /// `noun.verb`
    pub(super) name: &'static str,
    /// What calling it takes.
    pub(super) permission: Permission,
    /// What it takes beside.
    pub(super) needs: Needs,
    /// Whether one open file comes with the request; with every other method none may.
    pub(super) file: bool,
    /// A subscription's other method, which ends it.
    pub(super) ends: Option<&'static str>,
    register: Register,
}

/// Reads parameters. None at all is the same as an empty object.
pub(super) fn read<T: DeserializeOwned>(params: &Params<'_>) -> Result<T, ErrorObjectOwned> {
    let refuse = |text: String| object(&Problem::new(ProblemKind::InvalidRequest, text));
    let text = params.as_str().unwrap_or("{}");
    if !text.trim_start().starts_with('{') {
        return Err(refuse("Parameters are given by name, in an object.".into()));
    }
    serde_json::from_str(text).map_err(|error| {
        // serde's words may quote a value; the place says enough.
        refuse(format!("The parameters are not what this method takes (column {}).", error.column()))
    })
}

/// A result's text. Not a clone of the result: links in it are wiped when it is dropped.
pub(super) fn raw<T: Serialize>(result: &T) -> Result<Box<serde_json::value::RawValue>, ErrorObjectOwned> {
    serde_json::value::to_raw_value(result)
        .map_err(|_| object(&Problem::new(ProblemKind::Internal, "A result has no JSON.")))
}

/// The client that asks, as the connection noted it.
pub(super) fn client(extensions: &Extensions) -> Result<Arc<Client>, ErrorObjectOwned> {
    let missing = || object(&Problem::new(ProblemKind::Internal, "A request came from nobody."));
    extensions.get::<Arc<Client>>().cloned().ok_or_else(missing)
}

/// The open file that came with the request.
pub(super) fn file(extensions: &Extensions) -> Result<OwnedFd, ErrorObjectOwned> {
    let found = extensions.get::<RequestFile>().cloned().unwrap_or_default().take();
    found.map_err(|problem| object(&problem))
}

/// The device that came with the request; of which kind, whoever takes it looks.
pub(super) fn device(extensions: &Extensions) -> Result<OwnedFd, ErrorObjectOwned> {
    let found = extensions.get::<RequestFile>().cloned().unwrap_or_default().take_any();
    found.map_err(|problem| object(&problem))
}

/// The process that asks.
pub(super) fn caller(extensions: &Extensions) -> Result<Arc<Caller>, ErrorObjectOwned> {
    client(extensions).map(|client| Arc::clone(&client.caller))
}

/// All methods, each asking the loop behind `handle`.
///
/// # Errors
/// Two methods have one name: a bug that every test would find.
pub fn module(handle: Handle) -> Result<RpcModule<Handle>, jsonrpsee::core::RegisterMethodError> {
    let mut module = RpcModule::new(handle);
    for spec in TABLE {
        (spec.register)(&mut module, spec)?;
    }
    Ok(module)
}

/// All methods, in the order of the documents.
pub(super) fn all() -> &'static [MethodSpec] {
    TABLE
}

/// Names and permissions, for documents and tests.
pub fn table() -> impl Iterator<Item = (&'static str, Permission)> {
    TABLE.iter().map(|spec| (spec.name, spec.permission))
}

/// The spec of a method, or of the subscription that it ends.
pub(super) fn spec(name: &str) -> Option<&'static MethodSpec> {
    TABLE.iter().find(|spec| spec.name == name || spec.ends == Some(name))
}

#[cfg(test)]
mod tests {
    use parsec_protocol::control::{Empty, method};

    use super::*;
    use crate::events::Hub;

    #[test]
    fn names_are_unique_and_all_there() {
        let (events, _loop) = tokio::sync::mpsc::channel(1);
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::TokenStore::open(&folder.path().join("data")).unwrap();
        let hub = Hub::new(Vec::new()).unwrap();
        let (_, desk) = crate::tokens::TokenActor::new(store, hub.clone());
        let module = module(Handle::new(events, desk, hub)).unwrap();
        for name in TABLE.iter().flat_map(|spec| [Some(spec.name), spec.ends]).flatten() {
            assert!(module.method(name).is_some(), "{name}");
        }
        // Nothing is registered that has no spec, and so no permission.
        for name in module.method_names() {
            assert!(spec(name).is_some(), "{name}");
        }
    }

    #[tokio::test]
    async fn no_parameters_are_left_out_null_or_an_empty_object() {
        let (events, _loop) = tokio::sync::mpsc::channel(1);
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::TokenStore::open(&folder.path().join("data")).unwrap();
        let hub = Hub::new(Vec::new()).unwrap();
        let (_, desk) = crate::tokens::TokenActor::new(store, hub.clone());
        let module = module(Handle::new(events, desk, hub)).unwrap();
        for (params, taken) in [
            ("", true),
            (r#","params":null"#, true),
            (r#","params":{}"#, true),
            (r#","params":[]"#, false),
            (r#","params":[null]"#, false),
            (r#","params":{"x":null}"#, false),
        ] {
            let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"rpc.discover"{params}}}"#);
            let (answer, _) = module.raw_json_request(&request, 1).await.unwrap();
            assert_eq!(answer.get().contains("\"result\""), taken, "{params}: {}", answer.get());
        }
    }

    #[test]
    fn what_signs_in_the_users_name_needs_a_confirmation() {
        let vouching = [
            method::INVITE_USER,
            method::RECOVERY_CREATE,
            method::RECOVERY_SHARE,
            method::RECOVERY_GIVE,
            method::INVITE_DEVICE,
            method::GREET_START,
            method::CEREMONY_APPROVE,
            method::DEVICE_REVOKE,
            method::USER_REVOKE,
            method::USER_PROFILE,
            method::USER_REKEY,
            method::SAFE_SHARE,
            method::SAFE_UNSHARE,
            method::SAFE_TAKEOVER,
        ];
        for spec in TABLE {
            let needs = vouching.contains(&spec.name)
                || matches!(
                    spec.name,
                    method::CEREMONY_CHOOSE
                        | method::ORG_SERVER
                        | method::SAFE_CONFIRM
                        | method::SAFE_PRUNE
                        | method::SAFE_RETENTION
                        | method::TOKEN_CREATE
                        | method::TRUST_ACKNOWLEDGE
                        | method::TRUST_IMPORT
                        | method::TRUST_REPAIR
                );
            assert_eq!(spec.needs == Needs::Confirmation, needs, "{}", spec.name);
        }
    }

    #[test]
    fn unknown_fields_are_refused_and_not_repeated() {
        let params = Params::new(Some(r#"{"selekt":{},"password":"hunter2hunter2"}"#));
        let error = read::<parsec_protocol::control::DeviceUnlock>(&params).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(read::<Empty>(&Params::new(None)).is_ok());
        assert!(read::<Empty>(&Params::new(Some("[]"))).is_err());
    }
}
