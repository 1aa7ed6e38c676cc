//! `token create|list|revoke|uses`: access for plug-ins.
//!
//! Decides where a token's secret goes: to stdout, or to a file of its own that exists before the
//! token does. Refuses to write over a file, and to leave a token behind whose secret could not be
//! kept.

use std::io::Write as _;

use parsec_host::output::reaches_nobody;
use parsec_protocol::control::{
    Empty, ProblemKind, TokenCreate, TokenCreated, TokenId, TokenListResult, TokenSelector, TokenUses,
    TokenUsesResult, TokenView, method,
};

use super::Context;
use crate::args::{NewToken, Token};
use crate::client::Connection;
use crate::failure::{Done, Failure};
use crate::schema;
use crate::secret_file;
use crate::text::{escaped, moment, moment_to_the_second};

pub(super) fn run(context: &Context<'_>, command: Token) -> Result<(), Failure> {
    match command {
        Token::Create(new) => create(context, new),
        Token::List => list(context),
        Token::Revoke { id } => {
            let asked = TokenSelector { id: TokenId(id) };
            let _done: Empty = context.call(method::TOKEN_REVOKE, &asked)?;
            let text = format!("Token {} is revoked; its connections have ended.", escaped(&asked.id.0));
            context.output.changed(
                schema::TOKEN_REVOKE,
                &asked,
                || text.clone(),
                Done::new(&text, SEE_TOKENS),
            )
        }
        Token::Uses { id, limit } => uses(context, TokenUses { id: id.map(TokenId), limit }),
    }
}

fn create(context: &Context<'_>, new: NewToken) -> Result<(), Failure> {
    if new.output.is_none() && reaches_nobody() {
        return Err(Failure::not_made(
            "the secret is shown once, and would be lost, so there is no token",
            "Give it a file: --output FILE.",
        ));
    }
    let mut daemon = context.connect()?;
    // The file first: if it can't be made, there is no token whose secret nobody has.
    let kept =
        new.output.as_deref().map(|path| secret_file::make(path).map(|file| (path, file))).transpose()?;
    let asked =
        TokenCreate { name: new.name, methods: new.methods, days: new.days, rate_per_minute: new.rate };
    let made: Result<TokenCreated, Failure> = context.ask_for_all(&mut daemon, method::TOKEN_CREATE, &asked);
    let Some((path, mut file)) = kept else { return show_secret(context, &mut daemon, &made?) };
    let made = made.inspect_err(|_| secret_file::remove(path))?;
    let written = writeln!(file, "{}", made.secret.expose()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        secret_file::remove(path);
        let left = undo(context, &mut daemon, made.token.id);
        return Err(Failure::new(
            ProblemKind::DiskFailed,
            format!("The secret can't be written to {}: {error}; {left}", path.display()),
        ));
    }
    let text = format!("{}\nIts secret is in {}.", described(&made.token), escaped(path.display()));
    let result = serde_json::json!({ "token": made.token });
    let done = Done::new(text.replace('\n', " "), SEE_TOKENS);
    context.output.changed(schema::TOKEN_CREATE, &result, || text.clone(), done)
}

/// Where tokens can be seen; their secrets can't.
const SEE_TOKENS: &str = "`parsecctl token list` shows the tokens.";

/// Takes back a token whose secret nobody has; says what became of it.
fn undo(context: &Context<'_>, daemon: &mut Connection, id: TokenId) -> String {
    let selector = TokenSelector { id };
    let undone: Result<Empty, Failure> = context.ask(daemon, method::TOKEN_REVOKE, &selector);
    match undone {
        Ok(_) => "the token was revoked again".to_owned(),
        Err(_) => format!("revoke it: parsecctl token revoke {}", escaped(&selector.id.0)),
    }
}

/// The secret on stdout, everything about it on stderr: `parsecctl token create … > file` works,
/// too.
fn show_secret(context: &Context<'_>, daemon: &mut Connection, made: &TokenCreated) -> Result<(), Failure> {
    context.output.say(&format!("{}\nIts secret, shown this once:", described(&made.token)));
    let secret = || escaped(made.secret.expose());
    context.output.result(schema::TOKEN_CREATE.0, made, secret).map_err(|failure| {
        let left = undo(context, daemon, made.token.id.clone());
        let what = format!("Token {} was made; nobody has its secret, so {left}.", escaped(&made.token.id.0));
        failure.after(Done::new(
            what,
            "Make it again, with --output FILE or with an output that can be written.",
        ))
    })
}

fn described(token: &TokenView) -> String {
    format!(
        "Token {} ({}) allows {} until {}.",
        escaped(&token.id.0),
        escaped(&token.name),
        escaped(token.methods.join(", ")),
        moment(token.expires)
    )
}

fn list(context: &Context<'_>) -> Result<(), Failure> {
    let result: TokenListResult = context.call(method::TOKEN_LIST, &Empty {})?;
    context.output.result(schema::TOKEN_LIST, &result, || {
        if result.tokens.is_empty() {
            return "No tokens. Make one with: parsecctl token create NAME --method METHOD".to_owned();
        }
        let rows: Vec<Vec<String>> = result
            .tokens
            .iter()
            .map(|token| {
                vec![
                    token.id.0.clone(),
                    token.name.clone(),
                    token.methods.join(" "),
                    moment(token.expires),
                    token.uses.to_string(),
                    token.refused.to_string(),
                    token.last_used.map_or_else(|| "never".to_owned(), moment),
                ]
            })
            .collect();
        context.output.table(&["TOKEN", "NAME", "METHODS", "EXPIRES", "USES", "REFUSED", "LAST USED"], &rows)
    })
}

fn uses(context: &Context<'_>, asked: TokenUses) -> Result<(), Failure> {
    let result: TokenUsesResult = context.call(method::TOKEN_USES, &asked)?;
    context.output.result(schema::TOKEN_USES, &result, || {
        if result.uses.is_empty() {
            return "Nothing was asked with a token.".to_owned();
        }
        let unknown = || "-".to_owned();
        let rows: Vec<Vec<String>> = result
            .uses
            .iter()
            .map(|it| {
                vec![
                    moment_to_the_second(it.time),
                    it.id.as_ref().map_or_else(unknown, |id| id.0.clone()),
                    it.name.clone().unwrap_or_else(unknown),
                    it.method.clone(),
                    it.pid.to_string(),
                    it.refused.map_or_else(|| "answered".to_owned(), |why| why.name().to_owned()),
                ]
            })
            .collect();
        context.output.table(&["TIME", "TOKEN", "NAME", "METHOD", "PROCESS", "HOW"], &rows)
    })
}
