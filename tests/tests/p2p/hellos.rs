//! Whoever connects to a device that meets others of its safes, and means no good: strangers, who
//! send rubbish; somebody who kept another's hello; a member's device that asks for what is not
//! its; and devices that were members' once.
//!
//! They speak libp2p as well as we do, with the very keys that a member's device has.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, Stream};
use minicbor::{Decode, Encode};
use parsec_protocol::codec;
use parsec_protocol::control::{
    DeviceRevoke, DeviceSelector, Member, NetStatus, SafeRole, SecretText, method,
};
use parsec_protocol::direct::{
    ANSWER_MAX_BYTES, Answer, AskedObject, ENTRY_BYTES, Ends, HELLO_BYTES, Hello, KNOCK_MAX_BYTES,
    KNOCK_STEP, Knock, KnownEnds, MEETING_NONCE_BYTES, Meeting, Met, PROTOCOL, Question, Side,
};
use parsec_protocol::ids::{DeviceId, ObjectId, SafeId};
use parsec_protocol::keys::{Entropy, NoEntropy};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safes::keys::EpochKey;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::own_devices::only;
use parsec_tests::safes::{Safe, create};
use parsecd::store::{Devices, OpenDevice};

use super::strangers::{Stranger, Target, ed25519_of};

/// How long somebody waits for anything.
const WAIT: Duration = Duration::from_secs(20);
const PLANS: &str = "Plans";

struct System;

impl Entropy for System {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(bytes).map_err(|_| NoEntropy)
    }
}

/// Alice's device, and the keys of Bob's, whose daemon is not running.
struct Visit {
    fixture: Fixture,
    target: Target,
    bob: OpenDevice,
    safe: SafeId,
    own: SafeId,
    alice: DeviceId,
}

/// Where Alice's device can be met.
fn target(alice: &Device) -> Target {
    let status: NetStatus = alice.call(method::NET_STATUS, ()).unwrap();
    let node = &status.direct[0];
    let port = node.addresses.iter().find_map(|at| {
        let (before, port) = at.rsplit_once("/tcp/")?;
        before.starts_with("/ip4/").then(|| port.parse::<u16>().unwrap())
    });
    let at = SocketAddr::from(([127, 0, 0, 1], port.unwrap()));
    Target { peer: node.peer.parse::<PeerId>().unwrap(), at }
}

fn visit() -> Visit {
    let fixture =
        Fixture::found(FixtureOptions { daemon_options: &["--direct"], ..FixtureOptions::default() });
    let mut device = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&device, &invitation, BOB, parsec_protocol::control::ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = device
        .until_device(|device| device.registration == parsec_protocol::control::Registration::Registered);
    let safe = create(&fixture.alice, PLANS).safe;
    let own = create(&fixture.alice, "Alice's own").safe;
    let alices = Safe { device: &fixture.alice, name: PLANS };
    alices.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let _ = device.until_safe(|found| found.safe == safe);
    Safe { device: &device, name: &safe.to_string() }.accept().unwrap();
    Safe { device: &device, name: &safe.to_string() }.sync();
    alices.put_shared("/notes.txt", b"notes");
    let (data, id) = (device.data(), only(&device));
    device.kill();
    let devices = Devices::open(&data).unwrap();
    let bob = devices.unlock(id, &SecretText::new(BOB_PASSWORD.to_owned().into())).unwrap();
    let (target, alice) = (target(&fixture.alice), only(&fixture.alice));
    Visit { fixture, target, bob, safe, own, alice }
}

fn frame<T: Encode<()>>(value: &T) -> Vec<u8> {
    let bytes = codec::encode(value);
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
}

async fn hear<T>(stream: &mut Stream, max: usize) -> Option<T>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let talk = async {
        let mut length = [0; 4];
        stream.read_exact(&mut length).await.ok()?;
        let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut bytes).await.ok()?;
        codec::decode(&bytes, max).ok()
    };
    tokio::time::timeout(WAIT, talk).await.ok().flatten()
}

async fn say<T: Encode<()>>(stream: &mut Stream, value: &T) -> bool {
    stream.write_all(&frame(value)).await.is_ok() && stream.flush().await.is_ok()
}

/// A knock with this entry among random ones.
fn among(at: Meeting, entry: Vec<u8>) -> Knock {
    let random = || parsec_protocol::direct::random_entry(&mut System).unwrap().into();
    let mut entries: Vec<_> = (1..KNOCK_STEP).map(|_| random()).collect();
    entries.push(entry.into());
    Knock { nonce: at.nonce, entries }
}

impl Visit {
    async fn come(&self) -> Stranger {
        Stranger::come(self.target, false, "parsec").await.expect("a connection")
    }

    fn at(&self, stranger: &Stranger) -> Meeting {
        let ends = Ends { asker: stranger.key, answerer: ed25519_of(&self.target.peer) };
        Meeting::draw(ends, &mut System).unwrap()
    }

