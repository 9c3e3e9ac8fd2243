//! The certificate path: AWS's profile, which is not web PKI (no EKU, no names of hosts, R25).
//!
//! The path has one shape, so there is nothing to build: `cabundle` root first, each certificate
//! issued by the one before it, the leaf by the last (R15, R16). [`prepare`] makes every check that
//! needs no signature, [`Path::check_signatures`] makes those that do, from the root downwards.

use core::time::Duration;
use std::sync::Arc;

use crate::anchors::Anchor;
use crate::cache::{Authority, KnownLeaf, Link};
use crate::certificate::{self, BasicConstraints, Certificate, PathLen, Position, PublicKey};
use crate::check::CheckId;
use crate::context::VerificationContext;
use crate::digest::sha256;
use crate::document::Fields;
use crate::report::{Detail, Failure, Recorder};
use crate::time::UnixMillis;

/// A path that has passed everything but its signatures.
pub(crate) struct Path<'a> {
    root_sha256: [u8; 32],
    cabundle_array: &'a [u8],
    remaining: Remaining<'a>,
    pub(crate) validity: Validity,
}

/// Which signatures are still to be checked.
enum Remaining<'a> {
    /// None of them: this very chain is known.
    Nothing(PublicKey),
    /// The leaf's: its issuer is known.
    Leaf(Arc<Authority>, Certificate<'a>),
    /// Every one below the root.
    All {
        above: Vec<Certificate<'a>>,
        leaf: Certificate<'a>,
    },
}

/// The time in which a whole chain is valid: from the latest beginning to the earliest end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Validity {
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
}

pub(crate) fn prepare<'a>(
    fields: &Fields<'a>,
    anchor: &Anchor,
    at: UnixMillis,
    context: &mut VerificationContext,
    recorder: &mut Recorder,
) -> Result<Path<'a>, Failure> {
    let (array, root) = (fields.cabundle_array(), &anchor.sha256);
    let known = context.cache.leaf(fields.certificate(), array, root, at);
    if let Some(KnownLeaf {
        authority,
        link,
        public_key,
    }) = known
    {
        let links = authority.links.iter().chain([&link]);
        let validity = judge_known(links, at, context, recorder, "known chain", anchor)?;
        let remaining = Remaining::Nothing(public_key);
        return Ok(Path {
            root_sha256: *root,
            cabundle_array: array,
            remaining,
            validity,
        });
    }
    if let Some(authority) = context.cache.authority(array, root, at) {
        let leaf = parse_at(Position::Leaf, fields.certificate())?;
        check_issuer(&authority.subject, &leaf, Position::Leaf)?;
        check_leaf(&leaf)?;
        let link = Link::new(&leaf, Position::Leaf);
        let links = authority.links.iter().chain([&link]);
        let validity = judge_known(links, at, context, recorder, "known issuer", anchor)?;
        let remaining = Remaining::Leaf(authority, leaf);
        return Ok(Path {
            root_sha256: *root,
            cabundle_array: array,
            remaining,
            validity,
        });
    }

    check_root(fields, anchor, recorder)?;
    let mut above = Vec::with_capacity(fields.cabundle().len());
    for (index, der) in fields.cabundle().enumerate() {
        above.push(parse_at(position(index), der)?);
    }
    let leaf = parse_at(Position::Leaf, fields.certificate())?;
    for id in certificate::CHECKS {
        recorder.pass(id, Detail::NONE);
    }
    check_names(&above, &leaf)?;
    recorder.pass(CheckId::ChainNames, Detail::NONE);
    check_authorities(&above)?;
    check_leaf(&leaf)?;
    for id in PROFILE {
        recorder.pass(id, Detail::NONE);
    }
    let all = || {
        above
            .iter()
            .enumerate()
            .map(|(index, ca)| (position(index), ca))
    };
    let all = || all().chain([(Position::Leaf, &leaf)]);
    let validity = judge_times(
        all().map(|(position, c)| (position, c.not_before, c.not_after)),
        at,
        context.skew(),
        recorder,
    )?;
    judge_denied(
        all().map(|(position, c)| (position, c.issuer, c.serial)),
        context,
        recorder,
    )?;
    let remaining = Remaining::All { above, leaf };
    Ok(Path {
        root_sha256: *root,
        cabundle_array: array,
        remaining,
        validity,
    })
}

