//! `events.watch`: carries the hub's events to one client.
//!
//! Decides nothing about them. Waits for its client and for nobody else: the hub goes on meanwhile,
//! and tells a client that was too slow what it missed.

use std::sync::Arc;

use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionMessage};
use parsec_protocol::control::{EventsWatch, method};

use super::methods::{MethodSpec, caller, read};
use super::redact;
use crate::engine::command::Handle;
use crate::os::caller::Caller;

pub(super) fn register(
    module: &mut RpcModule<Handle>,
    spec: &'static MethodSpec,
) -> Result<(), jsonrpsee::core::RegisterMethodError> {
    module
        .register_subscription(
            spec.name,
            method::EVENTS_ITEM,
            method::EVENTS_UNWATCH,
            |params, pending, handle, extensions| async move {
                watch(&params, pending, &handle, caller(&extensions)).await
            },
        )
        .map(|_| ())
}

/// Sends item after item, until the client leaves or the daemon stops.
async fn watch(
    params: &Params<'_>,
    pending: PendingSubscriptionSink,
    handle: &Handle,
    caller: Result<Arc<Caller>, ErrorObjectOwned>,
) {
    let (caller, EventsWatch { after }) = match caller.and_then(|caller| Ok((caller, read(params)?))) {
        Ok(asked) => asked,
        Err(error) => return pending.reject(error).await,
    };
    let mut reader = handle.hub().watch(after);
    let Ok(sink) = pending.accept().await else { return };
    loop {
        let item = tokio::select! {
            item = reader.next() => item,
            () = sink.closed() => return,
        };
        let Some(item) = item else { return };
        let item = redact::item(&caller, item);
        let Ok(message) = serde_json::value::to_raw_value(&item) else { return };
        if sink.send(SubscriptionMessage::from(message)).await.is_err() {
            return;
        }
    }
}
