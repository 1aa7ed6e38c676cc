//! Tokens of plug-ins.
use parsec_protocol::control::{Problem, ProblemKind, SecretText, TokenId};
use tokio_util::sync::CancellationToken;
/// What a token that was presented allows.
#[derive(Debug, Clone)]
pub struct Granted {
    /// Which.
    pub id: TokenId,
    /// Cut when it is revoked.
    pub cut: CancellationToken,
    methods: Vec<String>,
}

impl Granted {
    /// Whether it names a method.
    #[must_use]
    pub fn allows(&self, method: &str) -> bool {
        self.methods.iter().any(|name| name == method)
    }
}

/// The way to the tokens.
#[derive(Debug, Clone)]
pub struct Desk;

impl Desk {
    /// Recognises a token.
    ///
    /// # Errors
    /// `token_invalid`
    pub async fn present(&self, _secret: &SecretText, _pid: Option<i32>) -> Result<Granted, Problem> {
        Err(Problem::new(ProblemKind::TokenInvalid, "There is no such token."))
    }
}