impl Path<'_> {
    /// Checks the signatures that are not known to hold, from the root downwards, and remembers
    /// them. The result is the key at the end of the path (R16).
    pub(crate) fn check_signatures(
        self,
        context: &mut VerificationContext,
        recorder: &mut Recorder,
    ) -> Result<PublicKey, Failure> {
        let (checked, authority, leaf) = match self.remaining {
            Remaining::Nothing(public_key) => {
                recorder.pass(CheckId::ChainSignature, "known chain".into());
                return Ok(public_key);
            }
            Remaining::Leaf(authority, leaf) => ("known issuer", authority, leaf),
            Remaining::All { above, leaf } => {
                // The root is the pinned one, byte for byte: its own signature would add nothing.
                for (index, pair) in above.windows(2).enumerate() {
                    if let [issuer, subject] = pair {
                        let position = position(index + 1);
                        check_signed(issuer.public_key, subject, position, context)?;
                    }
                }
                let links = above.iter().enumerate();
                let links = links
                    .map(|(index, ca)| Link::new(ca, position(index)))
                    .collect();
                let issuer = above.last().ok_or_else(no_issuer)?;
                let authority = Arc::new(Authority {
                    root_sha256: self.root_sha256,
                    cabundle: self.cabundle_array.into(),
                    links,
                    subject: issuer.subject.into(),
                    public_key: *issuer.public_key,
                });
                context.cache.remember_authority(&authority);
                ("each certificate below the root", authority, leaf)
            }
        };
        check_signed(&authority.public_key, &leaf, Position::Leaf, context)?;
        let public_key = *leaf.public_key;
        let link = Link::new(&leaf, Position::Leaf);
        context.cache.remember_leaf(
            leaf.der,
            KnownLeaf {
                authority,
                link,
                public_key,
            },
        );
        recorder.pass(CheckId::ChainSignature, checked.into());
        Ok(public_key)
    }
}

fn check_signed(
    issuer: &PublicKey,
    certificate: &Certificate<'_>,
    position: Position,
    context: &mut VerificationContext,
) -> Result<(), Failure> {
    context
        .check_signature(issuer, certificate.tbs, &certificate.signature)
        .map_err(|_| {
            Failure::new(
                CheckId::ChainSignature,
                format!("another signature on the {position}"),
            )
        })
}

/// The first certificate is the pinned root; if not, say what kind of other root it is.
fn check_root(
    fields: &Fields<'_>,
    anchor: &Anchor,
    recorder: &mut Recorder,
) -> Result<(), Failure> {
    let root = fields.cabundle().next().ok_or_else(no_issuer)?;
    let observed = sha256(root);
    if observed != anchor.sha256 {
        if Certificate::parse(root).is_ok_and(|root| root.names_development_root()) {
            let observed = "Narthex's development root, which a mock NSM uses";
            return Err(Failure::new(CheckId::ChainDevelopmentRoot, observed));
        }
        recorder.pass(CheckId::ChainDevelopmentRoot, Detail::NONE);
        if let Some(index) = fields
            .cabundle()
            .position(|der| sha256(der) == anchor.sha256)
        {
            let observed = format!("the root as cabundle[{index}]");
            return Err(Failure::new(CheckId::ChainOrder, observed));
        }
        recorder.pass(CheckId::ChainOrder, Detail::NONE);
        return Err(Failure::new(CheckId::ChainRoot, Detail::bytes(&observed)));
    }
    pass_root(anchor, recorder);
    Ok(())
}

