//! `fm.status`, `fm.menu`, `fm.invoke`: for file managers, of all unlocked devices at once.
//!
//! Decides that a path which no unlocked device has mounted is asked of the folders that locking
//! took away. Refuses more paths than a window shows; a path that is none has no answer, and is no
//! reason to refuse the others.

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use parsec_protocol::control::{
    DeviceSelector, DeviceState, FM_PATHS_MAX, FmInvoke, FmMenu, FmMenuResult, FmStatus, FmStatusResult,
    Problem, ProblemKind,
};
use parsec_protocol::ids::DeviceId;

use super::errors::object;
use super::methods::{MethodSpec, caller, raw, read};
use crate::engine::command::Handle;
use crate::fm;

type Registered = Result<(), RegisterMethodError>;

/// The paths of a question; nothing in the place of what is no path.
fn paths(texts: &[String]) -> Result<Arc<[Option<fm::Names>]>, Problem> {
    if texts.len() > FM_PATHS_MAX {
        let text = format!("{FM_PATHS_MAX} paths can be asked for at once.");
        return Err(Problem::new(ProblemKind::TooLarge, text));
    }
    Ok(texts.iter().map(|text| fm::read(text)).collect())
}

/// The devices on this machine that are unlocked, or not.
fn devices(handle: &Handle, state: DeviceState) -> Vec<DeviceId> {
    let all = handle.hub().overview().devices.into_iter();
    all.filter(|device| device.state == state).map(|device| device.device).collect()
}

fn select(device: DeviceId) -> DeviceSelector {
    DeviceSelector { device: Some(device.to_string()), organisation: None }
}

pub(super) fn register_status(module: &mut RpcModule<Handle>, spec: &'static MethodSpec) -> Registered {
    module
        .register_async_method(spec.name, move |params, handle, extensions| async move {
            let caller = caller(&extensions)?;
            let params: FmStatus = read(&params)?;
            let paths = paths(&params.paths).map_err(|problem| object(&problem))?;
            let mut all =
                FmStatusResult { items: vec![None; paths.len()], folders: Vec::new(), complete: true };
            for device in devices(&handle, DeviceState::Unlocked) {
                let asked = Arc::clone(&paths);
                let told = handle.on_session(&caller, spec.needs, select(device), move |session| {
                    fm::status(session, asked)
                });
                // One that was locked meanwhile has nothing mounted.
                let Ok(told) = told.await else { continue };
                for (item, found) in all.items.iter_mut().zip(told.items) {
                    *item = item.take().or(found);
                }
                all.folders.extend(told.folders);
                all.complete &= told.complete;
            }
            let locked = devices(&handle, DeviceState::Locked);
            let is_locked = |path: &fm::Names| {
                handle.folders().device(path).is_some_and(|device| locked.contains(&device))
            };
            if !locked.is_empty() {
                for (item, path) in all.items.iter_mut().zip(paths.iter()) {
                    if item.is_none() && path.as_ref().is_some_and(is_locked) {
                        *item = Some(fm::locked());
                    }
                }
            }
            raw(&all)
        })
        .map(|_| ())
}

pub(super) fn register_menu(module: &mut RpcModule<Handle>, spec: &'static MethodSpec) -> Registered {
    module
        .register_async_method(spec.name, move |params, handle, extensions| async move {
            let caller = caller(&extensions)?;
            let params: FmMenu = read(&params)?;
            let paths = paths(&params.paths).map_err(|problem| object(&problem))?;
            for device in devices(&handle, DeviceState::Unlocked) {
                let asked = Arc::clone(&paths);
                let menu = handle
                    .on_session(&caller, spec.needs, select(device), move |session| fm::menu(session, asked));
                if let Ok(items) = menu.await
                    && !items.is_empty()
                {
                    return raw(&FmMenuResult { items });
                }
            }
            raw(&FmMenuResult { items: Vec::new() })
        })
        .map(|_| ())
}

pub(super) fn register_invoke(module: &mut RpcModule<Handle>, spec: &'static MethodSpec) -> Registered {
    module
        .register_async_method(spec.name, move |params, handle, extensions| async move {
            let caller = caller(&extensions)?;
            let params: FmInvoke = read(&params)?;
            let paths = paths(&params.paths).map_err(|problem| object(&problem))?;
            for device in devices(&handle, DeviceState::Unlocked) {
                let (asked, act) = (Arc::clone(&paths), params.id);
                let done = handle.on_session(&caller, spec.needs, select(device), move |session| {
                    fm::invoke(session, act, asked)
                });
                if let Some(done) = done.await.map_err(|problem| object(&problem))? {
                    return raw(&done);
                }
            }
            let text = "These are not files of one mounted safe.";
            Err(object(&Problem::new(ProblemKind::PathNotFound, text)))
        })
        .map(|_| ())
}
