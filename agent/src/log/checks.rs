//! The three proofs, checked against the log of one bundle.

use std::time::Duration;

use narthex_channel::keys::SealedKey;
use narthex_channel::{HandshakeHash, ModuleId, UnixMillis};
use narthex_ledger::{
    BootId, CurrentEntry, CurrentExtra, Digest384, LogError, LogReason, OrderEntry, OrderExtra,
    OrderFacts, OrderScope, PersonId, Proof, ReleaseEntry, ReleaseExtra, ReleaseFacts, ReleasedKey,
    SessionHash, Trust, TrustedCheckpoint, VerifierKey, leaf_hash, verify_inclusion,
};
use narthex_policy::{Bundle, Order, OrderHead, Policy, ReadOrder, SignedOrder, WriteOrder};

/// How long ago the quorum may have seen that a bundle is the one in force.
pub const MAX_CURRENCY_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How far clocks of witnesses, of the service and of whoever writes an order may lie beside trusted time.
pub const MAX_SKEW: Duration = Duration::from_secs(60);

/// The log of one bundle: its key, its witnesses, and what else is needed to write its entries.
pub struct LogChecks {
    trust: Trust,
    quorum: usize,
    salt: [u8; 32],
    release_waits_for_quorum: bool,
}

/// What a proof that holds tells about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTime {
    /// The moment that counts: for a bundle the last at which the quorum saw it in force, for an order the first at
    /// which the quorum had seen it. The log's own time where the bundle wants no witnesses, or keys do not wait
    /// for them.
    pub at: UnixMillis,
    /// A moment at which a quorum signed: it is not earlier than that.
    pub floor: Option<UnixMillis>,
}

/// A release of keys, as the enclave knows it.
pub struct ReleasedKeys<'a> {
    /// Which enclave this is.
    pub module_id: &'a ModuleId,
    /// The session in which it asked.
    pub handshake_hash: &'a HandshakeHash,
    /// The attestation document, exactly as sent.
    pub document: &'a [u8],
    /// The request, exactly as sent.
    pub request: &'a [u8],
    /// The keys, as they came.
    pub keys: &'a [SealedKey],
}

/// A proof whose checkpoint is signed by the log and, where it must be, cosigned. What it proves is still open.
struct Opened {
    proof: Proof,
    trusted: TrustedCheckpoint,
    /// What the proof adds; nobody vouches for it before the entry is found.
    extra: Vec<u8>,
}

/// The proof that came with a call, signatures checked, before its order was looked at. Only
/// [`LogChecks::open_order`] makes it.
pub struct OrderProof {
    opened: Opened,
    seen: LogTime,
}

impl OrderProof {
    /// When the order was logged, if this proves to be its proof.
    pub fn logged(&self) -> UnixMillis {
        self.seen.at
    }
}

impl LogChecks {
    /// The log of `bundle`.
    ///
    /// # Errors
    ///
    /// [`LogReason::Policy`] for a bundle without `[ledger]`, or with one that cannot be used.
    pub fn of(bundle: &Bundle) -> Result<Self, LogReason> {
        let ledger = bundle.ledger.as_ref().ok_or(LogReason::Policy)?;
        let key = |key: &narthex_policy::VerifierKey| VerifierKey::parse(key.as_str());
        let trust = || -> Result<Trust, LogError> {
            let witnesses = ledger.witnesses.iter().map(key).collect::<Result<_, _>>()?;
            Trust::new(key(&ledger.log)?, witnesses, ledger.quorum)
        };
        Ok(Self {
            trust: trust().map_err(|_| LogReason::Policy)?,
            quorum: ledger.quorum,
            salt: ledger.salt.0,
            release_waits_for_quorum: ledger.release_waits_for_quorum,
        })
    }

