//! Safes: what a server hands out and what members sign, read by everything that reads it.
//!
//! Decides what must hold: what is taken has one spelling; nothing that is not of the corpus stands
//! in a safe; a record folds the same way twice, and one that is refused changes nothing; no wrong
//! byte comes out of an object.

use std::cell::OnceCell;

use minicbor::bytes::ByteVec;
use parsec_protocol::codec;
use parsec_protocol::ids::{EntryId, ObjectId, OperationId, Timestamp};
use parsec_protocol::lab::safes::{BOB, Item, LabSafe};
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{self, ObjectHead, ObjectHeads};
use parsec_protocol::safe_log::record::Payload;
use parsec_protocol::safe_log::ring::{Expected, RingHead, RingPart};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safe_log::{certificate, record};
use parsec_protocol::safes::change::{Change, ConflictOf, Inside, Kind, PrunedVersions, RULES_VERSION};
use parsec_protocol::safes::content::{Keep, Sealing, chunks, open_any_page, open_chunk};
use parsec_protocol::safes::content_ref::{CHUNK_BYTES, Content, Reference};
use parsec_protocol::safes::fold::{Outer, fold, would_fold};
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::object::{ObjectKind, seal};
use parsec_protocol::safes::seal::open_record;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use super::targets::{is_known, one_spelling};

/// Seed of the safe.
const SEED: u64 = u64::MAX - 2;
/// Bytes of the page's file: above what stands without pages.
const PAGED_BYTES: u64 = 20 * CHUNK_BYTES;

/// The safe of every target, and what it was before each of its items.
struct Known {
    world: LabSafe,
    before: Vec<VerifiedSafe>,
}

fn known() -> Known {
    let mut world = LabSafe::of_seed(SEED).unwrap();
    world.rekey(&[]).unwrap();
    world.put(BOB, "later.txt", b"under the second key").unwrap();
    let acme = world.organisation.log.organisation().clone();
    let mut safe = VerifiedSafe::empty(acme, world.safe);
    let mut before = Vec::new();
    for item in &world.items {
        before.push(safe.clone());
        match item {
            Item::Certificate(bytes) => drop(safe.push_certificate(bytes, &world.organisation.log).unwrap()),
            Item::Record(bytes) => drop(safe.push_record(bytes, &world.organisation.log).unwrap()),
        }
    }
    before.push(safe);
    Known { world, before }
}

thread_local! {
    static KNOWN: OnceCell<Known> = const { OnceCell::new() };
}

fn with<T>(work: impl FnOnce(&Known) -> T) -> T {
    KNOWN.with(|cell| work(cell.get_or_init(known)))
}

/// Certificates of a safe: one spelling, and none that is not of the corpus stands anywhere.
pub(super) fn certificate(input: &[u8]) {
    let Ok(envelope) = certificate::Envelope::decode(input) else { return };
    let _ = one_spelling::<certificate::Envelope>(input, 8_192);
    if envelope.payload().is_ok() {
        let _ = one_spelling::<certificate::Payload>(&envelope.payload, 8_192);
    }
    with(|known| {
        let stands = known.before.iter().any(|safe| {
            let mut safe = safe.clone();
            let was = safe.clone();
            let taken = safe.push_certificate(input, &known.world.organisation.log).is_ok();
            assert!(taken || safe == was, "what is refused leaves something behind");
            taken
        });
        assert!(!stands || is_known("safe-certificate", input), "a certificate that nobody signed");
    });
}

/// Records, from outside: the same; and one that is changed doesn't open.
pub(super) fn outer(input: &[u8]) {
    let Ok(envelope) = record::Envelope::decode(input) else { return };
    let _ = one_spelling::<record::Envelope>(input, 300_000);
    let known_one = is_known("record", input);
    let Ok(payload) = envelope.payload() else { return };
    let _ = one_spelling::<Payload>(&envelope.payload, 300_000);
    with(|known| {
        let stands = known
            .before
            .iter()
            .any(|safe| safe.clone().push_record(input, &known.world.organisation.log).is_ok());
        assert!(!stands || known_one, "a record that nobody signed");
        let of_corpus = |item: &Item| matches!(item, Item::Record(bytes) if record::Envelope::decode(bytes).is_ok_and(|it| it.payload == envelope.payload));
        let opens = open_record(&known.world.keys, &payload).is_ok();
        assert!(!opens || known.world.items.iter().any(of_corpus), "a record that nobody sealed");
    });
}

