//! What a signed request is charged to, and when: before the work it costs.
//!
//! Decides the order. By the head alone, the address pays. Then the device it names is looked up: a
//! stranger and a revoked device are refused at the address's expense, nobody's in the
//! organisation, and a device, member or organisation that has asked too much already is refused
//! before a signature is verified. Only a signature that holds gives the address its charge back,
//! and charges device, member and organisation, the narrowest first: whoever is over their own rate
//! spends nothing of what they share with others. No body is read before all of it.

use std::net::IpAddr;
use std::time::Instant;

use parsec_protocol::ids::OrganisationId;
use parsec_protocol::relay::ErrorCode;

use crate::errors::Refusal;
use crate::quota::{Key, Lent, Quota};
use crate::store::rows::Signer;

/// A request of which the head is here; its address has paid.
#[derive(Debug)]
pub(super) struct Arrived(Lent);

/// A request that names a device which could have sent it. Its signature may be verified.
#[derive(Debug)]
pub(super) struct Named {
    lent: Lent,
    signer: Signer,
    pays: [Key; 3],
}

impl Arrived {
    pub(super) fn at(quota: &Quota, address: IpAddr, now: Instant) -> Result<Self, Refusal> {
        quota.lend_at(&Key::unproved(address), now).map(Self)
    }

    /// Takes what is known of the device that the head names.
    pub(super) fn named(
        self,
        quota: &Quota,
        organisation: &OrganisationId,
        signer: Option<Signer>,
        now: Instant,
    ) -> Result<Named, Refusal> {
        let signer = signer.ok_or(ErrorCode::NotAuthenticated)?;
        if signer.revoked {
            return Err(ErrorCode::Revoked.into());
        }
        let member = signer.member;
        let pays = [
            Key::Device(organisation.clone(), member.device),
            Key::Member(organisation.clone(), member.user),
            Key::Organisation(organisation.clone()),
        ];
        if let Some(refusal) = pays.iter().find_map(|key| quota.has_at(key, now).err()) {
            // Refused for what others paid for: the colleagues at this address need not.
            quota.give_back_at(self.0, now);
            return Err(refusal);
        }
        Ok(Named { lent: self.0, signer, pays })
    }
}

impl Named {
    pub(super) const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Its signature, time and nonce hold: it is the signer's.
    pub(super) fn proved(self, quota: &Quota, now: Instant) -> Result<Signer, Refusal> {
        quota.give_back_at(self.lent, now);
        self.pays.iter().try_for_each(|key| quota.take_at(key, now))?;
        Ok(self.signer)
    }
}

#[cfg(test)]
mod tests {
    use parsec_protocol::chain::organisation::certificate::Profile;
    use parsec_protocol::ids::{DeviceId, UserId};
    use parsec_protocol::public_keys::VerifyKey;

    use super::*;
    use crate::invitations::Member;
    use crate::quota::{Rate, Rates};

    /// What a request is.
    #[derive(Debug, Clone, Copy)]
    enum Is {
        Good,
        Forged,
        Unknown,
        Revoked,
    }

