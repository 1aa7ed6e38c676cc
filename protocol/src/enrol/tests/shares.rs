//! A share in the ceremony: it arrives as it is in the plan, whoever gives another is named, and
//! what is about a kit or a member that has gone ends before.

use super::vouching::{Second, let_in};
use super::*;
use crate::chain::organisation::certificate::{Body, DeviceKind};
use crate::chain::organisation::changes::certify;
use crate::chain::organisation::members::{NameOf, seal_name};
use crate::enrol::io::HeldShare;
use crate::ids::{DeviceId, UserId};
use crate::keys::{KitSeed, ShareSecret};
use crate::share_plan::{Plan, PlanMember};
use crate::shares::{Share, split};

/// Alice's organisation, in which Bob has a kit that was split between Alice and Carol.
struct Cast {
    org: Organisation,
    bob: Second,
    kit: KitSeed,
    plan: Plan,
    shares: Vec<Share>,
}

impl Cast {
    fn new() -> Self {
        let mut org = acme();
        let bob = let_in(&mut org, "bob@acme.example", Profile::Standard, 50);
        let carol = let_in(&mut org, "carol@acme.example", Profile::Standard, 51);
        let rng = &mut SeededRng::new(52);
        let organisation = org.log.organisation().clone();
        let kit = KitSeed::draw(&organisation, &org.root, rng).unwrap();
        let keys = kit.keys(&organisation);
        let named = NameOf::Device(keys.device);
        let body = Body::Device {
            device: keys.device,
            user: bob.user,
            sealed_label: seal_name(&org.directory_keys, &organisation, named, &label("kit"), rng)
                .unwrap()
                .into(),
            verify_key: keys.signing_key.verify_key(),
            encryption_key: keys.device_seed.encryption_key().hash(),
            kind: DeviceKind::Recovery,
        };
        let envelope = certify(&org.log, bob.device, &bob.signing_key, body, START).unwrap();
        org.append([envelope]).unwrap();
        let (plan, shares) = split(&kit, &organisation, bob.user, 2, &[org.user, carol.user], rng).unwrap();
        Self { org, bob, kit, plan, shares }
    }

    fn device(&self) -> DeviceId {
        self.plan.kit
    }

    fn signed(&self, plan: &Plan) -> Vec<u8> {
        let keys = self.kit.keys(self.org.log.organisation());
        plan.sign_with(|context, message| keys.signing_key.sign(context, message))
    }

    /// Alice's share, or a copy of it that is bent by `change`.
    fn held(&self, change: impl FnOnce(&mut [u8; 32])) -> HeldShare {
        let (number, _) = self.plan.share_of(&self.org.user).unwrap();
        let share = &self.shares[usize::from(number) - 1];
        let mut bytes = *share.secret.expose();
        change(&mut bytes);
        let share = Share { number, secret: ShareSecret::from_bytes(&mut bytes) };
        HeldShare { plan: self.signed(&self.plan), share }
    }

    fn prologue(&self) -> Prologue {
        self.org.prologue(Invited::Share(self.bob.user, self.device()))
    }

    /// Up to the approval, and what comes of giving this.
    fn given(&self, held: &HeldShare) -> (Pair, Result<(), Refused>) {
        let mut pair = Pair::fair(&self.org, &self.prologue(), false, 53);
        pair.g.gives_share = true;
        pair.run_to(&self.org, Point::Approval);
        let approval = Approval { share: Some(held), ..self.org.approval() };
        let said = pair.tell_greeter(GreeterInput::Approve(approval));
        (pair, said)
    }

    /// The same by a greeter whose program gives whatever it is told to: its plan and share are put
    /// in place of honest ones, and its log is what `log` says.
    fn lied(&self, bent: &HeldShare, log: &[Vec<u8>]) -> Option<Closed> {
        let mut pair = Pair::fair(&self.org, &self.prologue(), false, 53);
        pair.g.gives_share = true;
        pair.run_to(&self.org, Point::Approval);
        let empty = VerifiedLog::empty(self.org.log.organisation().clone(), self.org.root);
        let seen = empty.extended(log.iter().map(Vec::as_slice)).unwrap();
        let approval = Approval { share: Some(bent), log: &seen, ..self.org.approval() };
        pair.greeter.give_anything(&approval, &mut pair.entropy).map(|bytes| {
            pair.g.sent.push((7, bytes));
        })?;
        pair.deliver(7);
        if pair.c.closed.is_none() {
            pair.tell_claimer(ClaimerInput::Log(log.to_vec())).unwrap();
        }
        assert!(pair.c.kept_share.is_none() || pair.c.closed.is_none());
        pair.c.closed
    }
}