/// What is inside of a record, by a member who may write anything: it folds the same way for all,
/// or changes nothing.
pub(super) fn inside(input: &[u8]) {
    let Ok(inside) = Inside::read(input) else { return };
    assert_eq!(codec::encode(&inside), input, "a second spelling");
    with(|known| {
        let world = &known.world;
        let adds = [ObjectId::from_bytes([9; 16])];
        for (role, drops) in [(Role::Owner, true), (Role::Manager, false), (Role::Contributor, false)] {
            let dropped: Vec<ObjectId> =
                if drops { world.objects.keys().copied().take(1).collect() } else { Vec::new() };
            let person = &world.people[BOB];
            let outer = Outer {
                seq: world.state.seq() + 1,
                epoch: 1,
                user: person.user,
                device: person.device,
                role,
                time: Timestamp(u64::MAX / 2),
                adds: &adds,
                drops: &dropped,
                keeps: &[],
            };
            let mut one = world.state.clone();
            let mut other = world.state.clone();
            let before = entries(&one);
            let would = would_fold(&one, &inside, &outer);
            let done = fold(&mut one, &inside, &outer);
            assert_eq!(done, would, "it folds otherwise than it would");
            assert_eq!(fold(&mut other, &inside, &outer), done);
            assert_eq!(one.state_root(), other.state_root(), "two trees of one record");
            assert_eq!(one.seq(), outer.seq, "a record keeps its place");
            if done.is_err() {
                assert_eq!(entries(&one), before, "what is void changes something");
                let mut passed = world.state.clone();
                passed.pass_over(&outer);
                assert_eq!(one.state_root(), passed.state_root(), "what is void changes something");
            }
            let gone = dropped.iter().any(|object| !one.has_object(*object));
            assert!(!gone || done.is_ok(), "a void record lets something go");
        }
    });
}

/// How many entries there are, and how many objects they name.
fn entries(state: &State) -> (u64, usize) {
    let mut named = 0;
    state.each_content(|content| named += content.objects().count());
    (state.count(), named)
}

/// Heads and parts of rings: one spelling, and none but the true ones fit a certificate.
pub(super) fn ring(input: &[u8]) {
    let known_one = is_known("ring", input);
    if let Ok(part) = RingPart::decode(input) {
        assert_eq!(part.encode(), input, "a second spelling");
        with(|known| {
            for made in &known.world.rings {
                let head = RingHead::decode(&made.head).unwrap();
                for (number, (_, right)) in made.parts.iter().enumerate() {
                    let fits = head.part_fits(number, &part).is_ok();
                    assert_eq!(fits, right == input, "a part that is not the ring's");
                }
            }
        });
    }
    let Ok(head) = RingHead::decode(input) else { return };
    assert_eq!(head.encode(), input, "a second spelling");
    with(|known| {
        let world = &known.world;
        let organisation = world.organisation.log.organisation();
        for epoch in world.verified.epochs() {
            let expected =
                Expected { organisation, safe: &world.safe, author: &epoch.author, key: &epoch.key };
            assert!(head.fits(&expected).is_err() || known_one, "a ring that nobody signed for");
        }
    });
}

/// A page or chunk as the safe's own member sealed it: what opens has its length, and nothing is
/// let out that has not.
pub(super) fn page(input: &[u8]) {
    with(|known| {
        let key = known.world.keys.at(1).unwrap();
        // Sealed by a member, with anything in it.
        let mut sealed = input.to_vec();
        let mut entropy = parsec_protocol::lab::SeededRng::new(3);
        let reference = seal(&key, ObjectKind::Page, &mut sealed, &mut entropy).unwrap();
        let mut buffer = sealed.clone();
        if let Ok(references) = open_any_page(&known.world.keys, &reference, &mut buffer) {
            assert_eq!(codec::encode(&references), input, "a second spelling");
        }
        assert!(buffer.is_empty(), "a page's bytes stay where they were opened");
        // As a chunk it is another object.
        assert!(open_chunk(&known.world.keys, 1, 0, &reference, &mut sealed).is_err());
        // And with another hash it is none.
        let other = Reference { blake3: ObjectHash::of(b"another"), ..reference };
        let mut buffer = input.to_vec();
        assert!(open_any_page(&known.world.keys, &other, &mut buffer).is_err() && buffer.is_empty());
    });
}

