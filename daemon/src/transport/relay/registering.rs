//! The calls that put something into the log outside an attempt, and the one that asks whether it
//! got there.
//!
//! Decides nothing: each is one try. All are idempotent, so callers try again with
//! [`super::super::retry::until_done`].

use parsec_protocol::ids::OrganisationId;
use parsec_protocol::relay::{
    Completed, DirectEnrolment, LogRepair, LogRepaired, NewCertificate, Standing, StandingQuestion, path,
};
use reqwest::Method;

use super::Member;
use crate::transport::TransportError;
use crate::transport::http::{Call, Server};

impl Member {
    /// Registers an enrolment whose ceremony ran without the server.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn enrol_direct(&self, enrolment: &DirectEnrolment) -> Result<Completed, TransportError> {
        self.ask(Call::new(Method::POST, path::enrolments(&self.organisation)).with(enrolment)).await
    }

    /// Puts a profile change or a revocation into the log.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn publish(&self, new: &NewCertificate) -> Result<Completed, TransportError> {
        self.ask(Call::new(Method::POST, path::certificates(&self.organisation)).with(new)).await
    }

    /// Puts back what the server's log lost.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn repair(&self, repair: &LogRepair) -> Result<LogRepaired, TransportError> {
        self.ask(Call::new(Method::POST, path::log_repair(&self.organisation)).with(repair)).await
    }
}

/// What became of an enrolment that ran without the server, by the server's word. Takes no
/// identity: the asking device is not known there yet.
///
/// # Errors
/// [`TransportError`].
pub async fn standing(
    server: &Server,
    organisation: &OrganisationId,
    question: &StandingQuestion,
) -> Result<Standing, TransportError> {
    server.ask(Call::new(Method::POST, path::standing(organisation)).with(question)).await
}
