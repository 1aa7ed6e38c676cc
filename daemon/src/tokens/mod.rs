//! Plug-ins' tokens: what they allow, who recognises them, and the one task that keeps them.
//!
//! Decides how the socket and the methods reach that task. Refuses to hold a secret: what a plug-in
//! presents is hashed before it is passed on.

mod actor;
mod table;

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use parsec_protocol::control::{
    Problem, ProblemKind, SecretText, TokenCreate, TokenCreated, TokenId, TokenUses, TokenUsesResult,
    TokenView, method,
};
use parsec_protocol::ids::Timestamp;
use parsec_protocol::public_keys::Hash;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::os::clock;
use crate::problems;
pub use actor::TokenActor;

/// What plug-ins can be given at all. A token names some of it; nothing else is ever answered at
/// their socket.
pub const PLUGIN_METHODS: [&str; 7] = [
    method::STATUS,
    method::DEVICE_LIST,
    method::CEREMONY_LIST,
    method::EVENTS_WATCH,
    method::FM_STATUS,
    method::FM_MENU,
    method::FM_INVOKE,
];
/// What every secret begins with, so that people and scanners for leaked secrets recognise one.
const SECRET_PREFIX: &str = "parsec-token-";
/// Bytes of a secret: nobody guesses 256 bits.
const SECRET_BYTES: usize = 32;
/// Between looks at both clocks: one may be set, and a timer stands still while the machine sleeps.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Requests that may wait for the actor; more than connections have requests under way is never
/// needed.
const QUEUE_MAX: usize = 64;

/// What a token that was presented allows.
#[derive(Debug, Clone)]
pub struct Granted {
    /// Id of the token that was presented.
    pub id: TokenId,
    /// When it ends.
    expires: Timestamp,
    /// The same by the clock that nobody sets.
    ends: Duration,
    /// Cut when it is revoked.
    cut: CancellationToken,
    methods: Vec<String>,
}

impl Granted {
    /// Whether it names a method.
    #[must_use]
    pub fn allows(&self, method: &str) -> bool {
        self.methods.iter().any(|name| name == method)
    }

    /// Returns once it is revoked or at its end.
    pub async fn over(&self) {
        // A clock that is set back lengthens nothing.
        let left = || clock::until(self.expires).min(self.ends.saturating_sub(clock::since_boot()));
        let at_its_end = async {
            while !left().is_zero() {
                tokio::time::sleep(left().min(LOOK_AGAIN)).await;
            }
        };
        tokio::select! {
            () = self.cut.cancelled() => {}
            () = at_its_end => {}
        }
    }
}

/// Who asks with a token, and what.
#[derive(Debug, Clone)]
struct Use {
    method: &'static str,
    pid: u32,
}

type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// What is asked of the actor.
#[derive(Debug)]
enum Ask {
    Present(Option<Hash>, Use, Reply<Granted>),
    Charge(TokenId, Use, Reply<()>),
    Refused(TokenId, Use, ProblemKind, Reply<()>),
    Create(TokenCreate, Reply<TokenCreated>),
    List(Reply<Vec<TokenView>>),
    Revoke(TokenId, Reply<()>),
    Uses(TokenUses, Reply<TokenUsesResult>),
}

/// The way to the tokens.
#[derive(Debug, Clone)]
pub struct TokenHandle(mpsc::Sender<Ask>);

/// A process's number as it is recorded; 0 where there is none to be seen.
fn number(pid: Option<i32>) -> u32 {
    pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0)
}

