//! The one place where it is decided whether a caller may call a method.
//!
//! Decides by the socket somebody came through, the token they presented, and the method's
//! permission in the one table. Refuses before the method sees its parameters. What a session must
//! have confirmed is a second question, which the loop answers, because it knows which device is
//! meant; what asks it is a column of the same table.

use futures_util::future::BoxFuture;
use parsec_protocol::control::{Problem, ProblemKind, Socket};

use super::client::Client;
use super::methods::{self, MethodSpec, Permission};
use crate::engine::command::Handle;
use crate::tokens::PLUGIN_METHODS;

/// Decides which caller may call which method.
pub trait Authorize: Send + Sync + 'static {
    /// Whether `client` may call `method` now. Counted as a use if so.
    ///
    /// # Errors
    /// Why not.
    fn admit<'a>(&'a self, client: &'a Client, method: &'a str) -> BoxFuture<'a, Result<(), Problem>>;

    /// Whether an open file may come with a request for `method`, on the user's own socket.
    fn takes_file(&self, method: &str) -> bool;
}

/// The authorizer of the daemon's own methods.
#[derive(Debug)]
pub struct Authorizer(pub Handle);

impl Authorize for Authorizer {
    fn admit<'a>(&'a self, client: &'a Client, method: &'a str) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            let Some(spec) = methods::spec(method) else {
                return Err(Problem::new(ProblemKind::UnknownMethod, "there is no such method"));
            };
            match (client.caller.socket, spec.permission) {
                // Every permission: the kernel said that it is the user. What signs needs a
                // confirmation, see `Needs`.
                (Socket::User, _) | (Socket::Plugin, Permission::Anyone) => Ok(()),
                (Socket::Plugin, _) => self.plugin(client, spec).await,
            }
        })
    }

    fn takes_file(&self, method: &str) -> bool {
        methods::spec(method).is_some_and(|spec| spec.file)
    }
}

impl Authorizer {
    async fn plugin(&self, client: &Client, spec: &MethodSpec) -> Result<(), Problem> {
        let Some(granted) = client.granted() else {
            let text = "A plug-in presents its token first, with `rpc.hello`.";
            return Err(Problem::new(ProblemKind::TokenInvalid, text));
        };
        // Twice: by the fixed list, whatever a token says, and by the token. Ending a subscription
        // is part of having it.
        if !(spec.permission == Permission::Watch
            && PLUGIN_METHODS.contains(&spec.name)
            && granted.allows(spec.name))
        {
            let kind = ProblemKind::AccessDenied;
            self.0.tokens().refused(&granted.id, spec.name, client.caller.pid, kind).await;
            return Err(Problem::new(kind, "This token does not allow this method."));
        }
        self.0.tokens().charge(&granted.id, spec.name, client.caller.pid).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plug_ins_can_be_given_what_is_watched_and_nothing_else() {
        for spec in methods::all() {
            let given = PLUGIN_METHODS.contains(&spec.name);
            assert_eq!(spec.permission == Permission::Watch, given, "{}", spec.name);
        }
    }
}
