//! The logs of a safe that this device keeps, judged anew from their first items, and the tree that
//! they make.
//!
//! Decides that every signature, every rule and both chains are looked at again, under the
//! organisation's log as it is known now, and that the fold begins with nothing. An item that is
//! not what was verified is asked of the server, and taken if it fits in its place: the chains say
//! whether it does. Refuses to go on behind an item that nobody has.

use std::collections::BTreeMap;
use std::sync::Arc;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::{FindingKind, FindingState, Problem};
use parsec_protocol::ids::{SafeId, UserId};
use parsec_protocol::relay::Least;
use parsec_protocol::safe_log::certificate;
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use super::findings::Findings;
use super::progress::{ITEM_BYTES, Progress};
use crate::os::blocking_in;
use crate::safes::folding::{self, Found, Oddity};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::session::safe_items::{Batch, verify};
use crate::store::{OpenDevice, StoreError, StoredRecord};
use crate::transport::retry::answered;

/// Items that are looked at in one go: some megabytes of them at most times, and locking waits for
/// no more.
const STEP_ITEMS: u64 = 64;
/// Items in whose place the server's are held in memory, where nothing is to be repaired: 16 MiB of
/// the largest. With more of them the disk is not to be worked with.
const SUBSTITUTES_MAX: usize = 64;
/// Largest encoding of a tree that was kept, as when it is loaded.
const STATE_MAX_BYTES: usize = 512 * 1024 * 1024;

/// What a safe was when verifying it began.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) verified: VerifiedSafe,
    pub(super) base: State,
    /// Where its two logs end.
    pub(super) ends: [Head; 2],
}

/// What verifying the logs came to.
#[derive(Debug)]
pub(super) struct Checked {
    /// The tree that the journal makes.
    pub(super) state: State,
    pub(super) keys: Arc<SafeKeys>,
    pub(super) certificates: u64,
    pub(super) records: u64,
    pub(super) void: u64,
    pub(super) other_roots: u64,
    pub(super) keys_here: u64,
}

/// Records that are right, where what is kept is not.
type Substitutes = BTreeMap<u64, StoredRecord>;

/// What is worked on from step to step.
struct Work<'a> {
    session: &'a Session,
    safe: &'a OpenSafe,
    members: Arc<VerifiedLog>,
    snapshot: &'a Snapshot,
    repair: bool,
    /// The logs, as far as they were judged anew.
    fresh: VerifiedSafe,
    substitutes: Substitutes,
}

fn counts(verified: &VerifiedSafe) -> [u64; 2] {
    verified.present().map_or([0, 0], |now| [now.log.count, now.journal.count])
}

/// Items that are kept behind those that were judged.
fn stored(
    open: &OpenDevice,
    safe: SafeId,
    at: [u64; 2],
    ends: [Head; 2],
) -> Result<(Vec<Vec<u8>>, Vec<StoredRecord>), StoreError> {
    let most = |end: Head, at: u64| end.count.saturating_sub(at).min(STEP_ITEMS);
    let certificates = open.store.safe_certificates_page(safe, at[0], most(ends[0], at[0]))?;
    Ok((certificates, open.store.safe_records(safe, at[1], most(ends[1], at[1]))?))
}