/// Contents as an entry says them: how many chunks there are and where each is comes of them alone.
pub(super) fn content(input: &[u8]) {
    let Some(content) = one_spelling::<Content>(input, 65_536) else { return };
    let named = content.objects().count();
    if content.fits() {
        assert!(named as u64 <= chunks(content.size).max(1), "more objects than pieces");
        for number in [0, 1, 16, chunks(content.size).saturating_sub(1), chunks(content.size), u64::MAX] {
            let place = parsec_protocol::safes::content::place(&content, number);
            assert!(place.is_none() || number < chunks(content.size), "a chunk behind the end");
        }
    }
}

/// What a server answers about safes: one spelling each, and objects that are what their heads
/// promise.
pub(super) fn fetched(input: &[u8]) {
    let _ = one_spelling::<relay::SafeList>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::SafeLogPage>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::JournalPage>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::RecordAnswer>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::SafeLogged>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::SafeCertificate>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::NewSafe>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::NewRecord>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::ObjectIds>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::ObjectLengths>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::SafeTotals>(input, BODY_MAX_BYTES);
    let _ = one_spelling::<relay::SafeRepair>(input, BODY_MAX_BYTES);
    if let Ok(heads) = ObjectHeads::read(input) {
        assert_eq!(codec::encode(&heads), input, "a second spelling");
        assert!(heads.body_bytes() <= relay::OBJECTS_MAX_BYTES);
    }
    // The body of a fetch: what is taken apart is all of it, in the lengths that were promised.
    if let Some(objects) = parsecd::transport::fetched_objects(input) {
        let heads: usize =
            input.get(..4).map_or(0, |length| u32::from_be_bytes(length.try_into().unwrap()) as usize);
        let bytes: usize = objects.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(4 + heads + bytes, input.len(), "bytes that are nobody's");
    }
}

/// Real ones of each kind.
pub(super) fn seeds(target: &str) -> Option<Vec<Vec<u8>>> {
    with(|known| match target {
        "safe-certificate" => Some(items(&known.world, false)),
        "record" => Some(items(&known.world, true)),
        "inside" => Some(insides(&known.world)),
        "ring" => Some(
            known
                .world
                .rings
                .iter()
                .flat_map(|made| {
                    std::iter::once(made.head.clone()).chain(made.parts.iter().map(|(_, part)| part.clone()))
                })
                .collect(),
        ),
        "page" => Some(vec![
            codec::encode(&vec![Some(reference(1)), None, Some(reference(2))]),
            codec::encode(&Vec::<Option<Reference>>::new()),
        ]),
        "content" => Some(contents(&known.world)),
        "fetch" => Some(answers(&known.world)),
        _ => None,
    })
}

fn items(world: &LabSafe, records: bool) -> Vec<Vec<u8>> {
    let of = |item: &Item| match item {
        Item::Certificate(bytes) => (!records).then(|| bytes.clone()),
        Item::Record(bytes) => records.then(|| bytes.clone()),
    };
    world.items.iter().filter_map(of).collect()
}

fn reference(number: u8) -> Reference {
    Reference { object: ObjectId::from_bytes([number; 16]), epoch: 1, blake3: ObjectHash::of(&[number]) }
}

struct Nowhere;

impl Keep for Nowhere {
    type Error = std::convert::Infallible;

