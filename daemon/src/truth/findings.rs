//! What was found, in a list that is bounded whatever a disk or a server has lost.
//!
//! Decides that objects of one content which are alike are one finding, and that those beyond the
//! bound are counted. Whose a content is, the journal says.

use std::collections::BTreeMap;

use parsec_protocol::control::{
    ContentClass, ContentsChecked, FINDINGS_MAX, Fault, FindingKind, FindingState, SafeFinding,
};
use parsec_protocol::ids::{DeviceId, EntryId, ObjectId, OperationId, Timestamp, UserId};
use parsec_protocol::safes::named::Class;

/// Whose a piece is: the content that names it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) class: Counts,
    pub(super) entry: EntryId,
    pub(super) version: Option<OperationId>,
}

/// For what a content counts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counts {
    Named(Class),
    Waiting,
}

impl Counts {
    const fn shown(self) -> ContentClass {
        match self {
            Self::Named(Class::Live) => ContentClass::Live,
            Self::Named(Class::History) => ContentClass::History,
            Self::Named(Class::Trash) => ContentClass::Trash,
            Self::Waiting => ContentClass::Waiting,
        }
    }
}

/// What is wrong with one object, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Verdict {
    pub(super) what: FindingKind,
    pub(super) state: FindingState,
}

/// Whose fault something is, as far as can be told from here.
const fn fault(what: FindingKind) -> Fault {
    match what {
        FindingKind::CertificateDamaged
        | FindingKind::RecordDamaged
        | FindingKind::LogsDiffer
        | FindingKind::TreeDiffers
        | FindingKind::KeyDamaged
        | FindingKind::DamagedHere
        | FindingKind::WaitingDamaged => Fault::Machine,
        FindingKind::ServerBehind
        | FindingKind::ServerDiffers
        | FindingKind::MissingThere
        | FindingKind::Withheld
        | FindingKind::OtherBytes => Fault::Server,
        // Who makes a key gives it to everybody, and who adds contents seals them.
        FindingKind::KeyMissing | FindingKind::Unreadable => Fault::Peer,
        FindingKind::Unknown => Fault::Interference,
    }
}

/// Who added a content, by the record that did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AddedBy {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) time: Timestamp,
    /// Number of the record.
    pub(super) seq: u64,
}

/// Objects of one content that are alike.
#[derive(Debug)]
pub(super) struct OfContent {
    /// One of them, by which the journal is asked who added it.
    pub(super) first: ObjectId,
    pub(super) objects: u64,
    pub(super) by: Option<AddedBy>,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// About logs, tree and keys, in the order in which they were found.
    others: Vec<(Verdict, Option<u64>)>,
    contents: BTreeMap<(Owner, Verdict), OfContent>,
    /// Beyond the bound.
    more: u64,
    /// Whether anything is not well, or was not.
    unwell: bool,
    pub(super) live: ContentsChecked,
    pub(super) history: ContentsChecked,
    pub(super) trash: ContentsChecked,
    pub(super) waiting: ContentsChecked,
}

impl Findings {
    /// The sums of a class.
    pub(super) const fn sums(&mut self, class: Counts) -> &mut ContentsChecked {
        match class {
            Counts::Named(Class::Live) => &mut self.live,
            Counts::Named(Class::History) => &mut self.history,
            Counts::Named(Class::Trash) => &mut self.trash,
            Counts::Waiting => &mut self.waiting,
        }
    }

    fn is_room(&self) -> bool {
        self.others.len().saturating_add(self.contents.len()) < FINDINGS_MAX
    }

    /// Something about the logs, the tree or a key; `number` says which.
    pub(super) fn found(&mut self, what: FindingKind, state: FindingState, number: Option<u64>) {
        self.unwell |= state != FindingState::Repaired;
        if self.is_room() {
            self.others.push((Verdict { what, state }, number));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// An object of a content is not as it should be.
    pub(super) fn object(&mut self, owner: Owner, object: ObjectId, verdict: Verdict) {
        self.unwell |= verdict.state != FindingState::Repaired;
        if let Some(known) = self.contents.get_mut(&(owner, verdict)) {
            known.objects = known.objects.saturating_add(1);
        } else if self.is_room() {
            let _ = self.contents.insert((owner, verdict), OfContent { first: object, objects: 1, by: None });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Contents about which something was found.
    pub(super) fn of_contents(&mut self) -> impl Iterator<Item = &mut OfContent> {
        self.contents.values_mut()
    }

    /// Whether all is well now.
    pub(super) const fn is_well(&self) -> bool {
        !self.unwell
    }

    /// Findings that have no room in the list.
    pub(super) const fn more(&self) -> u64 {
        self.more
    }

    /// The list, as it is shown: `path` says where a file is or was, `by` who somebody is.
    pub(super) fn shown(
        &self,
        path: impl Fn(&Owner) -> String,
        complete: impl Fn(&mut SafeFinding, AddedBy),
    ) -> Vec<SafeFinding> {
        let blank = |verdict: &Verdict| SafeFinding {
            what: verdict.what,
            state: verdict.state,
            fault: fault(verdict.what),
            class: None,
            path: None,
            version: None,
            objects: 0,
            number: None,
            by: None,
            device: None,
            added: None,
        };
        let others =
            self.others.iter().map(|(verdict, number)| SafeFinding { number: *number, ..blank(verdict) });
        let contents = self.contents.iter().map(|((owner, verdict), of)| {
            let mut finding = SafeFinding {
                class: Some(owner.class.shown()),
                path: Some(path(owner)),
                version: owner.version,
                objects: of.objects,
                ..blank(verdict)
            };
            if let Some(by) = of.by {
                complete(&mut finding, by);
            }
            finding
        });
        others.chain(contents).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(n: u8) -> Owner {
        let (entry, class) = (EntryId::from_bytes([n; 16]), Counts::Named(Class::Live));
        Owner { class, entry, version: None }
    }

    #[test]
    fn objects_of_one_content_are_one_finding_and_the_list_is_bounded() {
        let mut findings = Findings::default();
        assert!(findings.is_well());
        let object = ObjectId::from_bytes([1; 16]);
        let repaired = Verdict { what: FindingKind::DamagedHere, state: FindingState::Repaired };
        findings.object(owner(1), object, repaired);
        findings.object(owner(1), object, repaired);
        assert!(findings.is_well(), "what was repaired is well");
        let lost = Verdict { what: FindingKind::Withheld, state: FindingState::Lost };
        findings.object(owner(1), object, lost);
        assert!(!findings.is_well());
        let shown = |findings: &Findings| findings.shown(|_| "/a".to_owned(), |_, _| {});
        let found: Vec<_> = shown(&findings).iter().map(|it| (it.what, it.objects, it.fault)).collect();
        assert!(found.contains(&(FindingKind::DamagedHere, 2, Fault::Machine)), "{found:?}");
        assert!(found.contains(&(FindingKind::Withheld, 1, Fault::Server)), "{found:?}");
        for number in 0..FINDINGS_MAX as u64 {
            findings.found(FindingKind::RecordDamaged, FindingState::Repaired, Some(number));
        }
        assert_eq!((shown(&findings).len(), findings.more()), (FINDINGS_MAX, 2));
    }
}