    /// What became of one, and how far it came.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Came {
        /// Refused by the head.
        Head,
        /// Refused once the device was looked up, before its signature.
        Named(ErrorCode),
        /// Refused with the signature verified.
        Signed(ErrorCode),
        In,
    }

    /// From an address, by a device of a user of an organisation.
    type From = (u8, &'static str, u8, u8);
    type Request = (From, Is, Came);

    fn came(quota: &Quota, (address, organisation, user, device): From, is: Is, now: Instant) -> Came {
        let Ok(arrived) = Arrived::at(quota, [10, 0, 0, address].into(), now) else { return Came::Head };
        let member = Member {
            user: UserId::from_bytes([user; 16]),
            device: DeviceId::from_bytes([device; 16]),
            profile: Profile::Standard,
        };
        let verify_key = VerifyKey::from_bytes([0; 32]);
        let signer = Signer { member, verify_key, revoked: matches!(is, Is::Revoked) };
        let signer = (!matches!(is, Is::Unknown)).then_some(signer);
        let named = match arrived.named(quota, &organisation.parse().unwrap(), signer, now) {
            Ok(named) => named,
            Err(refusal) => return Came::Named(refusal.code),
        };
        if matches!(is, Is::Forged) {
            return Came::Signed(ErrorCode::NotAuthenticated);
        }
        named.proved(quota, now).map_or_else(|refusal| Came::Signed(refusal.code), |_| Came::In)
    }

    #[test]
    fn everybody_pays_before_the_work_and_for_nobody_else() {
        use ErrorCode::{NotAuthenticated, RateLimited, Revoked};
        let rate = |burst| Rate { per_second: 1, burst };
        let rates = Rates { address: rate(2), device: rate(2), member: rate(3), ..Rates::default() };
        let rates = Rates { organisation: rate(5), ..rates };
        let (one, two): (From, From) = ((1, "acme", 1, 1), (1, "acme", 1, 2));
        let (colleague, third): (From, From) = ((1, "acme", 2, 3), (1, "acme", 3, 4));
        let (elsewhere, other): (From, From) = ((2, "acme", 2, 3), (1, "bolt", 1, 1));
        let table: &[(&str, &[Request])] = &[
            (
                "whoever can't sign spends the address's, and then nothing more of anybody's",
                &[
                    (one, Is::Forged, Came::Signed(NotAuthenticated)),
                    (one, Is::Unknown, Came::Named(NotAuthenticated)),
                    (one, Is::Forged, Came::Head),
                    (one, Is::Good, Came::Head),
                    (elsewhere, Is::Good, Came::In),
                ],
            ),
            (
                "a revoked device spends the address's alone, and its body is not read",
                &[
                    (two, Is::Revoked, Came::Named(Revoked)),
                    (two, Is::Revoked, Came::Named(Revoked)),
                    (two, Is::Revoked, Came::Head),
                    (elsewhere, Is::Good, Came::In),
                    (elsewhere, Is::Good, Came::In),
                ],
            ),
            (
                "who signs well costs the address nothing, and one over the device's rate neither",
                &[
                    (one, Is::Good, Came::In),
                    (one, Is::Good, Came::In),
                    (one, Is::Good, Came::Named(RateLimited)),
                    (one, Is::Good, Came::Named(RateLimited)),
                    (one, Is::Good, Came::Named(RateLimited)),
                    (two, Is::Good, Came::In),
                ],
            ),
            (
                "more devices are no larger share",
                &[
                    (one, Is::Good, Came::In),
                    (one, Is::Good, Came::In),
                    (two, Is::Good, Came::In),
                    (two, Is::Good, Came::Named(RateLimited)),
                    (colleague, Is::Good, Came::In),
                ],
            ),
            (
                "what is refused spends nothing of the organisation's, which is nobody else's",
                &[
                    (one, Is::Good, Came::In),
                    (one, Is::Good, Came::In),
                    (one, Is::Good, Came::Named(RateLimited)),
                    (two, Is::Good, Came::In),
                    (two, Is::Good, Came::Named(RateLimited)),
                    (colleague, Is::Good, Came::In),
                    (colleague, Is::Good, Came::In),
                    (third, Is::Good, Came::Named(RateLimited)),
                    (other, Is::Good, Came::In),
                ],
            ),
        ];
        for (what, requests) in table {
            let (quota, now) = (Quota::new(Some(rates)), Instant::now());
            for (number, (from, is, expected)) in requests.iter().enumerate() {
                assert_eq!(came(&quota, *from, *is, now), *expected, "{what}: {number}");
            }
        }
    }

    /// Requests that overtook each other are all looked at before any is charged: the charge itself
    /// decides then.
    #[test]
    fn requests_at_once_are_charged_all_the_same() {
        let rate = Rate { per_second: 1, burst: 1 };
        let quota = Quota::new(Some(Rates { device: rate, ..Rates::default() }));
        let (now, organisation) = (Instant::now(), "acme".parse().unwrap());
        let signer = Signer {
            member: Member {
                user: UserId::from_bytes([1; 16]),
                device: DeviceId::from_bytes([1; 16]),
                profile: Profile::Standard,
            },
            verify_key: VerifyKey::from_bytes([0; 32]),
            revoked: false,
        };
        let both: Vec<_> = (0..2)
            .map(|_| Arrived::at(&quota, [10, 0, 0, 1].into(), now).unwrap())
            .map(|arrived| arrived.named(&quota, &organisation, Some(signer), now).unwrap())
            .collect();
        let answers: Vec<_> = both.into_iter().map(|named| named.proved(&quota, now).is_ok()).collect();
        assert_eq!(answers, [true, false]);
    }
}
