//! Shares by the thousand: what comes back, and what is named, refused or never used.

use proptest::prelude::*;

use super::*;
use crate::lab::SeededRng;
use crate::public_keys::VerifyKey;

fn acme() -> OrganisationId {
    "acme".parse().unwrap()
}

fn member(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

fn kit(seed: u64) -> KitSeed {
    KitSeed::draw(&acme(), &VerifyKey::from_bytes([1; 32]), &mut SeededRng::new(seed)).unwrap()
}

/// A plan and its shares of members 1 to `n`, the kit being of member 200.
fn parts(seed: u64, threshold: u8, n: u8) -> (KitSeed, Plan, Vec<Share>) {
    let kit = kit(seed);
    let members: Vec<UserId> = (1..=n).rev().map(member).collect();
    let rng = &mut SeededRng::new(seed + 1);
    let (plan, shares) = split(&kit, &acme(), member(200), threshold, &members, rng).unwrap();
    (kit, plan, shares)
}

fn of<'a>(shares: &'a [Share], which: &[u8]) -> Vec<(UserId, &'a Share)> {
    which.iter().map(|n| (member(*n), &shares[usize::from(*n) - 1])).collect()
}

proptest! {
    /// Any k of them, in any order, and more than k; never fewer, and never one of them twice.
    #[test]
    fn as_many_as_are_needed_bring_the_kit_back(seed in 0_u64..1_000, threshold in 2_u8..=5, more in 0_u8..=11, turn in 0_u8..16) {
        let n = threshold + more;
        let (kit, plan, shares) = parts(seed, threshold, n);
        let mut which: Vec<u8> = (1..=n).collect();
        which.rotate_left(usize::from(turn % n));
        which.truncate(usize::from(threshold));
        prop_assert!(combine(&plan, &of(&shares, &which)).unwrap().is_same(&kit));
        prop_assert!(combine(&plan, &of(&shares, &(1..=n).collect::<Vec<_>>())).unwrap().is_same(&kit));
        let last = which.pop().unwrap();
        prop_assert_eq!(combine(&plan, &of(&shares, &which)).unwrap_err(), CombineFault::TooFew);
        which.push(which[0]);
        prop_assert_eq!(combine(&plan, &of(&shares, &which)).unwrap_err(), CombineFault::TooFew);
        which.push(last);
        prop_assert!(combine(&plan, &of(&shares, &which)).is_ok());
    }

    /// Whatever is changed of whichever share, its member is named.
    #[test]
    fn a_changed_share_names_its_member(seed in 0_u64..1_000, at in 0_usize..32, bit in 0_u8..8, whose in 1_u8..=3) {
        let (_, plan, mut shares) = parts(seed, 3, 3);
        let share = &mut shares[usize::from(whose) - 1];
        let mut bytes = *share.secret.expose();
        bytes[at] ^= 1 << bit;
        share.secret = ShareSecret::from_bytes(&mut bytes);
        let combined = combine(&plan, &of(&shares, &[1, 2, 3]));
        prop_assert_eq!(combined.unwrap_err(), CombineFault::FalseShare(member(whose)));
    }
}

#[test]
fn another_members_share_or_number_is_a_lie_too() {
    let (_, plan, mut shares) = parts(7, 2, 3);
    let swapped = [(member(1), &shares[1]), (member(2), &shares[1])];
    assert_eq!(combine(&plan, &swapped).unwrap_err(), CombineFault::FalseShare(member(1)));
    let stranger = [(member(9), &shares[0]), (member(2), &shares[1])];
    assert_eq!(combine(&plan, &stranger).unwrap_err(), CombineFault::FalseShare(member(9)));
    shares[0].number = 3;
    let renumbered = combine(&plan, &of(&shares, &[1, 2]));
    assert_eq!(renumbered.unwrap_err(), CombineFault::FalseShare(member(1)));
}

/// A maker who splits one secret and signs for another kit.
#[test]
fn a_plan_for_another_kit_gives_nothing() {
    let (_, plan, shares) = parts(7, 2, 2);
    let kit = kit(8).keys(&acme()).device;
    let mut bent = Plan { kit, ..plan };
    for (member, share) in bent.members.iter_mut().zip(&shares) {
        member.commitment = share.commitment(&acme(), kit);
    }
    assert_eq!(combine(&bent, &of(&shares, &[1, 2])).unwrap_err(), CombineFault::OtherKit);
}