    /// Checks that the log names the policy's bundle as the one in force: its entry is the last of a tree that the
    /// quorum signed within [`MAX_CURRENCY_AGE`]. `others` are bundles that the proof could be about instead; to know
    /// them helps to say what is wrong, and nothing else.
    ///
    /// # Errors
    ///
    /// [`LogReason::ProofMissing`], `Malformed`, `Signature`, `Origin`, `Quorum`, `Entry`, `Inclusion`,
    /// `NotCurrent`, `NotLast`, `Future`, `Stale`.
    pub fn check_currency(
        &self,
        proof: Option<&[u8]>,
        policy: &Policy,
        others: &[narthex_policy::Digest384],
        now: UnixMillis,
    ) -> Result<LogTime, LogReason> {
        let opened = self.open(proof, true)?;
        let time = CurrentExtra::from_bytes(&opened.extra)
            .map_err(reason)?
            .time;
        let names = |bundle: &narthex_policy::Digest384, version: u64| {
            let leaf = CurrentEntry::accepted_leaf(&Digest384(bundle.0), version, &opened.extra);
            opened.proves(&leaf.map_err(reason)?)
        };
        if let Err(refusal) = names(policy.digest(), policy.version()) {
            let other = others.iter().any(|other| {
                let version = policy.version_of(other);
                version.is_some_and(|version| names(other, version).is_ok())
            });
            return Err(if other {
                LogReason::NotCurrent
            } else {
                refusal
            });
        }
        if opened.proof.index.checked_add(1) != Some(opened.trusted.checkpoint().size) {
            return Err(LogReason::NotLast);
        }
        let floor = self.witnessed(&opened.trusted)?;
        let at = floor.unwrap_or(UnixMillis(time));
        not_in_the_future(at, now)?;
        if at.0.saturating_add(millis(MAX_CURRENCY_AGE)) < now.0 {
            return Err(LogReason::Stale);
        }
        Ok(LogTime { at, floor })
    }

    /// Checks the signatures of a proof that came with a call, and when they were made.
    ///
    /// # Errors
    ///
    /// [`LogReason::ProofMissing`], `Malformed`, `Signature`, `Origin`, `Quorum`, `Entry`, `Future`.
    pub fn open_order(
        &self,
        proof: Option<&[u8]>,
        now: UnixMillis,
    ) -> Result<OrderProof, LogReason> {
        let opened = self.open(proof, true)?;
        let time = OrderExtra::from_bytes(&opened.extra).map_err(reason)?.time;
        let floor = self.witnessed(&opened.trusted)?;
        let at = match opened.trusted.seen_at() {
            Some(seconds) if self.quorum > 0 => from_seconds(seconds),
            Some(_) | None => UnixMillis(time),
        };
        not_in_the_future(at, now)?;
        // The order was seen in time; cosignatures that came later, as they say much later, teach nothing.
        let floor = floor.filter(|floor| not_in_the_future(*floor, now).is_ok());
        let seen = LogTime { at, floor };
        Ok(OrderProof { opened, seen })
    }

    /// Checks that exactly this order is in the log as accepted, and was not before it was issued. Call it for an
    /// order whose signature holds.
    ///
    /// # Errors
    ///
    /// [`LogReason::Inclusion`], `Entry`, `Evidence`, `Stale`.
    pub fn check_order(
        &self,
        proof: OrderProof,
        order: &SignedOrder,
    ) -> Result<LogTime, LogReason> {
        let SignedOrder {
            bytes,
            signature,
            approvals,
        } = order;
        let order = Order::parse_unverified(bytes).map_err(|_| LogReason::Entry)?;
        let OrderHead {
            requester, issued, ..
        } = order.head();
        let facts = OrderFacts {
            order: bytes,
            signature: signature.as_bytes(),
            approvals,
            requester: PersonId::of(&self.salt, requester.as_str()),
            scope: scope(&order),
        };
        let OrderProof { opened, seen } = proof;
        let leaf = OrderEntry::accepted_leaf(&facts, &opened.extra).map_err(reason)?;
        opened.proves(&leaf)?;
        if seen.at.0.saturating_add(millis(MAX_SKEW)) < issued.0 {
            return Err(LogReason::Stale);
        }
        Ok(seen)
    }