    fn keep(&mut self, _: &Reference, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn contents(world: &LabSafe) -> Vec<Vec<u8>> {
    let mut entropy = parsec_protocol::lab::SeededRng::new(4);
    let mut sealing = Sealing::new(world.keys.at(1).unwrap(), world.keys.at(0));
    for _ in 0..PAGED_BYTES / CHUNK_BYTES {
        sealing.hole(CHUNK_BYTES, &mut entropy, &mut Nowhere).unwrap();
    }
    let paged = sealing.finish(&mut entropy, &mut Nowhere).unwrap();
    let mut all = vec![codec::encode(&paged)];
    world.state.each_content(|content| all.push(codec::encode(content)));
    all
}

/// One of each kind of change, and some together: what stands in a safe, and what breaks a rule of
/// it.
fn insides(world: &LabSafe) -> Vec<Vec<u8>> {
    let root = EntryId::from_bytes(*world.safe.as_bytes());
    let name = |text: &str| EntryName::new(text.as_bytes()).unwrap();
    let op = |number: u8| OperationId::from_bytes([number; 16]);
    let (entry, there) = {
        let entry = world.state.child(root, &name("plans.odt")).unwrap();
        (entry, world.state.entry(entry).unwrap().clone())
    };
    let other = world.state.child(root, &name("notes.txt")).unwrap();
    let (version, content) = (there.version.unwrap(), there.content().unwrap().clone());
    let new = EntryId::from_bytes([7; 16]);
    let add = |kind, name| Change::Add {
        operation: None,
        entry: new,
        parent: root,
        name,
        kind,
        mtime: 1,
        executable: false,
        conflict_of: Some(ConflictOf { entry, version }),
    };
    let direct = Content { size: 3, digest: None, ..content.clone() };
    let changes: Vec<Vec<Change>> = vec![
        vec![add(Kind::Folder, name("folder"))],
        vec![add(Kind::File(content.clone()), name("copy"))],
        vec![Change::Content { operation: op(1), entry, base: version, content: direct, mtime: 2 }],
        vec![Change::Move { operation: op(2), entry, parent: root, name: name("moved"), conflict_of: None }],
        vec![
            Change::Remove { operation: op(3), entry },
            Change::Restore { operation: op(4), entry, parent: root, name: name("back"), shallow: false },
        ],
        vec![Change::Attributes { operation: op(5), entry, mtime: 9, executable: true }],
        vec![Change::Replace { operation: op(6), target: entry, base: version, source: other }],
        vec![Change::SafeName { operation: op(7), name: "Another name".parse().unwrap() }],
        vec![Change::Retention { operation: op(8), days: 30 }],
        vec![
            Change::Remove { operation: op(9), entry },
            Change::Prune { operation: op(10), versions: Vec::new(), entries: vec![entry] },
        ],
        vec![Change::Prune {
            operation: op(11),
            versions: vec![PrunedVersions { entry, versions: vec![version] }],
            entries: Vec::new(),
        }],
        Vec::new(),
    ];
    let root = world.state.clone().state_root();
    changes
        .into_iter()
        .map(|changes| codec::encode(&Inside { rules: RULES_VERSION, root, changes }))
        .collect()
}

fn answers(world: &LabSafe) -> Vec<Vec<u8>> {
    let bytes = |items: Vec<Vec<u8>>| items.into_iter().map(ByteVec::from).collect::<Vec<_>>();
    let (certificates, records) = (bytes(items(world, false)), bytes(items(world, true)));
    let objects: Vec<_> = world.objects.iter().take(2).collect();
    let heads = ObjectHeads(
        objects
            .iter()
            .map(|(object, sealed)| ObjectHead {
                object: **object,
                hash: ObjectHash::of(sealed),
                length: u32::try_from(sealed.len()).unwrap(),
            })
            .collect(),
    );
    let mut fetched = heads.before();
    objects.iter().for_each(|(_, sealed)| fetched.extend_from_slice(sealed));
    let ids = relay::ObjectIds { objects: world.objects.keys().copied().collect() };
    vec![
        codec::encode(&relay::SafeLogPage { count: certificates.len() as u64, certificates }),
        codec::encode(&relay::JournalPage { seq: records.len() as u64, records: records.clone() }),
        codec::encode(&relay::NewRecord { record: records[0].clone() }),
        codec::encode(&relay::RecordAnswer::Accepted { seq: 3 }),
        codec::encode(&ids),
        codec::encode(&heads),
        fetched,
    ]
}
