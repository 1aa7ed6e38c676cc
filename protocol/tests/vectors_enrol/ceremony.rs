//! Plays a whole ceremony from what a file gives, both sides, with the random bytes of the file.

use std::collections::VecDeque;

use parsec_protocol::chain::organisation::certificate::{ManifestMark, Profile};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::enrol::claimer::Claimer;
use parsec_protocol::enrol::greeter::Greeter;
use parsec_protocol::enrol::io::{
    Approval, ClaimerInput, ClaimerOutput, CodeAnswer, GreeterInput, GreeterOutput, Prologue,
};
use parsec_protocol::enrol::sas::SasCode;
use parsec_protocol::ids::{Invited, Timestamp};
use parsec_protocol::keys::{DeviceSigningKey, DirectoryKey, Entropy, LinkSecret, NoEntropy, UserSeed};
use parsec_protocol::name_keys::{DirectoryKeys, NameKeys as _};
use serde_json::{Value, json};

use crate::check::{Judgement, bytes, hex, parsed, prologue, unhex};

/// The file's draws, in order; a draw of another length than the file has is an error.
struct Replay(VecDeque<Vec<u8>>);

impl Replay {
    fn of(draws: &Value) -> Self {
        Self(draws.as_array().unwrap().iter().map(unhex).collect())
    }
}

impl Entropy for Replay {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        let draw = self.0.pop_front().filter(|draw| draw.len() == bytes.len()).ok_or(NoEntropy)?;
        bytes.copy_from_slice(&draw);
        Ok(())
    }
}

/// Draws from a generator and remembers.
pub(crate) struct Recorder<'a> {
    pub(crate) source: &'a mut dyn Entropy,
    pub(crate) draws: Vec<String>,
}

impl Entropy for Recorder<'_> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        self.source.fill(bytes)?;
        self.draws.push(hex(bytes));
        Ok(())
    }
}

fn link_secret(given: &Value) -> LinkSecret {
    LinkSecret::from_bytes(&mut bytes(given, "link secret"))
}

fn refused(by: &str, why: impl std::fmt::Debug) -> Value {
    json!({"by": by, "why": format!("{why:?}")})
}

/// What one side makes of the first message it gets, 0 or 1.
pub(crate) fn first_message(given: &Value) -> Judgement {
    let prologue = prologue(&given["prologue"]);
    let draws = &mut Replay::of(&given["draws"]);
    let message = unhex(&given["message"]);
    let now = Timestamp(0);
    let secret = link_secret(given);
    if given["by"] == "claimer" {
        let (mut claimer, _) = Claimer::start(prologue, &secret, now, draws).unwrap();
        let outputs = claimer.step(ClaimerInput::Message { step: 1, bytes: message }, now, draws).unwrap();
        match &outputs[0] {
            ClaimerOutput::Closed(why) => Err(refused("claimer", why)),
            ClaimerOutput::Send { bytes, .. } => Ok(json!({"next message": hex(bytes)})),
            other => panic!("{other:?}"),
        }
    } else {
        let root = parsed(given, "root verify key");
        let (mut greeter, _) = Greeter::start(prologue, &secret, root, false, now, draws).unwrap();
        let outputs = greeter.step(GreeterInput::Message { step: 0, bytes: message }, now, draws).unwrap();
        match &outputs[0] {
            GreeterOutput::Closed(why) => Err(refused("greeter", why)),
            GreeterOutput::Send { bytes, .. } => Ok(json!({"next message": hex(bytes)})),
            other => panic!("{other:?}"),
        }
    }
}

/// What has come out so far.
#[derive(Default)]
struct Course {
    messages: Vec<(u8, Vec<u8>)>,
    claimers_code: Option<SasCode>,
    greeters_code: Option<SasCode>,
    kept: Value,
    handshake: Value,
    opened: Value,
    keys: Vec<String>,
    refuse: Option<Value>,
    published: bool,
}

/// Plays with the draws of the file.
pub(crate) fn run(given: &Value) -> Judgement {
    let claimers = &mut Replay::of(&given["claimer's draws"]);
    let greeters = &mut Replay::of(&given["greeter's draws"]);
    play(given, claimers, greeters)
}

