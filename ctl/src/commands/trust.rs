//! `trust verify|show`: the log, and a member's chain up to the root key.
//!
//! Decides how a chain is drawn. Refuses to call anything verified that the daemon has not.

use parsec_protocol::control::{TrustLink, TrustShow, TrustShowResult, TrustVerifyResult, method};

use super::Context;
use crate::args::Trust;
use crate::failure::Failure;
use crate::schema;
use crate::text::{grouped, moment, shown};

pub(super) fn run(context: &Context<'_>, command: &Trust) -> Result<(), Failure> {
    match command {
        Trust::Verify => verify(context),
        Trust::Show { user } => show(context, user.clone()),
    }
}

fn verify(context: &Context<'_>) -> Result<(), Failure> {
    context.output.say("Fetching the whole log anew and checking every certificate...");
    let result: TrustVerifyResult = context.call(method::TRUST_VERIFY, &context.global.select())?;
    context.output.result(schema::TRUST_VERIFY, &result, || {
        format!(
            "The log is sound: {} certificates, every one checked up to the root key.\n\
             Members:   {} with {} terminals\n\
             Root key:  {}\n\
             Log head:  {}",
            result.count,
            result.users,
            result.devices,
            grouped(&result.root_fingerprint),
            grouped(&result.head)
        )
    })
}

fn show(context: &Context<'_>, user: Option<String>) -> Result<(), Failure> {
    let asked = TrustShow { select: context.global.select(), user };
    let result: TrustShowResult = context.call(method::TRUST_SHOW, &asked)?;
    context
        .output
        .result(schema::TRUST_SHOW, &result, || chain(&result.chain, &result.root_fingerprint).join("\n"))
}

/// The chain from the user down to the root, each link naming its signer, which is the next one's subject.
pub(super) fn chain(links: &[TrustLink], root_fingerprint: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for link in links {
        lines.push(format!("{}: {}", shown(&link.kind), shown(&link.subject)));
        lines.push(format!("  key        {}", grouped(&link.key)));
        lines.push(format!("  certified  {}, certificate {} of the log", moment(link.time), link.position));
        lines.push(format!(
            "  signed by  {}\n  its key    {}",
            shown(&link.signed_by),
            grouped(&link.signer_key)
        ));
        lines.push("    |".to_owned());
    }
    lines.push(format!("root key, where every chain ends\n  SHA-256    {}", grouped(root_fingerprint)));
    lines
}
