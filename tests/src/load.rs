//! Many people in one process: their machines, drivers and transport are the shipped ones, against
//! one real server.
//!
//! Decides that people take no time. Refuses no load: how many there are at once is for the caller
//! to say.

use std::path::PathBuf;
use std::sync::Arc;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{
    CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyId, CeremonyIdentify, CeremonyView, ChoiceMode,
    Problem, ProblemKind, Role, SecretText, Stage,
};
use parsec_protocol::enrol::io::{
    HeldShare, NewDevice, Prologue, ReceivedShare, SealedEnrolment, TransportKind,
};
use parsec_protocol::ids::{AttemptId, DeviceId, Invited, OrganisationId, Token, UserId};
use parsec_protocol::keys::{DirectoryKey, LinkSecret, random};
use parsec_protocol::lab::{EMAIL, LABEL, NAME, Organisation};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::public_keys::{Context, Signature};
use parsec_protocol::relay::{BootstrapRequest, Completion, NewInvitation};
use parsecd::enrolment::claimer::{self, SaveKeys};
use parsecd::enrolment::greeter::{self, Greeted, Handed, Issuer};
use parsecd::enrolment::view::ViewPublisher;
use parsecd::enrolment::{Act, CeremonyContext, End, Request};
use parsecd::os::caller::CallerSession;
use parsecd::os::clock;
use parsecd::os::entropy::System;
use parsecd::recovery::Progress;
use parsecd::store::{DeviceKeys, Devices, OpenDevice, PendingReceipt, WorkFactor};
use parsecd::transport::http::{Client, Server};
use parsecd::transport::relay::{ClaimerTransport, GreeterTransport, Invitee, Member, Signer, bootstrap};
use parsecd::transport::retry::until_done;
use parsecd::transport::{Transport, Trouble};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::device::private_folder;
use crate::fixture::BOB_PASSWORD;
use crate::own_devices::log_of;

/// A founder whose device is a task of this process: its keys, its server, its log.
#[derive(Debug)]
pub struct Alice {
    organisation: OrganisationId,
    user: UserId,
    device: DeviceId,
    keys: DeviceKeys,
    server: Server,
    log: Mutex<Arc<VerifiedLog>>,
}

/// Signs for Alice's device with the key it shares with nobody else in the process.
#[derive(Debug)]
struct Signs(Arc<Alice>);

impl Signer for Signs {
    fn device(&self) -> DeviceId {
        self.0.device
    }

    fn sign_request(&self, message: &[u8]) -> Signature {
        self.0.keys.signing_key.sign(Context::Request, message)
    }
}

/// Alice for one ceremony.
struct Vouches(Arc<Alice>, Member);

impl Alice {
    /// Her log, as new as the server has it, every certificate verified.
    ///
    /// # Errors
    /// The server's, and the log's.
    pub async fn newest(self: &Arc<Self>) -> Result<Arc<VerifiedLog>, Problem> {
        Vouches(Arc::clone(self), self.member()).fresh_log().await
    }

    /// The server, as her device.
    #[must_use]
    pub fn member(self: &Arc<Self>) -> Member {
        Member::new(
            self.server.clone(),
            self.organisation.clone(),
            Arc::new(Signs(Arc::clone(self))),
            TaskTracker::new(),
        )
    }
}

/// What the server has acknowledged: an invitation, an attempt of it that the greeter has joined,
/// and message 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Begun {
    /// Which invitation.
    pub token: Token,
    /// Which attempt.
    pub attempt: AttemptId,
}

/// Begins a ceremony up to message 0, each call as often as it takes: the server may be killed at
/// any moment.
///
/// # Errors
/// The server refused; that it was away is none.
///
/// # Panics
/// If there is no randomness.
pub async fn begun(alice: Arc<Alice>, number: usize) -> Result<Begun, String> {
    let entropy = &mut System;
    let token = Token::from_bytes(random(entropy).map_err(|e| e.to_string())?);
    let attempt = AttemptId::from_bytes(random(entropy).map_err(|e| e.to_string())?);
    let secret: [u8; 32] = random(entropy).map_err(|e| e.to_string())?;
    let (member, trouble) = (alice.member(), Trouble::new(None));
    let invited = Invited::User(format!("dave{number}@acme.example").parse().unwrap());
    let expires = clock::now().plus_seconds(86_400);
    let new = NewInvitation { token, invited, expires, mail_link: None };
    until_done(&trouble, || member.invite(&new)).await.map_err(|e| format!("invite: {e}"))?;
    let invitee = Invitee { server: alice.server.clone(), organisation: alice.organisation.clone(), token };
    let claimer = ClaimerTransport::new(invitee, attempt, Zeroizing::new(secret));
    until_done(&trouble, || claimer.start()).await.map_err(|e| format!("start: {e}"))?;
    until_done(&trouble, || member.join(token, attempt)).await.map_err(|e| format!("join: {e}"))?;
    claimer.deposit(0, vec![7; 48]).await.map_err(|e| format!("deposit: {e}"))?;
    Ok(Begun { token, attempt })
}

