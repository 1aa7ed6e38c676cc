//! Work on its way to the store's threads, and the answers on their way back.
//!
//! Decides how much may wait, of whom, and that work which has lost its caller need not begin.
//! Whose work is next, `fair_queue` decides; how it is run and made durable, the engine. Refuses
//! work of a party that has too much waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parsec_protocol::ids::{DeviceId, OrganisationId};
use tokio::sync::oneshot;

use super::fair_queue::{Bounds, FairQueue, Full};
use super::rows::Signer;
use super::signers::Signers;
use super::{OpenError, Party, Tx, sqlite};
use crate::errors::Refusal;
use crate::watchers::{Change, Watchers};

/// Threads that read. More than a small machine has cores, so that a long answer for one holds up
/// no short ones for others.
pub(super) const READERS: usize = 4;
/// Readers at work for one organisation, or one address: one is always left to the others.
const READERS_PER_PARTY_MAX: usize = READERS - 1;
/// Pieces of one member's work that wait: more than all daemons of a person have under way.
pub(super) const WAITING_PER_MEMBER_MAX: usize = 512;
/// Pieces of work that wait for one address, where a whole office may sit: both sides of some 500
/// ceremonies.
const WAITING_PER_ADDRESS_MAX: usize = 1_024;
/// Pieces of work that wait in all, each with its request's body: twice as many as there are
/// connections, unless the operator wants more.
const WAITING_MAX: usize = 4_096;
/// Seconds after which a caller who has too much waiting may try again: some thousand pieces are
/// done in one.
pub(super) const RETRY_FULL: u32 = 1;

/// Work for a thread, with its type of result hidden.
pub(super) trait Work: Send {
    /// Runs it; `false`: its changes are to be taken back.
    fn run(&mut self, tx: &mut dyn Tx) -> bool;
    /// Whether its caller has gone: it need not begin.
    fn abandoned(&self) -> bool;
    /// Answers. `fate`: whether the transaction around it was committed.
    fn answer(self: Box<Self>, fate: Result<(), Refusal>);
}

struct Task<F, T> {
    work: Option<F>,
    outcome: Option<Result<T, Refusal>>,
    reply: oneshot::Sender<Result<T, Refusal>>,
}

impl<F, T> Work for Task<F, T>
where
    F: FnOnce(&mut dyn Tx) -> Result<T, Refusal> + Send,
    T: Send,
{
    fn run(&mut self, tx: &mut dyn Tx) -> bool {
        // A bug in one request's work must not take the thread with it, which all others wait for.
        // Safe to go on: the work owns nothing of the thread's but the transaction, and what it
        // changed there is taken back like any refusal's.
        let outcome = self.work.take().map(|work| {
            catch_unwind(AssertUnwindSafe(|| work(tx))).unwrap_or_else(|_| {
                tracing::error!("a request's work on the database failed: a bug");
                Err(parsec_protocol::relay::ErrorCode::Internal.into())
            })
        });
        let keep = matches!(outcome, Some(Ok(_)));
        self.outcome = outcome;
        keep
    }

    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>, fate: Result<(), Refusal>) {
        let answer = match fate {
            Ok(()) => self.outcome.unwrap_or(Err(Refusal::UNAVAILABLE)),
            Err(refusal) => Err(refusal),
        };
        // The caller may have gone; the change stays.
        let _ = self.reply.send(answer);
    }
}

pub(super) type Queue = FairQueue<Box<dyn Work>>;

/// What an engine tells of changes, once they are durable and before they are answered.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    watchers: Arc<Watchers>,
    signers: Signers,
}

impl Listeners {
    /// Tells of all changes of one transaction, in their order.
    pub(super) fn tell(&self, changed: &[Change]) {
        self.signers.forget(changed.iter().map(|change| &change.topic));
        self.watchers.notify(changed);
    }
}

/// What the store has done since it was opened.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// Pieces of work that were handed to a thread.
    pub(crate) handed_over: std::sync::atomic::AtomicU64,
    /// Row operations of all of them.
    pub(crate) operations: std::sync::atomic::AtomicU64,
}

/// Both queues; nothing more comes once this is gone.
struct Queues {
    writing: Arc<Queue>,
    reading: Arc<Queue>,
    listeners: Arc<Listeners>,
    #[cfg(test)]
    costs: Arc<Costs>,
}

impl Drop for Queues {
    fn drop(&mut self) {
        self.writing.close();
        self.reading.close();
    }
}

