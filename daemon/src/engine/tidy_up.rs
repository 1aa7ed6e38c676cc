//! What the loop starts for devices that are not registered yet: their receipts, and what an
//! earlier daemon left.
//!
//! Decides that an attempt without keys is ended, and that a receipt goes out until its device is
//! removed.

use std::sync::Arc;

use parsec_protocol::ids::DeviceId;
use tokio::task::JoinSet;

use super::Daemon;
use super::forget::unless_forgotten;
use crate::enrolment::recovery;
use crate::os::blocking;

impl Daemon {
    /// Goes on with what an earlier daemon left: receipts go out, attempts without keys are ended.
    pub(super) fn tidy_up(&self) {
        let (context, leaving) = (self.context.clone(), self.devices.leaving().clone());
        self.context.spawn(async move {
            let store = Arc::clone(&context.store);
            let pending = match blocking(move || store.pending()).await {
                Ok(pending) => pending,
                Err(problem) => {
                    tracing::error!(%problem, "the devices on this machine can't be read");
                    return;
                }
            };
            let records = context.attempts.clone();
            let started = tokio::task::spawn_blocking(move || records.all()).await.unwrap_or_default();
            let mut work = JoinSet::new();
            for started in started {
                let kept = pending.iter().any(|(_, receipt)| receipt.attempt == started.attempt);
                let context = context.clone();
                work.spawn(async move {
                    let attempt = started.attempt;
                    if !kept {
                        recovery::abandon(context.client, context.net, started).await;
                    }
                    let _ = tokio::task::spawn_blocking(move || context.attempts.remove(attempt)).await;
                });
            }
            for (device, receipt) in pending {
                let (context, leaving) = (context.clone(), leaving.clone());
                work.spawn(async move {
                    let register =
                        recovery::register(context.client, context.net, device, receipt, context.reports);
                    let _ = unless_forgotten(&leaving, device, register).await;
                });
            }
            while work.join_next().await.is_some() {}
        });
    }

    /// Deposits the receipt of a device that was just made, and follows it.
    pub(super) fn follow_receipt(&self, device: DeviceId) {
        let (context, leaving) = (self.context.clone(), self.devices.leaving().clone());
        self.context.spawn(async move {
            let store = Arc::clone(&context.store);
            let Ok(pending) = blocking(move || store.pending()).await else { return };
            let Some((_, receipt)) = pending.into_iter().find(|(id, _)| *id == device) else { return };
            let register = recovery::register(context.client, context.net, device, receipt, context.reports);
            let _ = unless_forgotten(&leaving, device, register).await;
        });
    }
}