impl Work<'_> {
    /// Judges the next items that are kept; those that were judged otherwise before, by number.
    async fn step(&mut self) -> Result<Vec<(u64, StoredRecord)>, Problem> {
        let (open, id, at) = (Arc::clone(&self.session.open), self.safe.id, counts(&self.fresh));
        let (members, own, ends) =
            (Arc::clone(&self.members), self.session.open.summary.user, self.snapshot.ends);
        let mut fresh = self.taken();
        let (fresh, others) = blocking_in(&self.session.tasks, move || {
            let (certificates, kept) = stored(&open, id, at, ends)?;
            let records = kept.iter().map(|record| record.envelope.clone()).collect();
            let (verified, _) = verify(&mut fresh, &members, own, Batch { certificates, records });
            let others = (at[1].saturating_add(1)..).zip(verified.records).zip(&kept);
            let others = others.filter(|((_, judged), kept)| judged != *kept).map(|(judged, _)| judged);
            let others: Vec<_> = others.collect();
            Ok::<_, StoreError>((fresh, others))
        })
        .await?;
        self.fresh = fresh;
        Ok(others)
    }

    /// Takes the next item from the server, where what is kept does not fit. Whether it gave one.
    async fn ask_for_next(&mut self, findings: &mut Findings) -> Result<bool, Problem> {
        let (at, ends, id) = (counts(&self.fresh), self.snapshot.ends, self.safe.id);
        let mut batch = Batch::default();
        if at[0] < ends[0].count {
            let page = answered(|| self.session.member.safe_log(id, at[0], Least(ends[0].count))).await?;
            batch.certificates.extend(page.certificates.into_iter().map(Vec::from).take(1));
        }
        if at[1] < ends[1].count {
            let page = answered(|| self.session.member.safe_journal(id, at[1], Least(ends[1].count))).await?;
            batch.records.extend(page.records.into_iter().map(Vec::from).take(1));
        }
        let (members, own) = (Arc::clone(&self.members), self.session.open.summary.user);
        let (open, mut fresh) = (Arc::clone(&self.session.open), self.taken());
        let (fresh, verified, kept) = blocking_in(&self.session.tasks, move || {
            let (verified, _) = verify(&mut fresh, &members, own, batch);
            let kept = stored(&open, id, at, ends)?;
            Ok::<_, StoreError>((fresh, verified, kept))
        })
        .await?;
        let taken = !verified.certificates.is_empty() || !verified.records.is_empty();
        self.fresh = fresh;
        for (judged, kept) in verified.certificates.into_iter().zip(kept.0) {
            if judged != kept {
                self.certificate(at[0], judged, findings).await?;
            }
        }
        for (judged, kept) in verified.records.into_iter().zip(kept.1) {
            if judged != kept {
                self.record(at[1].saturating_add(1), judged, findings).await?;
            }
        }
        Ok(taken)
    }

    /// The logs as far as they were judged, to be worked on elsewhere: with many keys a copy for
    /// each step would be more work than the step. What fails ends all of the work.
    fn taken(&mut self) -> VerifiedSafe {
        let empty = VerifiedSafe::empty(self.safe.organisation.clone(), self.safe.id);
        std::mem::replace(&mut self.fresh, empty)
    }

    const fn state(&self) -> FindingState {
        if self.repair { FindingState::Repaired } else { FindingState::Repairable }
    }

    async fn certificate(
        &self,
        position: u64,
        envelope: Vec<u8>,
        findings: &mut Findings,
    ) -> Result<(), Problem> {
        let id = self.safe.id;
        if self.repair {
            self.session.store(move |store| store.mend_safe_certificate(id, position, &envelope)).await?;
        }
        findings.found(FindingKind::CertificateDamaged, self.state(), Some(position));
        Ok(())
    }

    async fn record(
        &mut self,
        seq: u64,
        record: StoredRecord,
        findings: &mut Findings,
    ) -> Result<(), Problem> {
        let id = self.safe.id;
        if self.repair {
            self.session.store(move |store| store.mend_safe_record(id, seq, &record)).await?;
        } else {
            let _ = self.substitutes.insert(seq, record);
        }
        findings.found(FindingKind::RecordDamaged, self.state(), Some(seq));
        Ok(())
    }

    /// Judges both logs to their ends. Whether that went all the way.
    async fn judge(&mut self, findings: &mut Findings, progress: &mut Progress) -> Result<bool, Problem> {
        let ends = self.snapshot.ends.map(|end| end.count);
        while counts(&self.fresh) != ends {
            let before = counts(&self.fresh);
            for (seq, record) in self.step().await? {
                self.record(seq, record, findings).await?;
            }
            if counts(&self.fresh) == before && !self.ask_for_next(findings).await? {
                let behind = counts(&self.fresh);
                let (what, number) = if behind[1] < ends[1] {
                    (FindingKind::RecordDamaged, behind[1].saturating_add(1))
                } else {
                    (FindingKind::CertificateDamaged, behind[0])
                };
                findings.found(what, FindingState::Lost, Some(number));
                return Ok(false);
            }
            if self.substitutes.len() > SUBSTITUTES_MAX {
                return Ok(false);
            }
            let now = counts(&self.fresh);
            let judged = now[0].saturating_sub(before[0]).saturating_add(now[1].saturating_sub(before[1]));
            progress.did(judged.saturating_mul(ITEM_BYTES));
        }
        Ok(true)
    }

    /// Whether what was noted of the logs is what they say; puts it right where it is not.
    async fn compare(&mut self, findings: &mut Findings) -> Result<(), Problem> {
        self.fresh.raise_floor(self.snapshot.verified.floor());
        if self.fresh == self.snapshot.verified {
            return Ok(());
        }
        let mut memory = self.safe.memory().await;
        // Items that came since would be lost with it: the next time, then.
        let repair = self.repair && memory.verified == self.snapshot.verified;
        if let (true, Some(now)) = (repair, self.fresh.present()) {
            let (id, heads, encoded) = (self.safe.id, [now.log, now.journal], codec::encode(&self.fresh));
            self.session.store(move |store| store.mend_safe_verified(id, &encoded, heads)).await?;
            memory.verified = self.fresh.clone();
        }
        let state = if repair { FindingState::Repaired } else { FindingState::Repairable };
        findings.found(FindingKind::LogsDiffer, state, None);
        Ok(())
    }

    /// The keys that are kept, each held against the log.
    async fn keys(&self, findings: &mut Findings) -> Result<SafeKeys, Problem> {
        let id = self.safe.id;
        let kept = self.session.store(move |store| store.safe_keys(id)).await?;
        let mut keys = SafeKeys::new(self.safe.organisation.clone(), id);
        for (epoch, key) in kept {
            let Some(record) = self.fresh.epoch(epoch) else { continue };
            if keys.insert(epoch, key, &record.key.key_check).is_err() {
                findings.found(FindingKind::KeyDamaged, FindingState::Standing, Some(epoch));
            }
        }
        let wanted = (0_u64..).zip(self.fresh.epochs()).filter(|(_, record)| !record.lost);
        for (epoch, _) in wanted.filter(|(epoch, _)| keys.at(*epoch).is_none()) {
            findings.found(FindingKind::KeyMissing, FindingState::Standing, Some(epoch));
        }
        Ok(keys)
    }

    /// Folds the journal from nothing up to where the tree stands that this device works with.
    async fn fold(
        &self,
        keys: &Arc<SafeKeys>,
        checked: &mut Checked,
        findings: &mut Findings,
        progress: &mut Progress,
    ) -> Result<(), Problem> {
        let id = self.safe.id;
        let to = self.snapshot.base.seq();
        let kept = self.session.store(move |store| store.safe_state(id)).await?.filter(|kept| kept.0 <= to);
        let mut kept_seq = kept.as_ref().map(|(seq, _)| *seq);
        drop(kept);
        let judged = Arc::new(self.fresh.clone());
        while checked.state.seq() < to {
            // Stops where the kept tree stands, to be compared with it.
            let seq = checked.state.seq();
            let until = kept_seq.filter(|kept| *kept > seq).unwrap_or(to);
            let most = until.saturating_sub(seq).min(STEP_ITEMS);
            let (open, verified, keys) =
                (Arc::clone(&self.session.open), Arc::clone(&judged), Arc::clone(keys));
            let substitutes: Substitutes =
                self.substitutes.range(seq..=until).map(|(seq, record)| (*seq, record.clone())).collect();
            let mut state = std::mem::replace(&mut checked.state, State::new(id));
            let (state, found) = blocking_in(&self.session.tasks, move || {
                let mut found = Found::default();
                for (number, kept) in (seq.saturating_add(1)..).zip(open.store.safe_records(id, seq, most)?) {
                    if found.stop.is_none() {
                        let record = substitutes.get(&number).unwrap_or(&kept);
                        folding::one(&verified, &keys, &mut state, record, &mut found)?;
                    }
                }
                Ok::<_, StoreError>((state, found))
            })
            .await?;
            for oddity in &found.oddities {
                let count = match oddity {
                    Oddity::Void(..) => &mut checked.void,
                    Oddity::OtherRoot(..) => &mut checked.other_roots,
                };
                *count = count.saturating_add(1);
            }
            progress.did(state.seq().saturating_sub(seq).saturating_mul(ITEM_BYTES));
            let stuck = state.seq() == seq;
            checked.state = state;
            if found.stop.is_some() || stuck {
                break;
            }
            if kept_seq == Some(checked.state.seq()) {
                kept_seq = None;
                self.compare_kept(&mut checked.state, findings).await?;
            }
        }
        checked.records = checked.state.seq();
        self.compare_tree(&mut checked.state, findings).await
    }

    /// Whether the tree that is kept on the disk is the one that the journal makes up to there.
    async fn compare_kept(&self, state: &mut State, findings: &mut Findings) -> Result<(), Problem> {
        let (id, root, seq, repair) = (self.safe.id, state.state_root(), state.seq(), self.repair);
        let same = self
            .session
            .store(move |store| {
                let Some((_, bytes)) = store.safe_state(id)?.filter(|kept| kept.0 == seq) else {
                    return Ok(true);
                };
                let kept: Result<State, _> = codec::decode(&bytes, STATE_MAX_BYTES);
                let same = kept.is_ok_and(|mut kept| kept.seq() == seq && kept.state_root() == root);
                if !same && repair {
                    store.drop_safe_state(id)?;
                }
                Ok(same)
            })
            .await?;
        if !same {
            findings.found(FindingKind::TreeDiffers, self.state(), Some(seq));
        }
        Ok(())
    }

    /// Whether the tree that this device works with is the one that the journal makes.
    async fn compare_tree(&self, state: &mut State, findings: &mut Findings) -> Result<(), Problem> {
        let mut base = self.snapshot.base.clone();
        if state.seq() < base.seq() || state.state_root() == base.state_root() {
            return Ok(());
        }
        if self.repair {
            let id = self.safe.id;
            self.session.store(move |store| store.drop_safe_state(id)).await?;
            self.safe.memory().await.refold = true;
            self.safe.wanted.notify_one();
        }
        findings.found(FindingKind::TreeDiffers, self.state(), Some(state.seq()));
        Ok(())
    }

    /// Whether the server shows the logs as far as they were verified here: its last items have to
    /// lead to the very ends.
    async fn at_server(&self, findings: &mut Findings) -> Result<(), Problem> {
        let (id, ends, session) = (self.safe.id, self.snapshot.ends, self.session);
        let last = ends.map(|end| end.count.saturating_sub(1));
        let log = answered(|| session.member.safe_log(id, last[0], Least(ends[0].count))).await?;
        let journal = answered(|| session.member.safe_journal(id, last[1], Least(ends[1].count))).await?;
        if log.count < ends[0].count || journal.seq < ends[1].count {
            findings.found(FindingKind::ServerBehind, FindingState::Standing, None);
            return Ok(());
        }
        let certificate = log.certificates.first().is_some_and(|bytes| {
            let payload = certificate::Envelope::decode(bytes).and_then(|envelope| envelope.payload());
            payload.is_ok_and(|payload| payload.previous.after(bytes) == ends[0])
        });
        let record = journal.records.first().is_some_and(|bytes| {
            let payload = record::Envelope::decode(bytes).and_then(|envelope| envelope.payload());
            let before = |payload: &record::Payload| Head { count: last[1], hash: payload.previous };
            payload.is_ok_and(|payload| before(&payload).after(bytes) == ends[1])
        });
        let same = certificate && (ends[1].count == 0 || record);
        if !same {
            findings.found(FindingKind::ServerDiffers, FindingState::Standing, None);
        }
        Ok(())
    }
}