impl TokenHandle {
    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        // Without an actor the daemon is stopping.
        let _ = self.0.send(ask(reply)).await;
        answer.await.unwrap_or_else(|_| Err(problems::stopping()))
    }

    /// Recognises a token.
    ///
    /// # Errors
    /// `token_invalid`, `token_expired`, `rate_limited`; the disk's if the use can't be recorded.
    pub async fn present(&self, secret: &SecretText, pid: Option<i32>) -> Result<Granted, Problem> {
        let hash = read_secret(secret);
        let used = Use { method: method::HELLO, pid: number(pid) };
        self.ask(|reply| Ask::Present(hash, used, reply)).await
    }

    /// Counts and records a use.
    ///
    /// # Errors
    /// As [`Self::present`]; then it is not to be served.
    pub async fn charge(&self, id: &TokenId, method: &'static str, pid: Option<i32>) -> Result<(), Problem> {
        let used = Use { method, pid: number(pid) };
        self.ask(|reply| Ask::Charge(id.clone(), used, reply)).await
    }

    /// Counts and records that a token was used for what it doesn't allow.
    pub async fn refused(&self, id: &TokenId, method: &'static str, pid: Option<i32>, why: ProblemKind) {
        let used = Use { method, pid: number(pid) };
        // The refusal stands whether it is on record or not.
        let _ = self.ask(|reply| Ask::Refused(id.clone(), used, why, reply)).await;
    }

    /// `token.create`
    ///
    /// # Errors
    /// `invalid_request`, the disk's.
    pub async fn create(&self, request: TokenCreate) -> Result<TokenCreated, Problem> {
        self.ask(|reply| Ask::Create(request, reply)).await
    }

    /// `token.list`
    ///
    /// # Errors
    /// `store_damaged`, `store_too_new` where the list can't be read.
    pub async fn list(&self) -> Result<Vec<TokenView>, Problem> {
        self.ask(Ask::List).await
    }

    /// `token.revoke`. What runs with the token is cut off before this returns.
    ///
    /// # Errors
    /// `token_invalid`; the disk's, and then it is revoked until the daemon starts again.
    pub async fn revoke(&self, id: TokenId) -> Result<(), Problem> {
        self.ask(|reply| Ask::Revoke(id, reply)).await
    }

    /// `token.uses`
    ///
    /// # Errors
    /// The disk's.
    pub async fn uses(&self, request: TokenUses) -> Result<TokenUsesResult, Problem> {
        self.ask(|reply| Ask::Uses(request, reply)).await
    }
}

/// The text of a secret.
fn write_secret(secret: &[u8; SECRET_BYTES]) -> SecretText {
    let mut text = Zeroizing::new(String::with_capacity(SECRET_PREFIX.len() + 2 * SECRET_BYTES));
    text.push_str(SECRET_PREFIX);
    text.push_str(&Zeroizing::new(Base64UrlUnpadded::encode_string(secret)));
    SecretText::new(text)
}

fn hash(secret: &[u8; SECRET_BYTES]) -> Hash {
    Hash::of(&[b"parsec-token-v1\0", secret])
}

/// The hash of a secret; nothing if the text is none.
fn read_secret(text: &SecretText) -> Option<Hash> {
    let text = text.expose().strip_prefix(SECRET_PREFIX)?;
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    let read = Base64UrlUnpadded::decode(text, &mut *secret).ok()?;
    (read.len() == SECRET_BYTES).then_some(())?;
    Some(hash(&secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_one_secret() {
        let text = write_secret(&[7; SECRET_BYTES]);
        assert!(text.expose().starts_with("parsec-token-BwcHBwcH"));
        assert_eq!(read_secret(&text), Some(hash(&[7; SECRET_BYTES])));
        let other = |text: String| read_secret(&SecretText::new(text.into()));
        let plain = text.expose().to_owned();
        for wrong in [
            String::new(),
            plain.trim_start_matches("parsec-token-").to_owned(),
            format!("{plain}A"),
            format!("{plain}="),
            plain[..plain.len() - 1].to_owned(),
            format!("{plain} "),
            plain.replace("parsec", "Parsec"),
            // The unused bits of the last character.
            format!("{}d", &plain[..plain.len() - 1]),
            "x".repeat(1 << 20),
        ] {
            assert_eq!(other(wrong.clone()), None, "{:.60}", wrong);
        }
    }
}
