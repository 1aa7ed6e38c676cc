//! `rpc.hello`: which daemon this is, what may be called here, and a plug-in's token.
//!
//! Decides whether program and daemon understand each other. Refuses another major version, a token
//! at the user's own socket (whoever gives one there has mistaken it for the other), and a second
//! token on one connection.

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use parsec_protocol::control::{
    API_OLDEST, API_VERSION, Hello, HelloResult, MethodView, Problem, ProblemKind, Socket, method,
};

use super::client::Client;
use super::errors::object;
use super::methods::{self, MethodSpec, Permission, client, raw, read};
use crate::engine::command::Handle;
use crate::tokens::PLUGIN_METHODS;

/// Longest name of a program that is logged.
const CLIENT_MAX_CHARACTERS: usize = 64;

/// Registers the method.
pub(super) fn register(
    module: &mut RpcModule<Handle>,
    spec: &'static MethodSpec,
) -> Result<(), RegisterMethodError> {
    module
        .register_async_method(spec.name, move |params, handle, extensions| async move {
            let client = client(&extensions)?;
            let said = hello(&client, &handle, read(&params)?).await;
            said.map_err(|problem| object(&problem)).and_then(|result| raw(&result))
        })
        .map(|_| ())
}

/// Answers `rpc.hello`.
pub(super) async fn hello(client: &Client, handle: &Handle, request: Hello) -> Result<HelloResult, Problem> {
    if let Some(api) = &request.api {
        understood(api)?;
    }
    if let Some(name) = &request.client {
        // For whoever looks for a culprit; escaped, since anything may be in it.
        let name: String = name.chars().take(CLIENT_MAX_CHARACTERS).collect();
        tracing::debug!(client = ?name, pid = client.caller.pid, "a program says hello");
    }
    if let Some(secret) = &request.token {
        if client.caller.socket == Socket::User {
            let text = "Tokens are for the plug-in socket; this one asks for none.";
            return Err(Problem::new(ProblemKind::InvalidRequest, text));
        }
        let granted = handle.tokens().present(secret, client.caller.pid).await?;
        if !client.grant(granted) {
            let text = "A connection presents one token, once.";
            return Err(Problem::new(ProblemKind::InvalidRequest, text));
        }
    }
    let granted = client.granted();
    let may_call = |name: &str, permission: Permission| match client.caller.socket {
        Socket::User => true,
        Socket::Plugin if permission == Permission::Anyone => true,
        Socket::Plugin => {
            PLUGIN_METHODS.contains(&name) && granted.is_some_and(|granted| granted.allows(name))
        }
    };
    let callable = methods::all().iter().filter(|spec| may_call(spec.name, spec.permission));
    Ok(HelloResult {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api_version: API_VERSION.to_owned(),
        api_oldest: API_OLDEST.to_owned(),
        socket: client.caller.socket,
        token: granted.map(|granted| granted.id.clone()),
        methods: callable
            .map(|spec| MethodView {
                name: spec.name.to_owned(),
                permission: spec.permission.name().to_owned(),
                deprecated: method::deprecation(spec.name),
            })
            .collect(),
    })
}

/// Whether a program written for this version finds here what it knows.
fn understood(api: &str) -> Result<(), Problem> {
    let number = |part: &str| -> Option<u32> {
        let plain = !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        if plain { part.parse().ok() } else { None }
    };
    let asked = api.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    let Some((major, _)) = asked else {
        return Err(Problem::new(ProblemKind::InvalidRequest, "`api` is two numbers: MAJOR.MINOR."));
    };
    // A newer minor is welcome: it finds out by `methods` what is missing here.
    if API_VERSION.split_once('.').and_then(|(ours, _)| number(ours)) == Some(major) {
        Ok(())
    } else {
        let text = format!("This daemon speaks {API_VERSION}, and the program another generation.");
        Err(Problem::new(ProblemKind::ApiMismatch, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_major_is_refused_and_nonsense_too() {
        for api in ["2.0", "2.1", "2.9999", API_VERSION, API_OLDEST] {
            understood(api).unwrap();
        }
        for api in ["0.1", "1.3", "3.0", "12.1"] {
            assert_eq!(understood(api).unwrap_err().name, ProblemKind::ApiMismatch, "{api}");
        }
        for api in ["", "1", "1.", ".1", "1.1.1", "+1.0", "1.x", "1.99999", " 1.1", "１.1"] {
            assert_eq!(understood(api).unwrap_err().name, ProblemKind::InvalidRequest, "{api}");
        }
    }
}