/// The store, for one party's work. Copies share the engine, which ends when the last copy is
/// dropped.
#[derive(Clone)]
pub(crate) struct Store {
    queues: Arc<Queues>,
    party: Party,
}

/// The engine's threads, to be waited for after the last [`Store`] is gone.
#[derive(Debug)]
pub(crate) struct Threads(pub(super) Vec<std::thread::JoinHandle<()>>);

impl Threads {
    /// Waits until all have ended. Blocks.
    pub(crate) fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a database thread had failed");
            }
        }
    }
}

impl Store {
    /// Opens the database and starts its engine. What is asked of the store as it is returned is
    /// the server's own work.
    pub(crate) fn open(path: &Path, watchers: Arc<Watchers>) -> Result<(Self, Threads), OpenError> {
        let bounds = |at_once| Bounds {
            member: WAITING_PER_MEMBER_MAX,
            address: WAITING_PER_ADDRESS_MAX,
            all: WAITING_MAX,
            at_once,
        };
        let queues = Queues {
            writing: Arc::new(FairQueue::new(bounds(usize::MAX))),
            reading: Arc::new(FairQueue::new(bounds(READERS_PER_PARTY_MAX))),
            listeners: Arc::new(Listeners { watchers, signers: Signers::default() }),
            #[cfg(test)]
            costs: Arc::default(),
        };
        let threads = sqlite::start(path, &queues.writing, &queues.reading, &queues.listeners)?;
        Ok((Self { queues: Arc::new(queues), party: Party::Server }, threads))
    }

    /// The same for another party, in whose turn the work is done.
    pub(crate) fn of(&self, party: Party) -> Self {
        Self { queues: Arc::clone(&self.queues), party }
    }

    /// A device as a signer, for letting a request in: the newest state, or one of a moment ago.
    /// Work that rests on it looks again in its own transaction.
    pub(crate) async fn signer(
        &self,
        organisation: &OrganisationId,
        device: DeviceId,
    ) -> Result<Option<Signer>, Refusal> {
        let signers = &self.queues.listeners.signers;
        let moment = match signers.get(organisation, &device, Instant::now()) {
            Ok(signer) => return Ok(Some(signer)),
            Err(moment) => moment,
        };
        let org = organisation.clone();
        let found = self.read(move |tx| Ok(tx.signer(&org, &device)?)).await?;
        if let Some(signer) = found {
            signers.keep(moment, organisation, signer, Instant::now());
        }
        Ok(found)
    }

    /// Runs a change. When this answers `Ok`, it is on disk; when `Err`, nothing of it is, except
    /// that a failed answer to a commit leaves open which (callers repeat: all calls are
    /// idempotent).
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.hand_over(&self.queues.writing, work).await
    }

    /// Reads the newest durable state.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Tx) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.hand_over(&self.queues.reading, |tx: &mut dyn Tx| work(tx)).await
    }

    async fn hand_over<T: Send + 'static>(
        &self,
        queue: &Queue,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        #[cfg(test)]
        let work = self.counted(work);
        let full = Refusal::rate_limited(RETRY_FULL);
        let (reply, answer) = oneshot::channel();
        let task = Task { work: Some(work), outcome: None, reply };
        if let Some(gone) = queue.push(&self.party, Box::new(task)).map_err(|Full| full)? {
            gone.answer(Err(full));
        }
        answer.await.unwrap_or(Err(Refusal::UNAVAILABLE))
    }
}

#[cfg(test)]
impl Store {
    /// What has been done since it was opened.
    pub(crate) fn costs(&self) -> Arc<Costs> {
        Arc::clone(&self.queues.costs)
    }

    fn counted<T>(
        &self,
        work: impl FnOnce(&mut dyn Tx) -> Result<T, Refusal> + Send + 'static,
    ) -> impl FnOnce(&mut dyn Tx) -> Result<T, Refusal> + Send + 'static {
        use std::sync::atomic::Ordering::SeqCst;
        let costs = self.costs();
        // The server looks for what is due by the clock, whatever is asked of it.
        let asked = u64::from(self.party != Party::Server);
        costs.handed_over.fetch_add(asked, SeqCst);
        move |tx| {
            let before = tx.operations();
            let outcome = work(tx);
            costs.operations.fetch_add(asked * tx.operations().saturating_sub(before), SeqCst);
            outcome
        }
    }
}
