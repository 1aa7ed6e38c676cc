//! A transport within one process, for tests: what the relay does, without a server.
//!
//! Decides what the server would: steps are kept, states pushed, an ended attempt takes nothing
//! more.

#![cfg(test)]

use std::sync::{Arc, Mutex};

use parsec_protocol::ids::{AttemptId, Timestamp};
use parsec_protocol::relay::attempt::{Earlier, Side};
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, GreeterIds, Least, LogPage};
use tokio::sync::watch;

use super::{Transport, TransportError, Trouble};

/// One attempt; both sides hold a clone.
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    state: Arc<watch::Sender<AttemptView>>,
    steps: Arc<Mutex<Vec<Vec<u8>>>>,
    log: Arc<Vec<Vec<u8>>>,
    trouble: Arc<Trouble>,
}

fn refused(code: ErrorCode) -> TransportError {
    TransportError::Refused { code, server_time: Timestamp(0), local_time: Timestamp(0), retry_after: 0 }
}

impl MemoryTransport {
    /// A fresh attempt that `greeter` has joined.
    #[must_use]
    pub fn new(greeter: GreeterIds, log: Vec<Vec<u8>>) -> Self {
        let attempt = AttemptId::from_bytes([7; 16]);
        let view = AttemptView { greeter: Some(greeter), ..AttemptView::opened(attempt) };
        Self {
            state: Arc::new(watch::Sender::new(view)),
            steps: Arc::default(),
            log: Arc::new(log),
            trouble: Arc::new(Trouble::new(None)),
        }
    }

    /// How many steps are there.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps.lock().unwrap().len()
    }

    /// The certificates are in the log.
    pub fn state_completed(&self) {
        self.state.send_modify(|view| view.ended = Some(EndReason::Completed));
    }

    /// What a hostile server may do: forgets every step, as if the attempt had just begun.
    #[must_use]
    pub fn forget_steps(&self) -> Vec<Vec<u8>> {
        let forgotten = std::mem::take(&mut *self.steps.lock().unwrap());
        self.state.send_modify(|view| view.steps = 0);
        forgotten
    }

    /// What a hostile server may do: ends it in the name of the other side.
    pub fn end(&self, reason: EndReason) {
        self.state.send_modify(|view| view.ended = Some(reason));
    }

    /// Why it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<EndReason> {
        self.state.borrow().ended
    }
}

impl Transport for MemoryTransport {
    async fn deposit(&self, step: u8, bytes: Vec<u8>) -> Result<(), TransportError> {
        let mut steps = self.steps.lock().unwrap();
        let mut view = self.state.borrow().clone();
        view.deposit(Side::depositing(step), step, Earlier::Nothing).map_err(refused)?;
        steps.push(bytes);
        self.state.send_replace(view);
        Ok(())
    }

    async fn fetch(&self, step: u8) -> Result<Vec<u8>, TransportError> {
        self.steps.lock().unwrap().get(usize::from(step)).cloned().ok_or_else(|| refused(ErrorCode::NotYet))
    }

    async fn state(&self) -> Result<AttemptView, TransportError> {
        Ok(self.state.borrow().clone())
    }

    async fn cancel(&self, reason: EndReason) -> Result<(), TransportError> {
        self.state.send_modify(|view| {
            view.ended.get_or_insert(reason);
        });
        Ok(())
    }

    async fn log_page(&self, from: u64, _: Least) -> Result<LogPage, TransportError> {
        let certificates =
            self.log.iter().skip(usize::try_from(from).unwrap()).cloned().map(Into::into).collect();
        Ok(LogPage { count: self.log.len() as u64, certificates })
    }

    async fn follow(&self, seen: watch::Sender<Option<AttemptView>>) -> TransportError {
        let mut state = self.state.subscribe();
        loop {
            let view = state.borrow_and_update().clone();
            seen.send_replace(Some(view));
            if state.changed().await.is_err() {
                return TransportError::Unreachable("gone".into());
            }
        }
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }
}
