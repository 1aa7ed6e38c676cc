//! Shows what becomes of what was signed.
//!
//! Decides until when the person may stop: until the newcomer's keys are durable, which the relay
//! alone can say.

use std::sync::Arc;

use parsec_protocol::control::{Action, Problem, ProblemKind, Stage};
use parsec_protocol::relay::EndReason;

use super::pending::PendingEnrolment;
use super::{CeremonyContext, End, not_now, outbox};
use crate::session::Session;
use crate::session::progress::Progress;
use crate::transport::Transport;
use crate::transport::retry::ANSWER_WAIT;

/// Why it isn't known whether the server has heard.
enum Unheard {
    Locked,
    NoAnswer,
}

/// Shows what becomes of what was signed. The person may stop until the newcomer's keys are
/// durable.
pub(super) async fn follow<R: Transport>(
    mut context: CeremonyContext,
    session: &Arc<Session>,
    transport: &R,
    enrolment: PendingEnrolment,
) {
    let (user, device, root) = (enrolment.sealed.user, enrolment.sealed.device, enrolment.sealed.root);
    context.shown.stage(Stage::WaitingForPassword, &[Action::Cancel]);
    let mut progress = outbox::finish(session, enrolment);
    loop {
        let now = progress.borrow_and_update().clone();
        match now {
            Progress::Waiting => {}
            Progress::Registering => {
                context.may_cancel = false;
                context.shown.stage(Stage::Registering, &[]);
            }
            // Durable on both sides; what is left waits for a server, and not for a person.
            Progress::Kept => return context.shown.done(user, device, &root, false),
            Progress::Published => return context.shown.done(user, device, &root, true),
            Progress::Void(reason) => return End::Peer(reason).show(&context.shown),
            Progress::Failed(problem) => return context.shown.closed(problem),
        }
        let end = tokio::select! {
            changed = progress.changed() => match changed {
                Ok(()) => continue,
                // The outbox's task is gone: the device was locked.
                Err(_) => match context.request().await {
                    Ok(request) => { let _ = request.reply.send(Err(not_now())); continue }
                    Err(end) => end,
                },
            },
            request = context.request() => match request {
                Ok(request) => { let _ = request.reply.send(Err(not_now())); continue }
                Err(end) => end,
            },
        };
        match end {
            // Only the relay can say whether it is still time: once the receipt is there, it is
            // not.
            End::Person(reply) => {
                let told = tokio::select! {
                    biased;
                    // Locking waits for nobody's server: the keys are to leave the memory.
                    () = session.stop.cancelled() => Err(Unheard::Locked),
                    told = tokio::time::timeout(ANSWER_WAIT, transport.cancel(EndReason::Cancelled)) => {
                        told.map_err(|_| Unheard::NoAnswer)
                    }
                };
                match told {
                    Ok(Ok(())) => {
                        End::Person(reply).show(&context.shown);
                        return;
                    }
                    Ok(Err(error)) => {
                        let _ = reply.send(Err(error.into()));
                    }
                    Err(Unheard::NoAnswer) => {
                        let text = "The server did not confirm that the enrolment is cancelled; it goes on.";
                        let _ = reply.send(Err(Problem::new(ProblemKind::ServerUnreachable, text)));
                    }
                    Err(Unheard::Locked) => {
                        let text = "The device was locked before the server had heard.";
                        let _ = reply.send(Err(Problem::new(ProblemKind::DeviceLocked, text)));
                    }
                }
            }
            // Locking or stopping does not take the signature back: the row goes on after the next
            // unlocking.
            end @ (End::Stopped(_) | End::Machine(_) | End::Peer(_) | End::Transport(_) | End::Here(_)) => {
                return end.show(&context.shown);
            }
        }
    }
}