/// A newcomer who has begun, with a greeter who has joined: both wait for the other's word with an
/// open event stream.
///
/// # Errors
/// In words.
///
/// # Panics
/// If there is no randomness.
pub async fn waiting(alice: Arc<Alice>, number: usize, began: mpsc::Sender<()>) -> Result<(), String> {
    let entropy = &mut System;
    let token = Token::from_bytes(random(entropy).map_err(|e| e.to_string())?);
    let attempt = AttemptId::from_bytes(random(entropy).map_err(|e| e.to_string())?);
    let secret: [u8; 32] = random(entropy).map_err(|e| e.to_string())?;
    let member = alice.member();
    let invited = Invited::User(format!("carol{number}@acme.example").parse().unwrap());
    let expires = clock::now().plus_seconds(86_400);
    let new = NewInvitation { token, invited, expires, mail_link: None };
    member.invite(&new).await.map_err(|e| format!("invite: {e}"))?;
    let invitee = Invitee { server: alice.server.clone(), organisation: alice.organisation.clone(), token };
    let claimer = ClaimerTransport::new(invitee, attempt, Zeroizing::new(secret));
    claimer.start().await.map_err(|e| format!("start: {e}"))?;
    member.join(token, attempt).await.map_err(|e| format!("join: {e}"))?;
    let greeter = GreeterTransport::new(member, token, attempt);
    let (tell_claimer, mut claimer_sees) = watch::channel(None);
    let (tell_greeter, mut greeter_sees) = watch::channel(None);
    let both = async {
        let seen = claimer_sees.changed().await.is_ok() && greeter_sees.changed().await.is_ok();
        if seen {
            let _ = began.send(()).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        error = claimer.follow(tell_claimer) => Err(format!("claimer: {error}")),
        error = greeter.follow(tell_greeter) => Err(format!("greeter: {error}")),
        () = both => Ok(()),
    }
}

impl Issuer for Vouches {
    fn keys(&self) -> &DeviceKeys {
        &self.0.keys
    }

    fn directory(&self) -> Arc<DirectoryKeys> {
        let first = DirectoryKey::from_bytes(&mut { *self.0.keys.directory_key.expose() });
        Arc::new(DirectoryKeys::first(first))
    }

    async fn fresh_log(&self) -> Result<Arc<VerifiedLog>, Problem> {
        let mut log = self.0.log.lock().await;
        loop {
            let page = self.1.log_page(log.count(), self.1.seen(&log)).await.unwrap();
            if page.certificates.is_empty() {
                return Ok(Arc::clone(&log));
            }
            *log =
                Arc::new(log.extended(page.certificates.iter().map(|envelope| envelope.as_slice())).unwrap());
            // As the shipped client, which believes the length that came with the last page.
            if log.count() == page.count {
                return Ok(Arc::clone(&log));
            }
        }
    }

    async fn handed(&self, _: Arc<VerifiedLog>) -> Result<(Arc<VerifiedLog>, Handed), Problem> {
        unreachable!("new users alone are greeted here")
    }

    async fn share(&self, _: Arc<VerifiedLog>, _: UserId, _: DeviceId) -> Result<HeldShare, Problem> {
        unreachable!("new users alone are greeted here")
    }

    async fn attempts(&self) -> Result<u64, Problem> {
        Ok(1)
    }

    async fn persist(&self, _: &SealedEnrolment) -> Result<(), Problem> {
        Ok(())
    }
}

/// Bob's disk.
struct Keeps {
    /// None: he has none, so that what is measured is the server and the machines.
    folder: Option<PathBuf>,
    server: String,
    token: Token,
    attempt: AttemptId,
    attempt_secret: [u8; 32],
}

impl SaveKeys for Keeps {
    async fn keep_share(&self, _: Arc<ReceivedShare>, _: SecretText) -> Result<Progress, Problem> {
        unreachable!("new users alone are greeted here")
    }

    async fn keep(
        &self,
        new: Arc<NewDevice>,
        password: SecretText,
        _: Option<CallerSession>,
    ) -> Result<(), Problem> {
        let pending = PendingReceipt {
            organisation: new.organisation.clone(),
            server: self.server.clone(),
            attempt: self.attempt,
            attempt_secret: Zeroizing::new(self.attempt_secret),
            token: self.token,
            message: codec::encode(&new.receipt),
            direct: None,
        };
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let server = self.server.clone();
        tokio::task::spawn_blocking(move || {
            private_folder(&folder);
            let devices = Devices::open_with(&folder, WorkFactor::for_tests()).unwrap();
            devices.create(&new, &server, Some(&pending), &password).unwrap();
        })
        .await
        .unwrap();
        Ok(())
    }
}

/// Founds an organisation that was reserved.
///
/// # Panics
/// If the server refuses.
pub async fn alice(base: &str, bootstrap_token: &str, organisation: &OrganisationId) -> Arc<Alice> {
    let Organisation {
        log,
        envelopes,
        root,
        user,
        device,
        keys: named,
        signing_key,
        directory_keys,
        user_seed,
        device_seed,
        ..
    } = Organisation::found(organisation, clock::now(), &mut System).unwrap();
    let server = Server::new(Client::new(None).unwrap(), base).unwrap();
    let request = BootstrapRequest {
        root,
        certificates: envelopes.into_iter().map(ByteVec::from).collect(),
        keys: named,
    };
    bootstrap(&server, organisation, bootstrap_token, &request).await.unwrap();
    Arc::new(Alice {
        organisation: organisation.clone(),
        user,
        device,
        keys: DeviceKeys {
            user_seed: Arc::new(user_seed),
            device_seed,
            signing_key,
            directory_key: directory_keys.copy_of_first(),
            root,
            email: EMAIL.parse().unwrap(),
            name: NAME.parse().unwrap(),
            device_label: LABEL.parse().unwrap(),
            profile: Profile::Administrator,
            typed_codes: false,
            server: base.to_owned(),
            head: Head::empty(organisation, &root),
        },
        server,
        log: Mutex::new(Arc::new(log)),
    })
}

/// Somebody whose device is not running, as a task of this process from here on: her folder was
/// opened with her password.
///
/// # Panics
/// If the server's address in it is none.
#[must_use]
pub fn taken_over(open: OpenDevice) -> Arc<Alice> {
    let log = log_of(&open);
    let OpenDevice { summary, keys, .. } = open;
    let server = Server::new(Client::new(None).unwrap(), &summary.server).unwrap();
    Arc::new(Alice {
        organisation: summary.organisation,
        user: summary.user,
        device: summary.device,
        keys,
        server,
        log: Mutex::new(Arc::new(log)),
    })
}

/// A context, and a person at it: looks at the screen, says codes, gives those that are heard.
fn participant(
    role: Role,
    organisation: &OrganisationId,
    said: watch::Sender<Option<String>>,
    heard: watch::Receiver<Option<String>>,
) -> (CeremonyContext, tokio::task::JoinHandle<()>) {
    let publisher = ViewPublisher::new(CeremonyId(1), role, organisation.clone(), None);
    let mut screen = publisher.watch();
    let (ask, requests) = mpsc::channel(1);
    let person = tokio::spawn(async move {
        loop {
            let view = screen.borrow_and_update().clone();
            if view.outcome.is_some() {
                return;
            }
            if let Some(code) = &view.say {
                said.send_replace(Some(code.code.clone()));
            }
            if let Some(act) = answer(&view, &mut heard.clone()).await {
                let (reply, answered) = oneshot::channel();
                if ask.send(Request { act, reply, by: None }).await.is_err() {
                    return;
                }
                match answered.await {
                    Ok(Err(problem)) if problem.name != ProblemKind::NotNow => panic!("{problem:?}"),
                    _ => {}
                }
            }
            if screen.changed().await.is_err() {
                return;
            }
        }
    });
    (CeremonyContext::new(publisher, requests, CancellationToken::new(), ProblemKind::ShuttingDown), person)
}

async fn answer(view: &CeremonyView, heard: &mut watch::Receiver<Option<String>>) -> Option<Act> {
    let ceremony = view.id;
    match view.stage {
        Stage::ChooseCode if view.choices.len() == 4 => {
            let code = heard.wait_for(Option::is_some).await.ok()?.clone();
            Some(Act::Choose(CeremonyChoose { ceremony, code, mode: ChoiceMode::Picked }))
        }
        Stage::Identify => Some(Act::Identify(CeremonyIdentify {
            ceremony,
            name: Some("Bob".parse().ok()?),
            device_label: "laptop".parse().ok()?,
        })),
        Stage::Approve if view.claimer.is_some() => Some(Act::Approve(CeremonyApprove {
            ceremony,
            claimer_confirmed: true,
            name: None,
            device_label: None,
            profile: None,
        })),
        Stage::SetPassword => {
            let password = SecretText::new(Zeroizing::new(BOB_PASSWORD.to_owned()));
            Some(Act::Finish(CeremonyFinish { ceremony, password }))
        }
        _ => None,
    }
}

/// One whole enrolment of the newcomer of a number; `folder` is where their keys and store go, if
/// they go anywhere.
///
/// # Errors
/// In words, where it ended.
///
/// # Panics
/// If the server does what none should.
pub async fn ceremony(alice: Arc<Alice>, number: usize, folder: Option<PathBuf>) -> Result<(), String> {
    let entropy = &mut System;
    let token = Token::from_bytes(random(entropy).map_err(|e| e.to_string())?);
    let attempt = AttemptId::from_bytes(random(entropy).map_err(|e| e.to_string())?);
    let attempt_secret: [u8; 32] = random(entropy).map_err(|e| e.to_string())?;
    let mut secret: [u8; 32] = random(entropy).map_err(|e| e.to_string())?;
    let mut same = secret;
    let invited = Invited::User(format!("bob{number}@acme.example").parse().unwrap());
    let member = alice.member();
    let expires = clock::now().plus_seconds(86_400);
    let new = NewInvitation { token, invited: invited.clone(), expires, mail_link: None };
    member.invite(&new).await.map_err(|e| format!("invite: {e}"))?;

    let invitee = Invitee { server: alice.server.clone(), organisation: alice.organisation.clone(), token };
    let claimer_transport = ClaimerTransport::new(invitee, attempt, Zeroizing::new(attempt_secret));
    claimer_transport.start().await.map_err(|e| format!("start: {e}"))?;
    member.join(token, attempt).await.map_err(|e| format!("join: {e}"))?;
    let greeter_transport = GreeterTransport::new(member.clone(), token, attempt);

    let (claimer_says, greeter_hears) = watch::channel(None);
    let (greeter_says, claimer_hears) = watch::channel(None);
    let (mut claimer_context, bob) =
        participant(Role::Claimer, &alice.organisation, claimer_says, claimer_hears);
    let (mut greeter_context, vouching) =
        participant(Role::Greeter, &alice.organisation, greeter_says, greeter_hears);
    let saver = Keeps { folder, server: alice.keys.server.clone(), token, attempt, attempt_secret };
    let invitation = claimer::Invitation {
        organisation: alice.organisation.clone(),
        token,
        invited: invited.clone(),
        link_secret: LinkSecret::from_bytes(&mut secret),
        transport: TransportKind::Relay,
        registration_wait: std::time::Duration::from_secs(30),
    };
    let prologue = Prologue {
        organisation: alice.organisation.clone(),
        token,
        invited,
        greeter_user: alice.user,
        greeter_device: alice.device,
        transport: TransportKind::Relay,
    };
    let link_secret = LinkSecret::from_bytes(&mut same);
    let voucher = Vouches(Arc::clone(&alice), member);
    let greets = async {
        let sealed =
            greeter::run(&mut greeter_context, &greeter_transport, prologue, &link_secret, &voucher).await?;
        if let Greeted::Signed(sealed) = sealed {
            publish(&greeter_transport, &sealed).await;
        }
        Ok::<_, End>(())
    };
    let claims = claimer::run(&mut claimer_context, &claimer_transport, &invitation, &saver);
    let (claimed, greeted) = tokio::join!(claims, greets);
    bob.abort();
    vouching.abort();
    claimed.map_err(|end| format!("claimer: {end:?}"))?;
    greeted.map_err(|end| format!("greeter: {end:?}"))
}

/// What the outbox does: waits for message 8, checks it against the record, hands everything to the
/// server.
async fn publish(transport: &GreeterTransport, sealed: &SealedEnrolment) {
    let (tell, mut seen) = watch::channel(None);
    let arrived = async {
        while seen.changed().await.is_ok() {
            let there = seen
                .borrow_and_update()
                .as_ref()
                .is_some_and(|view: &parsec_protocol::relay::AttemptView| view.steps >> 8 & 1 == 1);
            if there {
                return;
            }
        }
    };
    tokio::select! {
        error = transport.follow(tell) => panic!("following: {error}"),
        () = arrived => {}
    }
    let message = transport.fetch(8).await.unwrap();
    let publication = sealed.open_receipt(&message).unwrap();
    let completion = Completion {
        certificates: publication.certificates.into_iter().map(ByteVec::from).collect(),
        receipt: publication.receipt,
        keys: publication.keys,
    };
    transport.complete(&completion).await.unwrap();
}
