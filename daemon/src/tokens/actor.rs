//! The task that keeps the tokens: one request after the other, the disk before the answer.
//!
//! Decides that a token exists once it is on disk, that a use is served once it is on record, and
//! that a revoked token is dead at once, whatever the disk says. Refuses every token where the list
//! on disk can't be read: an empty one in its place would forget what was revoked.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{
    Event, Problem, ProblemKind, TokenCreate, TokenCreated, TokenId, TokenUse, TokenUses, TokenUsesResult,
};
use parsec_protocol::keys::random;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::table::{Judged, Now, TokenTable, Window};
use super::{Ask, Granted, QUEUE_MAX, SECRET_BYTES, TokenHandle, Use, hash, write_secret};
use crate::events::Hub;
use crate::os::blocking;
use crate::os::{clock, entropy};
use crate::problems;
use crate::store::{StoreError, TokenStore};

/// How long counts may wait before they are written: each use is on record anyway.
const SAVE_AFTER: Duration = Duration::from_secs(60);
/// Presentations of what is no token that are written down a minute.
const UNKNOWN_NOTED: u32 = 10;
/// Uses that `token.uses` gives unless told otherwise.
const USES_DEFAULT: u32 = 100;
/// Most that it gives: a line of the socket has room for them.
const USES_MAX: u32 = 1_000;

/// The actor that keeps the tokens: one task, asked by a channel.
#[derive(Debug)]
pub struct TokenActor {
    store: Arc<TokenStore>,
    /// Who is told.
    hub: Hub,
    /// Or why there are none.
    table: Result<TokenTable, Problem>,
    asked: mpsc::Receiver<Ask>,
    unknown: Window,
    /// When the counts are written, if any has changed.
    save_at: Option<Instant>,
}

/// By both clocks.
fn now() -> Now {
    Now { time: clock::now(), since_boot: clock::since_boot() }
}

impl TokenActor {
    /// Reads what is on disk. Blocks.
    #[must_use]
    pub fn new(store: TokenStore, hub: Hub) -> (Self, TokenHandle) {
        let (send, asked) = mpsc::channel(QUEUE_MAX);
        let table = store.load().map(|records| TokenTable::new(records, now())).map_err(unreadable);
        if let Err(problem) = &table {
            tracing::error!(%problem, hint = problem.hint, "plug-ins' tokens can't be read: none is accepted");
        }
        let unknown = Window::default();
        (Self { store: Arc::new(store), hub, table, asked, unknown, save_at: None }, TokenHandle(send))
    }