#[test]
fn a_share_arrives_as_it_is_in_the_plan() {
    let cast = Cast::new();
    let (mut pair, said) = cast.given(&cast.held(|_| ()));
    said.unwrap();
    for point in [Point::Message(7), Point::Log] {
        pair.pass(&cast.org, point);
    }
    let kept = pair.c.kept_share.take().unwrap();
    assert_eq!((kept.user, kept.kit, kept.giver), (cast.bob.user, cast.device(), cast.org.user));
    assert_eq!((kept.threshold, kept.email.as_str()), (2, "bob@acme.example"));
    assert!(kept.share.is_named(&cast.plan, &cast.org.user));
    assert!(pair.c.sent.iter().all(|(step, _)| *step != 8), "8 went out before it was durable");
    for point in [Point::Saved, Point::Message(8)] {
        pair.pass(&cast.org, point);
    }
    let receipt = pair.g.given.unwrap();
    assert!(receipt.certificates.is_empty() && pair.g.persisted.is_none() && pair.g.published.is_none());
}

/// An honest greeter's program gives nothing that the other side would refuse.
#[test]
fn nobody_gives_what_is_not_theirs_or_does_not_stand() {
    let mut cast = Cast::new();
    let honest = cast.held(|_| ());
    let no_share = Err(Refused::NoShare);
    assert_eq!(cast.given(&cast.held(|bytes| bytes[0] ^= 1)).1, no_share, "a changed share");
    let forged = HeldShare {
        plan: cast.plan.sign_with(|context, message| cast.bob.signing_key.sign(context, message)),
        ..cast.held(|_| ())
    };
    assert_eq!(cast.given(&forged).1, no_share, "a plan by a device");
    let mut pair = Pair::fair(&cast.org, &cast.prologue(), false, 53);
    pair.run_to(&cast.org, Point::Approval);
    let unheard = Approval { claimer_confirmed: false, share: Some(&honest), ..cast.org.approval() };
    let said = pair.tell_greeter(GreeterInput::Approve(unheard));
    assert_eq!(said, Err(Refused::NotConfirmed), "codes as always");
    let body = Body::DeviceRevoked { device: cast.device() };
    cast.org.state(body).unwrap();
    assert_eq!(cast.given(&honest).1, no_share, "a revoked kit");
}

/// The claimer's own checks, against a greeter's program that makes none.
#[test]
fn whoever_gives_another_share_is_named_and_everything_else_is_looked_at_before() {
    let mut cast = Cast::new();
    let log = cast.org.envelopes.clone();
    let lie = Some(Closed::FalseShare(cast.org.user));
    assert_eq!(cast.lied(&cast.held(|_| ()), &log), None);
    for at in [0, 31] {
        assert_eq!(cast.lied(&cast.held(|bytes| bytes[at] ^= 1), &log), lie);
    }
    let other = HeldShare { share: Share { number: 2, ..cast.held(|_| ()).share }, ..cast.held(|_| ()) };
    let (own, _) = cast.plan.share_of(&cast.org.user).unwrap();
    assert_eq!(cast.lied(&other, &log), if own == 2 { None } else { lie });
    let unfit = Some(Closed::BadMessage { step: 7 });
    let by_device = HeldShare {
        plan: cast.plan.sign_with(|context, message| cast.bob.signing_key.sign(context, message)),
        ..cast.held(|_| ())
    };
    assert_eq!(cast.lied(&by_device, &log), unfit, "a plan that the kit did not sign");
    // A plan in which the greeter has no share, though the kit signed it.
    let members: Vec<PlanMember> = cast
        .plan
        .members
        .iter()
        .map(|member| {
            let user =
                if member.user == cast.org.user { UserId::from_bytes([0xfe; 16]) } else { member.user };
            PlanMember { user, ..*member }
        })
        .collect();
    let mut members = members;
    members.sort_unstable_by_key(|member| member.user);
    let without = Plan { members, ..cast.plan.clone() };
    let without = HeldShare { plan: cast.signed(&without), ..cast.held(|_| ()) };
    assert_eq!(cast.lied(&without, &log), unfit, "a plan without the greeter");
    cast.org.state(Body::DeviceRevoked { device: cast.device() }).unwrap();
    let log = cast.org.envelopes.clone();
    assert_eq!(cast.lied(&cast.held(|_| ()), &log), unfit, "a revoked kit");
}

/// Message 8 shows that this share was opened, in this ceremony, by this device.
#[test]
fn a_receipt_of_another_ceremony_is_none() {
    let cast = Cast::new();
    let run = |seed: u64| {
        let mut pair = Pair::fair(&cast.org, &cast.prologue(), false, seed);
        pair.g.gives_share = true;
        pair.run_to(&cast.org, Point::Approval);
        let held = cast.held(|_| ());
        let approval = Approval { share: Some(&held), ..cast.org.approval() };
        pair.tell_greeter(GreeterInput::Approve(approval)).unwrap();
        for point in [Point::Message(7), Point::Log, Point::Saved] {
            pair.pass(&cast.org, point);
        }
        pair
    };
    let (mut one, other) = (run(60), run(61));
    let bytes = other.c.message(8);
    one.tell_greeter(GreeterInput::Message { step: 8, bytes }).unwrap();
    assert_eq!(one.g.closed, Some(Closed::BadReceipt));
}