fn pass_root(anchor: &Anchor, recorder: &mut Recorder) {
    if anchor.is_development() {
        let why = "this build and this call trust a development root";
        recorder.not_applicable(CheckId::ChainDevelopmentRoot, why);
    } else {
        recorder.pass(CheckId::ChainDevelopmentRoot, Detail::NONE);
    }
    recorder.pass(CheckId::ChainOrder, Detail::NONE);
    recorder.pass(CheckId::ChainRoot, anchor.id().into());
}

fn parse_at(position: Position, der: &[u8]) -> Result<Certificate<'_>, Failure> {
    Certificate::parse(der).map_err(|Failure { id, observed }| {
        let separator = if observed.is_empty() { "" } else { ": " };
        Failure::new(id, format!("{position}{separator}{observed}"))
    })
}

/// R20: each issuer's name is the subject's above it, byte for byte; the root's is its own.
fn check_names(above: &[Certificate<'_>], leaf: &Certificate<'_>) -> Result<(), Failure> {
    let mut issuer = above.first().ok_or_else(no_issuer)?.subject;
    for (index, ca) in above.iter().enumerate() {
        check_issuer(issuer, ca, position(index))?;
        issuer = ca.subject;
    }
    check_issuer(issuer, leaf, Position::Leaf)
}

fn check_issuer(
    subject: &[u8],
    certificate: &Certificate<'_>,
    position: Position,
) -> Result<(), Failure> {
    if certificate.issuer == subject {
        return Ok(());
    }
    let issuer = certificate::name_text(certificate.issuer);
    Err(Failure::new(
        CheckId::ChainNames,
        format!("the {position} issued by {issuer:?}"),
    ))
}

const PROFILE: [CheckId; 5] = [
    CheckId::ChainBasicConstraints,
    CheckId::ChainPathLen,
    CheckId::ChainKeyUsage,
    CheckId::ChainLeafNotCa,
    CheckId::ChainLeafKeyUsage,
];

/// R20 for the certificates above the leaf. Self-issued certificates count as any other: AWS has
/// none below the root.
fn check_authorities(above: &[Certificate<'_>]) -> Result<(), Failure> {
    for (index, ca) in above.iter().enumerate() {
        let fail = |id, what: &str| Failure::new(id, format!("the {} {what}", position(index)));
        let path_len = match ca.basic_constraints {
            Some(BasicConstraints {
                critical: true,
                ca: true,
                path_len,
            }) => path_len,
            Some(BasicConstraints {
                critical: false, ..
            }) => {
                return Err(fail(CheckId::ChainBasicConstraints, "without critical"));
            }
            Some(_) => return Err(fail(CheckId::ChainBasicConstraints, "with CA:FALSE")),
            None => {
                return Err(fail(
                    CheckId::ChainBasicConstraints,
                    "without basicConstraints",
                ));
            }
        };
        // RFC 5280, section 4.2.1.9: how many CA certificates may follow, the leaf not counted.
        let below = above.len() - 1 - index;
        match path_len {
            None => {}
            Some(PathLen::Value(length)) if usize::from(length) >= below => {}
            Some(PathLen::Value(length)) => {
                let what = format!("with {length}, and {below} CA certificates below");
                return Err(fail(CheckId::ChainPathLen, &what));
            }
            Some(PathLen::Oversize) => return Err(fail(CheckId::ChainPathLen, "above 255")),
        }
        if !ca.key_usage.is_some_and(|usage| usage.key_cert_sign) {
            return Err(fail(CheckId::ChainKeyUsage, "without keyCertSign"));
        }
    }
    Ok(())
}

/// R20 for the leaf. Its keyUsage is not critical in practice, and basicConstraints may be absent.
fn check_leaf(leaf: &Certificate<'_>) -> Result<(), Failure> {
    if let Some(BasicConstraints {
        critical: _,
        ca,
        path_len,
    }) = leaf.basic_constraints
    {
        if ca {
            return Err(Failure::new(CheckId::ChainLeafNotCa, "CA:TRUE"));
        }
        if path_len.is_some() {
            return Err(Failure::new(
                CheckId::ChainPathLen,
                "a path length in the leaf",
            ));
        }
    }
    if !leaf.key_usage.is_some_and(|usage| usage.digital_signature) {
        return Err(Failure::new(
            CheckId::ChainLeafKeyUsage,
            "without digitalSignature",
        ));
    }
    Ok(())
}

/// What is judged anew for a chain whose structure and signatures are known.
fn judge_known<'l>(
    links: impl Iterator<Item = &'l Link> + Clone,
    at: UnixMillis,
    context: &VerificationContext,
    recorder: &mut Recorder,
    why: &'static str,
    anchor: &Anchor,
) -> Result<Validity, Failure> {
    pass_root(anchor, recorder);
    for id in certificate::CHECKS
        .into_iter()
        .chain([CheckId::ChainNames])
        .chain(PROFILE)
    {
        recorder.pass(id, why.into());
    }
    let times = links
        .clone()
        .map(|link| (link.position, link.not_before, link.not_after));
    let validity = judge_times(times, at, context.skew(), recorder)?;
    let names = links.map(|link| (link.position, &*link.issuer, &*link.serial));
    judge_denied(names, context, recorder)?;
    Ok(validity)
}

/// R18, R23, R27: every certificate, the root included, at the judging time; both ends inclusive.
fn judge_times(
    times: impl Iterator<Item = (Position, UnixMillis, UnixMillis)> + Clone,
    at: UnixMillis,
    skew: Duration,
    recorder: &mut Recorder,
) -> Result<Validity, Failure> {
    let latest_start = at.saturating_add(skew);
    let mut validity = Validity {
        not_before: UnixMillis::from_millis(0),
        not_after: UnixMillis::from_millis(u64::MAX),
    };
    for (_, not_before, not_after) in times.clone() {
        validity.not_before = validity.not_before.max(not_before);
        validity.not_after = validity.not_after.min(not_after);
    }
    if validity.not_before > latest_start {
        let early = times.filter(|(_, not_before, _)| *not_before > latest_start);
        let early =
            early.map(|(position, not_before, _)| format!("the {position} begins {not_before}"));
        return Err(Failure::new(CheckId::ChainNotYetValid, list(early, at)));
    }
    recorder.pass(CheckId::ChainNotYetValid, validity.not_before.into());
    if validity.not_after < at {
        let late = times.filter(|(_, _, not_after)| *not_after < at);
        let late = late.map(|(position, _, not_after)| format!("the {position} ended {not_after}"));
        return Err(Failure::new(CheckId::ChainExpired, list(late, at)));
    }
    recorder.pass(CheckId::ChainExpired, validity.not_after.into());
    Ok(validity)
}

fn list(parts: impl Iterator<Item = String>, at: UnixMillis) -> String {
    let parts: Vec<String> = parts.collect();
    format!("{} (judged at {at})", parts.join(", "))
}

/// R24.
fn judge_denied<'n>(
    names: impl Iterator<Item = (Position, &'n [u8], &'n [u8])>,
    context: &VerificationContext,
    recorder: &mut Recorder,
) -> Result<(), Failure> {
    for (position, issuer, serial) in names {
        if context.deny_list.denies(issuer, serial) {
            return Err(Failure::new(
                CheckId::ChainDenied,
                format!("the {position}"),
            ));
        }
    }
    if context.deny_list.is_empty() {
        recorder.not_applicable(CheckId::ChainDenied, "an empty deny-list");
    } else {
        recorder.pass(CheckId::ChainDenied, Detail::NONE);
    }
    Ok(())
}

fn position(index: usize) -> Position {
    if index == 0 {
        Position::Root
    } else {
        Position::Intermediate(index)
    }
}

/// Parsing refuses an empty `cabundle` (R17); this keeps that true without a panic.
fn no_issuer() -> Failure {
    Failure::new(CheckId::PayloadCabundleCount, Detail::number(0_u64))
}
