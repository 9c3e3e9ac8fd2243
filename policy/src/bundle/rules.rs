//! The rules a bundle keeps by itself. Each is one function and one or two reasons.

use std::collections::BTreeSet;

use super::{
    AccountRule, Approval, Bundle, KeyRule, MAX_BUNDLE_LIFETIME, MAX_DELAY, MAX_DOCUMENT_AGE,
    MAX_PREVIOUS_ACCEPTED, ReleaseAuthority, Review, Role, StopAuthority,
};
use crate::anchor::{MIN_THRESHOLD, check_threshold};
use crate::digest::Pcr;
use crate::names::PersonName;
use crate::person::check_distinct;
use crate::reason::{Reason, Refusal};
use crate::release::ReleaseStatus;

impl Bundle {
    pub(super) fn check_rules(&self) -> Result<(), Refusal> {
        // Named one by one: a new field does not compile until someone decides about it.
        let Self {
            project: _,
            version: _,
            previous: _,
            issued: _,
            expires: _,
            previous_accepted_until: _,
            people,
            review,
            roles,
            approvals,
            release_authorities,
            stop,
            keys,
            key_service: _,
            ledger,
            digest: _,
        } = self;
        self.check_header()?;
        check_distinct(people)?;
        self.check_review(review)?;
        self.check_roles(roles)?;
        self.check_approvals(approvals)?;
        self.check_grants()?;
        for (index, authority) in release_authorities.iter().enumerate() {
            self.check_release_authority(index, authority)?;
        }
        self.check_stop(stop)?;
        check_keys(keys)?;
        ledger.as_ref().map_or(Ok(()), |ledger| ledger.check(self))
    }

    /// Version and previous digest belong together; lifetime and overlap are bounded.
    fn check_header(&self) -> Result<(), Refusal> {
        if self.version == 0 {
            return Err(Refusal::new(Reason::BundleBound, "versions start at 1"));
        }
        if (self.version == 1) != self.previous.is_none() {
            return Err(Refusal::new(
                Reason::BundlePrevious,
                "version 1 has no previous bundle; every later one names its digest",
            ));
        }
        if self.expires <= self.issued || self.expires.since(self.issued) > MAX_BUNDLE_LIFETIME {
            return Err(Refusal::new(
                Reason::BundleLifetime,
                format!(
                    "from {} to {}: more than 0 and at most 366 days",
                    self.issued, self.expires
                ),
            ));
        }
        let Some(until) = self.previous_accepted_until else {
            return Ok(());
        };
        let bounded = until > self.issued
            && until <= self.expires
            && until.since(self.issued) <= MAX_PREVIOUS_ACCEPTED;
        if self.version == 1 || !bounded {
            return Err(Refusal::new(
                Reason::BundlePreviousAccepted,
                "previous_accepted_until lies after issued, before expires, and within 14 days",
            ));
        }
        Ok(())
    }

    fn check_review(&self, review: &Review) -> Result<(), Refusal> {
        let Review {
            reviewers,
            threshold,
        } = review;
        self.check_people("review", reviewers)?;
        check_threshold("review", *threshold, MIN_THRESHOLD, reviewers.len())
    }