    /// Answers until `stop`, then writes the counts.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let save_at = self.save_at;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                asked = self.asked.recv() => match asked {
                    Some(asked) => self.answer(asked).await,
                    None => break,
                },
                () = tokio::time::sleep_until(save_at.unwrap_or_else(Instant::now)), if save_at.is_some() => {
                    self.save_counts().await;
                }
            }
        }
        self.save_counts().await;
    }

    async fn answer(&mut self, asked: Ask) {
        // Whoever asked may have gone; the work is done all the same.
        match asked {
            Ask::Present(secret, used, reply) => {
                let _ = reply.send(self.present(secret, used).await);
            }
            Ask::Charge(id, used, reply) => {
                let _ = reply.send(self.charge(&id, used, None).await.map(|_| ()));
            }
            Ask::Refused(id, used, why, reply) => {
                let _ = reply.send(self.charge(&id, used, Some(why)).await.map(|_| ()));
            }
            Ask::Create(request, reply) => {
                let _ = reply.send(self.create(request).await);
            }
            Ask::List(reply) => {
                let _ = reply.send(self.table().map(|table| table.views()));
            }
            Ask::Revoke(id, reply) => {
                let _ = reply.send(self.revoke(&id).await);
            }
            Ask::Uses(request, reply) => {
                let _ = reply.send(self.uses(request).await);
            }
        }
    }

    fn table(&mut self) -> Result<&mut TokenTable, Problem> {
        self.table.as_mut().map_err(|problem| problem.clone())
    }

    async fn present(
        &mut self,
        secret: Option<parsec_protocol::public_keys::Hash>,
        used: Use,
    ) -> Result<Granted, Problem> {
        let table = self.table()?;
        let Some(id) = secret.and_then(|secret| table.find(&secret)) else {
            let now = now();
            if self.unknown.take(UNKNOWN_NOTED, now.since_boot) {
                let (pid, kind) = (used.pid, ProblemKind::TokenInvalid);
                tracing::warn!(pid, "somebody presented what is no token");
                let method = used.method.to_owned();
                self.hub.publish(Event::TokenRefused { id: None, method, problem: kind });
                self.note(None, None, used, Some(kind), now).await?;
            }
            return Err(Problem::new(ProblemKind::TokenInvalid, "There is no such token."));
        };
        self.charge(&id, used, None).await?;
        let granted = self.table()?.granted(&id);
        granted.ok_or_else(|| Problem::new(ProblemKind::TokenInvalid, "There is no such token."))
    }

    /// Counts and records a use; `why` if it has been refused already.
    async fn charge(&mut self, id: &TokenId, used: Use, why: Option<ProblemKind>) -> Result<(), Problem> {
        let now = now();
        let Some(Judged { id, name, refused, noted }) = self.table()?.judge(id, why, now) else {
            return Err(Problem::new(ProblemKind::TokenInvalid, "The token has been revoked."));
        };
        self.save_at.get_or_insert_with(|| Instant::now() + SAVE_AFTER);
        if noted {
            let outcome = refused.map_or("answered", ProblemKind::name);
            let (method, pid) = (used.method, used.pid);
            tracing::info!(token = id.0, name = ?name, method, outcome, pid, "a plug-in asked");
            if let Some(problem) = refused {
                let method = method.to_owned();
                self.hub.publish(Event::TokenRefused { id: Some(id.clone()), method, problem });
            }
            self.note(Some(id), Some(name), used, refused, now).await?;
        }
        match refused {
            None => Ok(()),
            Some(kind) => Err(Problem::new(kind, sentence(kind))),
        }
    }

    async fn note(
        &self,
        id: Option<TokenId>,
        name: Option<String>,
        used: Use,
        refused: Option<ProblemKind>,
        now: Now,
    ) -> Result<(), Problem> {
        let Use { method, pid } = used;
        let line = TokenUse { time: now.time, id, name, method: method.to_owned(), pid, refused };
        let store = Arc::clone(&self.store);
        blocking(move || store.note(&line)).await
    }

    async fn create(&mut self, request: TokenCreate) -> Result<TokenCreated, Problem> {
        let drawn = random::<8>(&mut entropy::System)
            .and_then(|id| Ok((id, Zeroizing::new(random::<SECRET_BYTES>(&mut entropy::System)?))));
        let (id, secret) = drawn.map_err(problems::no_entropy)?;
        let id = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let table = self.table()?;
        let now = now();
        let record = table.draft(request, id, hash(&secret), now.time)?;
        let mut list = table.records();
        list.push(record.clone());
        let store = Arc::clone(&self.store);
        blocking(move || store.save(&list)).await?;
        let token = self.table()?.add(record, now);
        tracing::info!(token = token.id.0, name = ?token.name, "made a token");
        self.hub.publish(Event::TokenCreated { id: token.id.clone(), name: token.name.clone() });
        Ok(TokenCreated { token, secret: write_secret(&secret) })
    }

    async fn revoke(&mut self, id: &TokenId) -> Result<(), Problem> {
        let table = self.table()?;
        let Some(record) = table.remove(id) else {
            return Err(Problem::new(ProblemKind::TokenInvalid, "There is no such token."));
        };
        tracing::info!(token = id.0, name = ?record.name, "revoked a token");
        self.hub.publish(Event::TokenRevoked { id: id.clone(), name: record.name });
        self.save().await
    }

    async fn uses(&mut self, request: TokenUses) -> Result<TokenUsesResult, Problem> {
        let most = request.limit.unwrap_or(USES_DEFAULT);
        if !(1..=USES_MAX).contains(&most) {
            let text = format!("`limit` is 1 to {USES_MAX}.");
            return Err(Problem::new(ProblemKind::InvalidRequest, text));
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let store = Arc::clone(&self.store);
        let wanted = request.id;
        let uses = blocking(move || {
            store.uses(most, |used| wanted.as_ref().is_none_or(|id| used.id.as_ref() == Some(id)))
        });
        Ok(TokenUsesResult { uses: uses.await? })
    }

    async fn save(&mut self) -> Result<(), Problem> {
        let (store, list) = (Arc::clone(&self.store), self.table()?.records());
        blocking(move || store.save(&list)).await
    }

    async fn save_counts(&mut self) {
        if self.save_at.take().is_some()
            && let Err(problem) = self.save().await
        {
            tracing::warn!(%problem, "the counts of plug-ins' uses could not be written; the record of uses has them");
        }
    }
}