    /// Checks that exactly these keys were released to this enclave in this session. With
    /// `release_waits_for_quorum = false` in the bundle the log's own signature is enough.
    ///
    /// # Errors
    ///
    /// [`LogReason::ProofMissing`], `Malformed`, `Signature`, `Origin`, `Quorum`, `Entry`, `Evidence`,
    /// `Inclusion`, `Future`.
    pub fn check_release(
        &self,
        proof: Option<&[u8]>,
        released: &ReleasedKeys<'_>,
        now: UnixMillis,
    ) -> Result<LogTime, LogReason> {
        let ReleasedKeys {
            module_id,
            handshake_hash,
            document,
            request,
            keys,
        } = released;
        let opened = self.open(proof, self.release_waits_for_quorum)?;
        let time = ReleaseExtra::from_bytes(&opened.extra)
            .map_err(reason)?
            .time;
        let keys: Vec<ReleasedKey> = keys.iter().map(released_key).collect();
        let facts = ReleaseFacts {
            enclave: module_id.as_str(),
            session: SessionHash(*handshake_hash.as_bytes()),
            document,
            request,
            keys: &keys,
        };
        let leaf = ReleaseEntry::accepted_leaf(&facts, &opened.extra).map_err(reason)?;
        opened.proves(&leaf)?;
        let floor = if self.release_waits_for_quorum {
            self.witnessed(&opened.trusted)?
        } else {
            None
        };
        let at = floor.unwrap_or(UnixMillis(time));
        not_in_the_future(at, now)?;
        Ok(LogTime { at, floor })
    }

    /// Reads a proof and checks the signatures of its checkpoint, witnesses included if `quorum` says so.
    fn open(&self, proof: Option<&[u8]>, quorum: bool) -> Result<Opened, LogReason> {
        let proof = proof.ok_or(LogReason::ProofMissing)?;
        let proof = core::str::from_utf8(proof).map_err(|_| LogReason::Malformed)?;
        let mut proof = Proof::parse(proof).map_err(reason)?;
        // Without it no entry can be written down.
        let extra = proof.extra.take().ok_or(LogReason::Entry)?;
        let trusted = if quorum {
            self.trust.check(&proof.checkpoint)
        } else {
            self.trust.check_log_only(&proof.checkpoint)
        };
        Ok(Opened {
            proof,
            trusted: trusted.map_err(reason)?,
            extra,
        })
    }

    /// The last moment at which a quorum signed, if there must be one.
    fn witnessed(&self, trusted: &TrustedCheckpoint) -> Result<Option<UnixMillis>, LogReason> {
        if self.quorum == 0 {
            return Ok(None);
        }
        // `Trust::check` has counted the quorum: it is there.
        let fresh = trusted.fresh_at().ok_or(LogReason::Quorum)?;
        Ok(Some(from_seconds(fresh)))
    }
}

impl Opened {
    /// Whether `leaf` is the entry of this proof.
    fn proves(&self, leaf: &[u8]) -> Result<(), LogReason> {
        let head = self.trusted.checkpoint();
        let Proof { index, hashes, .. } = &self.proof;
        verify_inclusion(*index, head.size, &leaf_hash(leaf), hashes, &head.root).map_err(reason)
    }
}

fn scope(order: &Order) -> OrderScope {
    match order {
        Order::Read(ReadOrder { actions, .. }) => OrderScope::Read {
            actions: actions
                .iter()
                .map(|action| action.name().to_owned())
                .collect(),
        },
        Order::Write(WriteOrder {
            action,
            module_id,
            boot_id,
            ..
        }) => OrderScope::Write {
            action: action.name().to_owned(),
            enclave: module_id.clone(),
            boot: BootId(boot_id.0),
        },
    }
}

fn released_key(key: &SealedKey) -> ReleasedKey {
    let SealedKey {
        name,
        version,
        commitment,
        ..
    } = key;
    ReleasedKey {
        name: name.as_str().to_owned(),
        version: *version,
        commitment: Digest384(*commitment.as_bytes()),
    }
}

/// Refuses a time that no clock in good order shows yet.
fn not_in_the_future(at: UnixMillis, now: UnixMillis) -> Result<(), LogReason> {
    if at.0 > now.0.saturating_add(millis(MAX_SKEW)) {
        return Err(LogReason::Future);
    }
    Ok(())
}

fn from_seconds(seconds: u64) -> UnixMillis {
    UnixMillis(seconds.saturating_mul(1000))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The words of a [`LogError`] quote what was judged; they stay here.
fn reason(error: LogError) -> LogReason {
    error.reason()
}