    fn with_key<T>(&self, work: impl FnOnce(&EpochKey<'_>) -> T) -> T {
        let keys = self.bob.store.safe_keys(self.safe).unwrap();
        let (epoch, secret) = keys.last().unwrap();
        work(&EpochKey::new(&self.bob.summary.organisation, &self.safe, *epoch, secret))
    }

    /// What Bob's device knocks with, or whoever has its keys: as the device that is named, in this
    /// knock.
    fn entry(&self, as_device: DeviceId, at: Meeting) -> Vec<u8> {
        let sign = |context, message: &[u8]| self.bob.keys.signing_key.sign(context, message);
        self.with_key(|key| {
            Hello::of(key, Side::Asker, at, as_device, sign).entry(key, at, &mut System).unwrap()
        })
    }

    /// The answer to a knock with an entry, by who claims to be a device.
    async fn claimed(&self, stranger: &Stranger, as_device: DeviceId) -> Met {
        let at = self.at(stranger);
        self.knock(stranger, &among(at, self.entry(as_device, at))).await.0
    }

    /// The answer to a knock, and the stream; an empty answer is one.
    async fn knock(&self, stranger: &Stranger, knock: &Knock) -> (Met, Stream) {
        let mut stream = stranger.stream_of(PROTOCOL).await.expect("a stream");
        assert!(say(&mut stream, knock).await);
        (hear(&mut stream, KNOCK_MAX_BYTES).await.expect("an answer"), stream)
    }

    /// Bob's device as it is, on a connection of its own.
    async fn bob(&self) -> (Met, Stream, Stranger) {
        let stranger = self.come().await;
        let at = self.at(&stranger);
        let entry = self.entry(self.bob.summary.device, at);
        let (met, stream) = self.knock(&stranger, &among(at, entry)).await;
        (met, stream, stranger)
    }
}

/// A question that a member is answered for its safes, though with no object.
fn objects_of(safe: SafeId) -> Question {
    let unknown = AskedObject { object: ObjectId::from_bytes([7; 16]), blake3: ObjectHash::of(b"anything") };
    Question::Objects { safe, objects: vec![unknown] }
}

async fn ask(stream: &mut Stream, question: Question) -> Answer {
    assert!(say(stream, &question).await);
    hear(stream, ANSWER_MAX_BYTES).await.expect("an answer")
}

#[test]
fn nobody_but_a_members_device_is_told_anything() {
    let mut visit = visit();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let shapeless = Knock { nonce: [7_u8; MEETING_NONCE_BYTES].into(), entries: Vec::new() };
        // Rubbish is not answered, and a stranger's knock is, with nothing.
        for junk in [u32::MAX.to_be_bytes().to_vec(), vec![0, 0, 0, 3, 1, 2, 3], frame(&shapeless)] {
            let stranger = visit.come().await;
            let mut stream = stranger.stream_of(PROTOCOL).await.unwrap();
            stream.write_all(&junk).await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(hear::<Met>(&mut stream, KNOCK_MAX_BYTES).await, None);
        }
        let stranger = visit.come().await;
        let (met, mut stream) =
            visit.knock(&stranger, &among(visit.at(&stranger), vec![7; ENTRY_BYTES])).await;
        assert!(met.0.is_empty());
        // Who was told nothing is heard no more.
        let _ = say(&mut stream, &objects_of(visit.safe)).await;
        assert_eq!(hear::<Answer>(&mut stream, ANSWER_MAX_BYTES).await, None);

        // Bob's device is answered, by Alice's.
        let (met, mut stream, bobs) = visit.bob().await;
        assert_eq!(met.0.len(), 1);
        let known = vec![KnownEnds { safe: visit.safe, counts: [0; 3] }];
        let Answer::Ends { safe, word } = ask(&mut stream, Question::Ends { known }).await else { panic!() };
        assert_eq!((safe, word.safe.device), (visit.safe, visit.alice));
        // Not of another safe of hers, and not what no record has added.
        assert_eq!(ask(&mut stream, objects_of(visit.own)).await, Answer::Nothing {});
        assert_eq!(ask(&mut stream, objects_of(safe)).await, Answer::Objects { objects: Vec::new() });

        // Its hello again, from another connection: as it was, and where its tag is made anew by
        // who has the key; and the same keys under another device's name.
        let kept = visit.entry(visit.bob.summary.device, visit.at(&bobs));
        let thief = visit.come().await;
        let at = visit.at(&thief);
        assert!(visit.knock(&thief, &among(at, kept.clone())).await.0.0.is_empty(), "a replay");
        let tag = visit.with_key(|key| key.direct_tag(at));
        let tagged = [&tag[..], &kept[ENTRY_BYTES - HELLO_BYTES..]].concat();
        assert!(visit.knock(&thief, &among(at, tagged)).await.0.0.is_empty(), "a replay that is found");
        assert!(visit.claimed(&thief, visit.alice).await.0.is_empty(), "the answerer itself");
        assert!(visit.claimed(&thief, DeviceId::from_bytes([9; 16])).await.0.is_empty(), "no device");
        assert_eq!(visit.claimed(&thief, visit.bob.summary.device).await.0.len(), 1, "its own");

        // Bob is taken out: from the next question on it is as if he had never been one.
        Safe { device: &visit.fixture.alice, name: PLANS }.unshare(BOB_EMAIL).unwrap();
        assert_eq!(ask(&mut stream, objects_of(visit.safe)).await, Answer::Nothing {});
        let (met, ..) = visit.bob().await;
        assert!(met.0.is_empty(), "a former member");
    });
    assert!(visit.fixture.alice.process().runs());
    assert!(!visit.fixture.alice.log().contains("panicked"), "{}", visit.fixture.alice.log());
}

#[test]
fn a_revoked_device_is_told_nothing() {
    let visit = visit();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (met, mut stream, _bobs) = visit.bob().await;
        assert_eq!(met.0.len(), 1);
        let asked = DeviceRevoke { select: DeviceSelector::default(), device: visit.bob.summary.device };
        let _: Member = visit.fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
        assert_eq!(ask(&mut stream, objects_of(visit.safe)).await, Answer::Nothing {});
        assert!(visit.bob().await.0.0.is_empty());
    });
}