#[test]
fn nobody_is_split_among_too_few_too_many_twice_or_themself() {
    let split = |threshold, members: &[u8]| {
        let members: Vec<UserId> = members.iter().copied().map(member).collect();
        split(&kit(1), &acme(), member(200), threshold, &members, &mut SeededRng::new(2)).map(drop)
    };
    let many: Vec<u8> = (1..=17).collect();
    assert_eq!(split(2, &[1, 2]), Ok(()));
    assert_eq!(split(16, &many[..16]), Ok(()));
    for (threshold, members) in [
        (1, &[1, 2][..]),
        (0, &[1, 2]),
        (3, &[1, 2]),
        (2, &[1]),
        (2, &[]),
        (2, &many),
        (2, &[1, 1]),
        (2, &[1, 200]),
    ] {
        assert_eq!(split(threshold, members), Err(SplitFault::Members), "{threshold} of {members:?}");
    }
}

#[test]
fn nothing_that_was_drawn_without_entropy_is_used() {
    struct Dry;
    impl Entropy for Dry {
        fn fill(&mut self, _: &mut [u8]) -> Result<(), NoEntropy> {
            Err(NoEntropy)
        }
    }
    let made = split(&kit(1), &acme(), member(200), 2, &[member(1), member(2)], &mut Dry);
    assert_eq!(made.unwrap_err(), SplitFault::NoEntropy);
}

/// Each box is for one member, kit, organisation and key; and neither of the two uses opens the
/// other's.
#[test]
fn a_box_opens_where_it_belongs_and_nowhere_else() {
    let rng = &mut SeededRng::new(3);
    let (_, plan, shares) = parts(7, 2, 2);
    let seed = UserSeed::random(rng).unwrap();
    let sealed = shares[0].seal_to_member(&plan, member(1), &seed.encryption_key(), rng).unwrap();
    assert_eq!(sealed.len(), SHARE_BOX_BYTES);
    let opened = Share::open_of_member(&sealed, &plan, member(1), &seed).unwrap();
    assert!(opened.number == 1 && opened.secret.is_same(&shares[0].secret));
    assert!(Share::open_of_member(&sealed, &plan, member(2), &seed).is_err());
    assert!(Share::open_of_member(&sealed, &plan, member(1), &UserSeed::random(rng).unwrap()).is_err());
    let other_kit = Plan { kit: DeviceId::from_bytes([9; 16]), ..plan.clone() };
    assert!(Share::open_of_member(&sealed, &other_kit, member(1), &seed).is_err());
    let elsewhere = Plan { organisation: "other".parse().unwrap(), ..plan };
    assert!(Share::open_of_member(&sealed, &elsewhere, member(1), &seed).is_err());
    let (device, handshake) = (DeviceSeed::random(rng).unwrap(), Hash::of(&[b"h"]));
    let given = shares[0].seal_to_claimer(&handshake, &device.encryption_key(), rng).unwrap();
    assert!(Share::open_at_claimer(&given, &handshake, &device).is_ok());
    assert!(Share::open_at_claimer(&given, &Hash::of(&[b"other"]), &device).is_err());
}

#[test]
fn the_largest_plan_fits_its_bound_and_no_more() {
    let members: Vec<UserId> = (1..=16).map(member).collect();
    let long: OrganisationId = "o".repeat(32).parse().unwrap();
    let (plan, _) = split(&kit(1), &long, member(200), 16, &members, &mut SeededRng::new(2)).unwrap();
    let keys = kit(1).keys(&long);
    let signed = plan.sign_with(|context, message| keys.signing_key.sign(context, message));
    assert!(signed.len() <= crate::share_plan::PLAN_MAX_BYTES, "{}", signed.len());
    let read = |key: VerifyKey| Plan::read(&signed, |_| Ok(key));
    assert_eq!(read(keys.signing_key.verify_key()).unwrap(), plan);
    assert!(read(kit(2).keys(&long).signing_key.verify_key()).is_err());
}

/// docs/protocol.md, *Shares of a kit*: what another implementation must come to.
#[test]
fn the_example_of_the_document() {
    struct Fives;
    impl Entropy for Fives {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(5);
            Ok(())
        }
    }
    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(7);
            Ok(())
        }
    }
    let kit = KitSeed::draw(&acme(), &VerifyKey::from_bytes([1; 32]), &mut Sevens).unwrap();
    let members = [member(1), member(2), member(3)];
    let (plan, shares) = split(&kit, &acme(), member(200), 2, &members, &mut Fives).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut said: Vec<String> = shares.iter().map(|share| hex(share.secret.expose())).collect();
    said.push(plan.members[0].commitment.to_string());
    let document = include_str!("../../../docs/protocol.md");
    let missing: Vec<_> = said.iter().filter(|line| !document.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