/// Plays: each side is given whatever it waits for, until one closes or the certificates are
/// published.
pub(crate) fn play(given: &Value, claimers: &mut dyn Entropy, greeters: &mut dyn Entropy) -> Judgement {
    let prologue = prologue(&given["prologue"]);
    let now = Timestamp(given["time"].as_u64().unwrap());
    let envelopes: Vec<Vec<u8>> = given["log"].as_array().unwrap().iter().map(unhex).collect();
    let root = parsed(given, "root verify key");
    let log = VerifiedLog::empty(prologue.organisation.clone(), root)
        .extended(envelopes.iter().map(Vec::as_slice))
        .unwrap();
    let keys = &given["greeter's keys"];
    let (signing_key, directory_keys, user_seed) = (
        DeviceSigningKey::from_bytes(&mut bytes(keys, "device signing key")),
        DirectoryKeys::first(DirectoryKey::from_bytes(&mut bytes(keys, "directory key"))),
        UserSeed::from_bytes(&mut bytes(keys, "user's seed")),
    );
    let mark = &given["manifest"];
    let manifest = mark
        .is_object()
        .then(|| ManifestMark { version: mark["version"].as_u64().unwrap(), hash: parsed(mark, "hash") });
    let approval = || Approval {
        claimer_confirmed: true,
        name: None,
        device_label: None,
        profile: Profile::Standard,
        signing_key: &signing_key,
        directory_keys: &directory_keys,
        user_seed: &user_seed,
        manifest,
        log: &log,
        attempts: 1,
        share: None,
    };

    let mut course = Course::default();
    let secret = link_secret(given);
    let typing = given["typing required"].as_bool().unwrap();
    let (mut claimer, first) = Claimer::start(prologue.clone(), &secret, now, claimers).unwrap();
    let (mut greeter, _) = Greeter::start(prologue.clone(), &secret, root, typing, now, greeters).unwrap();
    let mut to_claimer: VecDeque<ClaimerInput> = VecDeque::new();
    let mut to_greeter: VecDeque<GreeterInput<'_>> = VecDeque::new();
    let mut from_claimer = first;
    loop {
        for output in from_claimer.drain(..) {
            match output {
                ClaimerOutput::Send { step, bytes } => {
                    let bytes = course.deliver(given, step, bytes);
                    to_greeter.push_back(GreeterInput::Message { step, bytes });
                }
                ClaimerOutput::Show(code) => course.claimers_code = Some(code),
                ClaimerOutput::AskCode(_) => {
                    to_claimer
                        .push_back(ClaimerInput::Code(CodeAnswer::Typed(course.greeters_code.unwrap())));
                }
                ClaimerOutput::AskIdentity => to_claimer.push_back(identity(given, &prologue)),
                ClaimerOutput::NeedLog { .. } => to_claimer.push_back(ClaimerInput::Log(envelopes.clone())),
                ClaimerOutput::Keep(device) => {
                    course.kept = json!({
                        "user id": device.user.to_string(),
                        "device id": device.device.to_string(),
                        "device signing key": hex(device.signing_key.expose()),
                        "user's seed": hex(device.user_seed.expose()),
                        "device's seed": hex(device.device_seed.expose()),
                        "directory key": hex(device.directory_keys.sealing().1.expose()),
                        "manifest": device.manifest.map(|mark| json!({"version": mark.version, "hash": mark.hash})),
                        "certificates": device.certificates.iter().map(|one| hex(one)).collect::<Vec<_>>(),
                    });
                    to_claimer.push_back(ClaimerInput::Saved);
                }
                ClaimerOutput::Closed(why) => course.refuse = Some(refused("claimer", why)),
                ClaimerOutput::KeepShare(_) => panic!("no vector asks for a share"),
                ClaimerOutput::WakeAt(_) | ClaimerOutput::Done => {}
            }
        }
        let outputs = match to_greeter.pop_front() {
            Some(input) => greeter.step(input, now, greeters).unwrap(),
            None => Vec::new(),
        };
        for output in outputs {
            match output {
                GreeterOutput::Send { step, bytes } => {
                    let bytes = course.deliver(given, step, bytes);
                    to_claimer.push_back(ClaimerInput::Message { step, bytes });
                }
                GreeterOutput::AskCode(_) => {
                    to_greeter
                        .push_back(GreeterInput::Code(CodeAnswer::Typed(course.claimers_code.unwrap())));
                }
                GreeterOutput::Show(code) => course.greeters_code = Some(code),
                GreeterOutput::AskApproval(_) => to_greeter.push_back(GreeterInput::Approve(approval())),
                GreeterOutput::Persist(record) => {
                    course.handshake = json!(record.handshake.to_string());
                    course.opened = json!(record.opened.to_string());
                    course.keys = record.keys.iter().map(|key| key.hash().to_string()).collect();
                }
                GreeterOutput::Publish(_) => course.published = true,
                GreeterOutput::Closed(why) => course.refuse = Some(refused("greeter", why)),
                GreeterOutput::Given(_) => panic!("no vector gives a share"),
                GreeterOutput::WakeAt(_) => {}
            }
        }
        if let Some(refuse) = course.refuse {
            return Err(refuse);
        }
        if course.published {
            return Ok(json!({
                "messages": course.messages.iter().map(|(_, bytes)| hex(bytes)).collect::<Vec<_>>(),
                "h": course.handshake,
                "opened": course.opened,
                "key hashes": course.keys,
                "claimer's code": course.claimers_code.unwrap().to_string(),
                "greeter's code": course.greeters_code.unwrap().to_string(),
                "kept": course.kept,
            }));
        }
        from_claimer = match to_claimer.pop_front() {
            Some(input) => claimer.step(input, now, claimers).unwrap(),
            None => Vec::new(),
        };
        assert!(
            !from_claimer.is_empty() || !to_greeter.is_empty() || !to_claimer.is_empty(),
            "the ceremony stands still"
        );
    }
}

impl Course {
    /// Notes a message as it was sent; delivers what the file puts in its place.
    fn deliver(&mut self, given: &Value, step: u8, bytes: Vec<u8>) -> Vec<u8> {
        self.messages.push((step, bytes.clone()));
        let replaced = &given["replaced"];
        if replaced["step"].as_u64() == Some(u64::from(step)) { unhex(&replaced["message"]) } else { bytes }
    }
}

fn identity(given: &Value, prologue: &Prologue) -> ClaimerInput {
    let name = match prologue.invited {
        Invited::User(_) => Some(parsed(given, "name")),
        Invited::Device(_) | Invited::Share(..) => None,
    };
    ClaimerInput::Identity { name, device_label: parsed(given, "label") }
}
