//! `mount.start`, whose descriptor is a device, and `mount.wait`: what begins and ends a mount.
//!
//! Decides nothing about it: `mount` looks that it is `/dev/fuse`. That whoever asks is the user
//! that the daemon runs as, the socket has decided. Notes folders of mounts that locking may end,
//! so that a file manager can be told why nothing is there any more.

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use parsec_protocol::control::{MountSelector, MountStart};

use super::errors::object;
use super::methods::{MethodSpec, caller, device, raw, read};
use crate::calls::safes::mounts;
use crate::engine::command::Handle;

pub(super) fn register_start(
    module: &mut RpcModule<Handle>,
    spec: &'static MethodSpec,
) -> Result<(), RegisterMethodError> {
    module
        .register_async_method(spec.name, move |params, handle, extensions| async move {
            let caller = caller(&extensions)?;
            let device = device(&extensions)?;
            let params: MountStart = read(&params)?;
            let select = params.select.clone();
            let started = handle.on_session(&caller, spec.needs, select, move |session| async move {
                let of = session.open.summary.device;
                mounts::start(session, params, device).await.map(|view| (of, view))
            });
            let (of, view) = started.await.map_err(|problem| object(&problem))?;
            handle.folders().note(of, &view);
            raw(&view)
        })
        .map(|_| ())
}

pub(super) fn register_wait(
    module: &mut RpcModule<Handle>,
    spec: &'static MethodSpec,
) -> Result<(), RegisterMethodError> {
    module
        .register_async_method(spec.name, move |params, handle, extensions| async move {
            let caller = caller(&extensions)?;
            let params: MountSelector = read(&params)?;
            let select = params.select.clone();
            let ended = handle.on_session(&caller, spec.needs, select, move |session| async move {
                let folder = session.mounts.get(params.mount).map(|mounted| mounted.folder.clone());
                mounts::wait(&session, params).await.map(|ended| (folder, ended))
            });
            match ended.await {
                Ok((folder, ended)) => {
                    if let Some(folder) = folder {
                        handle.folders().forget(&folder);
                    }
                    raw(&ended)
                }
                Err(problem) => Err(object(&problem)),
            }
        })
        .map(|_| ())
}