fn sentence(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::TokenExpired => "The token has expired.",
        ProblemKind::RateLimited => "The token is used more often than it allows.",
        _ => "This token does not allow this method.",
    }
}

/// The list can't be used; what to do about it is not what a damaged device asks for.
fn unreadable(error: StoreError) -> Problem {
    let mut problem = Problem::from(error);
    problem.hint = "Move the file `tokens` out of the data folder and restart the daemon: plug-ins then need new tokens.".to_owned();
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> TokenCreate {
        let methods = vec!["status.show".into()];
        TokenCreate { name: "files".into(), methods, days: None, rate_per_minute: None }
    }

    #[tokio::test]
    async fn a_token_lives_over_a_restart_and_dies_by_revocation() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let start = || {
            let (actor, tokens) =
                TokenActor::new(TokenStore::open(&data).unwrap(), Hub::new(Vec::new()).unwrap());
            let stop = CancellationToken::new();
            (tokio::spawn(actor.run(stop.clone())), tokens, stop)
        };
        let (task, tokens, stop) = start();
        let made = tokens.create(request()).await.unwrap();
        assert_eq!(tokens.present(&made.secret, Some(7)).await.unwrap().id, made.token.id);
        tokens.charge(&made.token.id, "status.show", Some(7)).await.unwrap();
        stop.cancel();
        task.await.unwrap();
        let on_disk = std::fs::read(data.join("tokens")).unwrap();
        let secret = made.secret.expose().as_bytes();
        assert!(!on_disk.windows(16).any(|window| secret.windows(16).any(|part| part == window)));

        let (task, tokens, stop) = start();
        let listed = tokens.list().await.unwrap();
        assert_eq!((listed.len(), listed[0].uses), (1, 2));
        let granted = tokens.present(&made.secret, Some(8)).await.unwrap();
        let uses = tokens.uses(TokenUses::default()).await.unwrap().uses;
        let told: Vec<_> = uses.iter().map(|used| (used.method.as_str(), used.pid)).collect();
        assert_eq!(told, [("rpc.hello", 8), ("status.show", 7), ("rpc.hello", 7)]);
        tokens.revoke(made.token.id.clone()).await.unwrap();
        granted.over().await;
        let late = tokens.charge(&made.token.id, "status.show", Some(8)).await.unwrap_err();
        assert_eq!(late.name, ProblemKind::TokenInvalid);
        stop.cancel();
        task.await.unwrap();

        let (_task, tokens, _stop) = start();
        assert_eq!(tokens.present(&made.secret, None).await.unwrap_err().name, ProblemKind::TokenInvalid);
        assert!(tokens.list().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_damaged_list_accepts_nobody_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = TokenStore::open(&data).unwrap();
        store.save(&[]).unwrap();
        std::fs::write(data.join("tokens"), b"damaged").unwrap();
        let (actor, tokens) = TokenActor::new(store, Hub::new(Vec::new()).unwrap());
        let _task = tokio::spawn(actor.run(CancellationToken::new()));
        for problem in [tokens.list().await.unwrap_err(), tokens.create(request()).await.unwrap_err()] {
            assert_eq!(problem.name, ProblemKind::StoreDamaged);
            assert!(problem.hint.contains("`tokens`"));
        }
        assert_eq!(std::fs::read(data.join("tokens")).unwrap(), b"damaged");
    }
}