/// Judges a safe's logs anew, and folds its tree.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn check(
    session: &Session,
    safe: &OpenSafe,
    snapshot: &Snapshot,
    repair: bool,
    findings: &mut Findings,
    progress: &mut Progress,
) -> Result<Checked, Problem> {
    let own: UserId = session.open.summary.user;
    tracing::debug!(safe = %safe.id, %own, "a safe is verified from its first item");
    let mut work = Work {
        session,
        safe,
        members: session.log(),
        snapshot,
        repair,
        fresh: VerifiedSafe::empty(safe.organisation.clone(), safe.id),
        substitutes: Substitutes::new(),
    };
    let whole = work.judge(findings, progress).await?;
    let keys = Arc::new(work.keys(findings).await?);
    let [certificates, records] = counts(&work.fresh);
    let keys_here = (0_u64..).zip(work.fresh.epochs()).filter(|(epoch, _)| keys.at(*epoch).is_some());
    let mut checked = Checked {
        state: State::new(safe.id),
        keys_here: keys_here.count() as u64,
        keys: Arc::clone(&keys),
        certificates,
        records,
        void: 0,
        other_roots: 0,
    };
    if whole {
        work.compare(findings).await?;
        work.at_server(findings).await?;
        work.fold(&keys, &mut checked, findings, progress).await?;
    } else {
        // Behind what nobody has there is no telling: contents are looked at by what is known.
        checked.state = snapshot.base.clone();
    }
    Ok(checked)
}
