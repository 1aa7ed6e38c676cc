//! `token.create`, `token.list`, `token.revoke`, `token.uses`: the user's own socket, for the
//! plug-ins' tokens.
//!
//! Decides nothing: the token actor does. Refuses `token.create` to a session that has not
//! given the password of every device that the token would show, by asking the loop first, which
//! alone knows.

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use parsec_protocol::control::{Empty, Problem, TokenListResult, TokenSelector};
use serde::Serialize;
use serde_json::value::RawValue;

use super::errors::object;
use super::methods::{MethodSpec, caller, raw, read};
use crate::engine::command::{Command, Handle};

type Registered = Result<(), RegisterMethodError>;
type Answer = Result<Box<RawValue>, ErrorObjectOwned>;

fn answer<T: Serialize>(result: Result<T, Problem>) -> Answer {
    result.map_err(|problem| object(&problem)).and_then(|result| raw(&result))
}

pub(super) fn register_create(module: &mut RpcModule<Handle>, spec: &'static MethodSpec) -> Registered {
    module
        .register_async_method(spec.name, move |params, handle, extensions| async move {
            let (caller, request) = (caller(&extensions)?, read(&params)?);
            let confirmed = handle.ask(&caller, spec.needs, Command::HandOn).await;
            confirmed.map_err(|problem| object(&problem))?;
            answer(handle.tokens().create(request).await)
        })
        .map(|_| ())
}

pub(super) fn register_list(module: &mut RpcModule<Handle>, spec: &'static MethodSpec) -> Registered {
    module
        .register_async_method(spec.name, |params, handle, _| async move {
            let Empty {} = read(&params)?;
            answer(handle.tokens().list().await.map(|tokens| TokenListResult { tokens }))
        })
        .map(|_| ())
}

pub(super) fn register_revoke(module: &mut RpcModule<Handle>, spec: &'static MethodSpec) -> Registered {
    module
        .register_async_method(spec.name, |params: Params<'static>, handle, _| async move {
            let TokenSelector { id } = read(&params)?;
            answer(handle.tokens().revoke(id).await.map(|()| Empty {}))
        })
        .map(|_| ())
}

pub(super) fn register_uses(module: &mut RpcModule<Handle>, spec: &'static MethodSpec) -> Registered {
    module
        .register_async_method(spec.name, |params: Params<'static>, handle, _| async move {
            answer(handle.tokens().uses(read(&params)?).await)
        })
        .map(|_| ())
}