    fn check_roles(&self, roles: &[Role]) -> Result<(), Refusal> {
        check_unique("role", roles.iter().map(|role| &role.name))?;
        for Role {
            name,
            actions,
            operations,
        } in roles
        {
            let place = format!("role {name}");
            if actions.is_empty() && operations.is_empty() {
                return Err(empty(&place, "actions or operations"));
            }
            check_unique(&place, actions)?;
            check_unique(&place, operations)?;
        }
        for person in &self.people {
            check_unique(&format!("person {}", person.name), &person.roles)?;
            for role in &person.roles {
                if !roles.iter().any(|defined| &defined.name == role) {
                    return Err(Refusal::new(
                        Reason::BundleUnknownRole,
                        format!(
                            "person {} has role {role}, which is not defined",
                            person.name
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_approvals(&self, approvals: &[Approval]) -> Result<(), Refusal> {
        check_unique(
            "approval",
            approvals.iter().flat_map(|approval| &approval.actions),
        )?;
        check_unique(
            "approval",
            approvals.iter().flat_map(|approval| &approval.operations),
        )?;
        for Approval {
            actions,
            operations,
            approvers,
            threshold,
            delay,
        } in approvals
        {
            if actions.is_empty() && operations.is_empty() {
                return Err(empty("approval", "actions or operations"));
            }
            if let Some(read) = actions.iter().find(|action| !action.is_write()) {
                return Err(Refusal::new(
                    Reason::BundleApprovalImpossible,
                    format!("{read} is a read action: read orders carry no approvals"),
                ));
            }
            self.check_people("approval", approvers)?;
            check_threshold("approval", *threshold, 1, approvers.len())?;
            if *delay > MAX_DELAY {
                return Err(Refusal::new(
                    Reason::BundleBound,
                    "approval: a delay above 12h",
                ));
            }
        }
        self.check_approvals_possible(approvals)
    }

    /// A row that nobody who may ask can ever fulfil: the requester's own approval never counts.
    fn check_approvals_possible(&self, approvals: &[Approval]) -> Result<(), Refusal> {
        for approval in approvals {
            let possible = |requester: &PersonName| {
                let others = approval
                    .approvers
                    .iter()
                    .filter(|name| *name != requester)
                    .count();
                others >= approval.threshold
            };
            let mut requesters = self
                .people
                .iter()
                .filter(|person| {
                    self.actions_of(person)
                        .iter()
                        .any(|action| approval.actions.contains(action))
                        || self
                            .operations_of(person)
                            .iter()
                            .any(|kind| approval.operations.contains(kind))
                })
                .map(|person| &person.name)
                .peekable();
            if requesters.peek().is_some() && !requesters.any(possible) {
                return Err(Refusal::new(
                    Reason::BundleApprovalImpossible,
                    "approval: nobody who may ask finds enough approvers besides themselves",
                ));
            }
        }
        Ok(())
    }

    /// Whatever changes something has an approval row, so that one person alone never acts.
    fn check_grants(&self) -> Result<(), Refusal> {
        let without = |role: &Role, what: &str| {
            Refusal::new(
                Reason::BundleWithoutApproval,
                format!(
                    "role {} allows {what}, and no [[approval]] covers it",
                    role.name
                ),
            )
        };
        for role in &self.roles {
            for action in role.actions.iter().filter(|action| action.is_write()) {
                if self.approval_for_action(*action).is_none() {
                    return Err(without(role, action.name()));
                }
            }
            for kind in role.operations.iter().filter(|kind| kind.needs_approval()) {
                if self.approval_for_operation(*kind).is_none() {
                    return Err(without(role, kind.name()));
                }
            }
        }
        Ok(())
    }

    fn check_release_authority(
        &self,
        index: usize,
        authority: &ReleaseAuthority,
    ) -> Result<(), Refusal> {
        let ReleaseAuthority {
            names,
            signers,
            threshold,
        } = authority;
        let place = format!("release_authority {}", index + 1);
        if names.is_empty() {
            return Err(empty(&place, "names"));
        }
        check_unique(&place, names)?;
        self.check_people(&place, signers)?;
        check_threshold(&place, *threshold, MIN_THRESHOLD, signers.len())
    }

    fn check_stop(&self, stop: &StopAuthority) -> Result<(), Refusal> {
        let StopAuthority {
            signers,
            threshold,
            lifted,
        } = stop;
        self.check_people("stop", signers)?;
        check_unique("stop", lifted)?;
        check_threshold("stop", *threshold, 1, signers.len())
    }

    /// A list of people: not empty, nobody twice, everybody known.
    fn check_people(&self, place: &str, names: &[PersonName]) -> Result<(), Refusal> {
        if names.is_empty() {
            return Err(empty(place, "people"));
        }
        check_unique(place, names)?;
        match names.iter().find(|name| self.person(name).is_none()) {
            Some(unknown) => Err(Refusal::new(
                Reason::PersonUnknown,
                format!("{place}: no [[person]] is named {unknown}"),
            )),
            None => Ok(()),
        }
    }
}

fn check_keys(keys: &[KeyRule]) -> Result<(), Refusal> {
    check_unique("key", keys.iter().map(|key| &key.name))?;
    for key in keys {
        check_key(key).map_err(|refusal| refusal.within(&format!("key {}", key.name)))?;
    }
    Ok(())
}

fn check_key(key: &KeyRule) -> Result<(), Refusal> {
    let KeyRule {
        name: _,
        releases,
        statuses,
        account,
        shares: _,
        max_document_age,
        commitments,
    } = key;
    if releases.is_empty() {
        return Err(empty("key", "releases"));
    }
    check_unique("releases", releases)?;
    if statuses.is_empty() || statuses.contains(&ReleaseStatus::Revoked) {
        return Err(Refusal::new(
            Reason::BundleEmptyRule,
            "statuses is a list of \"current\" and \"previous\"",
        ));
    }
    if let AccountRule::Named { pcr3, pcr4 } = account {
        if pcr3.iter().chain(pcr4).any(|pcr| *pcr == Pcr::ZERO) {
            return Err(Refusal::new(
                Reason::BundleZeroPcr,
                "a PCR3 or PCR4 that is all zero",
            ));
        }
        check_unique("pcr3 and role_arns", pcr3)?;
        check_unique("pcr4 and instance_ids", pcr4)?;
    }
    if max_document_age.is_zero() || *max_document_age > MAX_DOCUMENT_AGE {
        return Err(Refusal::new(
            Reason::BundleBound,
            "max_document_age is more than 0 and at most 1h",
        ));
    }
    if commitments.iter().any(|commitment| commitment.version == 0) {
        return Err(Refusal::new(
            Reason::BundleBound,
            "versions of keys start at 1",
        ));
    }
    check_unique(
        "commitments",
        commitments.iter().map(|commitment| commitment.version),
    )
}

/// Refuses a list that names something twice: one of the two is a mistake.
pub(crate) fn check_unique<T: Ord>(
    place: &str,
    items: impl IntoIterator<Item = T>,
) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for item in items {
        if !seen.insert(item) {
            return Err(Refusal::new(
                Reason::BundleDuplicate,
                format!("{place}: an entry twice"),
            ));
        }
    }
    Ok(())
}

fn empty(place: &str, what: &str) -> Refusal {
    Refusal::new(Reason::BundleEmptyRule, format!("{place}: no {what}"))
}
