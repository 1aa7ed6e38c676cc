//! Vectors of kits that are split among members: the plan, and what comes out of shares in their
//! boxes.

use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::keys::{KitSeed, ShareSecret, UserSeed};
use parsec_protocol::public_keys::{Context, Signature};
use parsec_protocol::share_plan::{Plan, PlanMember};
use parsec_protocol::shares::{self, Share};
use serde_json::{Value, json};

use crate::check::hex;
use crate::make::Set;
use crate::support::{Seed, device, organisation, root_key, signing_key, user};

fn kit() -> KitSeed {
    KitSeed::draw(&organisation(), &root_key(0).verify_key(), &mut Seed(31)).unwrap()
}

fn sign(context: Context, message: &[u8]) -> Signature {
    kit().keys(&organisation()).signing_key.sign(context, message)
}

fn members(numbers: &[u64]) -> Vec<UserId> {
    let mut members: Vec<UserId> = numbers.iter().copied().map(user).collect();
    members.sort_unstable();
    members
}

/// Two of these three bring back user 0.
fn parts() -> (Plan, Vec<Share>) {
    shares::split(&kit(), &organisation(), user(0), 2, &members(&[1, 2, 3]), &mut Seed(32)).unwrap()
}

pub(crate) fn plans(set: &mut Set) {
    let (plan, _) = parts();
    let keys = kit().keys(&organisation());
    let given = |plan: &[u8]| json!({"plan": hex(plan), "kit's verify key": keys.signing_key.verify_key()});
    let good = plan.sign_with(sign);
    let said = json!({
        "organisation": plan.organisation, "user id": plan.user, "device id": plan.kit,
        "threshold": plan.threshold,
        "members": plan.members.iter().map(|it| json!([it.user, it.commitment])).collect::<Vec<_>>(),
    });
    set.put("plan", "two-of-three", "two of three members", &given(&good), Ok(said));
    let mut refuse = |name: &str, about: &str, plan: &[u8], why: &str| {
        set.put("plan", name, about, &given(plan), Err(json!(why)));
    };
    let signed = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan.sign_with(sign)
    };
    let by_another = plan.sign_with(|context, message| signing_key(0).sign(context, message));
    refuse("by-a-device", "signed by a device of the user, not by the kit", &by_another, "BadSignature");
    let other_use = plan.sign_with(|_, message| sign(Context::Manifest, message));
    refuse("another-context", "signed as something else", &other_use, "BadSignature");
    refuse("alone", "one share is enough", &signed(&|plan| plan.threshold = 1), "Members");
    refuse("none", "no share is needed", &signed(&|plan| plan.threshold = 0), "Members");
    refuse("more-than-there-are", "four of three", &signed(&|plan| plan.threshold = 4), "Members");
    refuse("order", "members in another order", &signed(&|plan| plan.members.reverse()), "Members");
    let twice = signed(&|plan| plan.members[1].user = plan.members[0].user);
    refuse("twice", "a member twice", &twice, "Members");
    let own = signed(&|plan| plan.user = plan.members[2].user);
    refuse("the-user", "the kit's own user among the members", &own, "Members");
    let many = signed(&|plan| {
        let commitment = plan.members[0].commitment;
        let all: Vec<u64> = (1..=17).collect();
        plan.members = members(&all).into_iter().map(|user| PlanMember { user, commitment }).collect();
    });
    refuse("seventeen", "more members than a plan has", &many, "Members");
    refuse("cut-off", "its last byte is missing", &good[..good.len() - 1], "Malformed");
}

pub(crate) fn splits(set: &mut Set) {
    let (plan, shares) = parts();
    let seed = |user: &UserId| {
        let place = members(&[1, 2, 3]).iter().position(|it| it == user).unwrap();
        let mut bytes = [u8::try_from(0x70 + place).unwrap(); 32];
        UserSeed::from_bytes(&mut bytes)
    };
    let one = |plan: &Plan, share: &Share, whose: UserId| {
        let key = seed(&whose).encryption_key();
        let sealed = share.seal_to_member(plan, whose, &key, &mut Seed(40)).unwrap();
        json!({"user id": whose, "seed": hex(seed(&whose).expose()), "box": hex(&sealed)})
    };
    let all = members(&[1, 2, 3]);
    let given =
        |plan: &Plan, shares: Vec<Value>| json!({"plan": hex(&plan.sign_with(sign)), "shares": shares});
    let bytes = json!({"bytes": hex(kit().expose())});
    for (name, about, which) in [
        ("first-two", "the first and the second", &[0, 1][..]),
        ("last-two", "the third and the second, in this order", &[2, 1]),
        ("all", "more than are needed", &[0, 1, 2]),
    ] {
        let some = which.iter().map(|at| one(&plan, &shares[*at], all[*at])).collect();
        set.put("share", name, about, &given(&plan, some), Ok(bytes.clone()));
    }
    let mut refuse = |name: &str, about: &str, given: Value, why: Value| {
        set.put("share", name, about, &given, Err(why));
    };
    let [first, second] = [0, 1].map(|at: usize| one(&plan, &shares[at], all[at]));
    refuse("one", "one share of two", given(&plan, vec![first.clone()]), json!("TooFew"));
    let twice = vec![first.clone(), first.clone()];
    refuse("same-twice", "one share twice", given(&plan, twice), json!("TooFew"));
    let changed = |at: usize| {
        let mut bytes = *shares[0].secret.expose();
        bytes[at] ^= 1;
        let share = Share { number: 1, secret: ShareSecret::from_bytes(&mut bytes) };
        vec![one(&plan, &share, all[0]), second.clone()]
    };
    let lie = json!({"FalseShare": all[0]});
    refuse("changed", "one bit of a share is another", given(&plan, changed(31)), lie.clone());
    let anothers = vec![one(&plan, &shares[1], all[0]), second.clone()];
    refuse("of-another", "a member gives another's share", given(&plan, anothers), lie.clone());
    let renumbered = Share { number: 3, secret: ShareSecret::from_slice(shares[0].secret.expose()).unwrap() };
    let renumbered = vec![one(&plan, &renumbered, all[0]), second.clone()];
    refuse("renumbered", "a share with another number", given(&plan, renumbered), lie);
    let exchanged = vec![
        json!({"user id": all[0], "seed": hex(seed(&all[0]).expose()), "box": second["box"]}),
        second.clone(),
    ];
    refuse("exchanged-box", "a member has another's box", given(&plan, exchanged), json!("WrongBox"));
    let elsewhere = Plan { organisation: "other".parse().unwrap(), ..plan.clone() };
    let moved = vec![one(&elsewhere, &shares[0], all[0]), second.clone()];
    refuse(
        "box-of-another-organisation",
        "a box that another organisation's plan was for",
        given(&plan, moved),
        json!("WrongBox"),
    );
    let bent = bent(&plan, &shares, device(9));
    let of_bent = [0, 1].map(|at: usize| one(&bent, &shares[at], all[at])).to_vec();
    refuse(
        "another-kit",
        "the shares are right, and the plan is for another kit",
        given(&bent, of_bent),
        json!("OtherKit"),
    );
}

/// A plan whose commitments fit, for a kit that these shares do not give.
fn bent(plan: &Plan, shares: &[Share], kit: DeviceId) -> Plan {
    let named = plan.members.iter().zip(shares).map(|(member, share)| PlanMember {
        user: member.user,
        commitment: share.commitment(&plan.organisation, kit),
    });
    Plan { kit, members: named.collect(), ..plan.clone() }
}
