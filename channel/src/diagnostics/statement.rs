//! What an agent states about itself at the start of a session.

use core::fmt;

use super::LogCheck;
use crate::closed::closed;
use crate::codec::{Message, MessageError, Reader, Writer};
use crate::digest::Digest384;
use crate::limits::MAX_STATEMENT_BYTES;
use crate::name::ModuleId;
use crate::time::UnixMillis;

/// What an agent states about itself. Its encoding is what the document of a diagnostics session
/// binds, and it travels in every key request.
///
/// ```text
/// [1, module_id: tstr, boot_id: bstr .size 16, agent_version: [major, minor, patch],
///  boot_bundle: bstr .size 48, bundle_in_force: [bstr .size 48, version: uint],
///  release: uint, log_check: uint, decisions: [accepted: uint, refused: uint],
///  chain_head: bstr .size 48, now: uint]
/// ```
///
/// It is the agent's word: as good as the document that binds it, and no better. What PCRs prove
/// must be read from the PCRs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionStatement {
    /// The NSM's module id, as in the document.
    pub module_id: ModuleId,
    /// Sixteen random bytes drawn at boot.
    pub boot_id: BootId,
    /// Version of the agent.
    pub agent_version: AgentVersion,
    /// SHA-384 of the bundle that was extended into PCR16 at boot.
    pub boot_bundle: Digest384,
    /// The bundle in force now.
    pub bundle_in_force: BundleInForce,
    /// What the policy in force says of the release that is running.
    pub release: ReleaseState,
    /// Whether the agent checks the log before it acts.
    pub log_check: LogCheck,
    /// How much the agent decided since boot.
    pub decisions: Decisions,
    /// Head of the hash chain of all these decisions; [`Digest384::ZERO`] before the first.
    pub chain_head: Digest384,
    /// The agent's trusted time when the statement was made.
    pub now: UnixMillis,
}

impl SessionStatement {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

/// Sixteen random bytes that name one boot of one enclave.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BootId(pub [u8; 16]);

impl fmt::Display for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BootId({self})")
    }
}

/// The version of an agent, as numbers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AgentVersion {
    /// Changes when others must change with it.
    pub major: u16,
    /// Changes when something is added.
    pub minor: u16,
    /// Changes when something is mended.
    pub patch: u16,
}

impl fmt::Display for AgentVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            major,
            minor,
            patch,
        } = self;
        write!(formatter, "{major}.{minor}.{patch}")
    }
}

/// The policy bundle in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BundleInForce {
    /// SHA-384 of the bundle's bytes.
    pub digest: Digest384,
    /// The version that it states.
    pub version: u64,
}

/// How many decisions an agent made since boot: about calls and sessions, about policy files, and what became
/// of keys, release and gate. Each is one link of the chain, so this says how long the chain is, not how many
/// calls there were.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Decisions {
    /// Accepted.
    pub accepted: u64,
    /// Refused.
    pub refused: u64,
}

closed! {
    /// What the policy in force says of the release that is running.
    pub enum ReleaseState {
        /// The agent knows no release statement for it.
        Unknown = 0, "unknown";
        /// It is current.
        Current = 1, "current";
        /// It is a previous one, still accepted.
        Previous = 2, "previous";
        /// It is revoked.
        Revoked = 3, "revoked";
        /// Its statement has expired.
        Expired = 4, "expired";
    }
}

impl Message for SessionStatement {
    const MAX_BYTES: usize = MAX_STATEMENT_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            module_id,
            boot_id,
            agent_version,
            boot_bundle,
            bundle_in_force,
            release,
            log_check,
            decisions,
            chain_head,
            now,
        } = self;
        writer.array(11);
        writer.number(Self::VERSION);
        writer.text(module_id.as_str());
        writer.fixed(&boot_id.0);
        writer.array(3);
        writer.number(agent_version.major);
        writer.number(agent_version.minor);
        writer.number(agent_version.patch);
        writer.fixed(boot_bundle.as_ref());
        writer.array(2);
        writer.fixed(bundle_in_force.digest.as_ref());
        writer.number(bundle_in_force.version);
        writer.number(release.code());
        writer.number(log_check.code());
        writer.array(2);
        writer.number(decisions.accepted);
        writer.number(decisions.refused);
        writer.fixed(chain_head.as_ref());
        writer.number(now.0);
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("session statement", 11, Self::VERSION)?;
        let module_id = ModuleId::new(reader.text(ModuleId::PART)?)?;
        let boot_id = BootId(reader.fixed("boot id")?);
        reader.array("agent version", 3)?;
        let agent_version = AgentVersion {
            major: reader.u16("agent version")?,
            minor: reader.u16("agent version")?,
            patch: reader.u16("agent version")?,
        };
        let boot_bundle = reader.digest("boot bundle")?;
        reader.array("bundle in force", 2)?;
        let bundle_in_force = BundleInForce {
            digest: reader.digest("bundle in force")?,
            version: reader.u64("bundle in force")?,
        };
        let release = reader.code("release state", ReleaseState::from_code)?;
        let log_check = reader.code("log check", LogCheck::from_code)?;
        reader.array("decisions", 2)?;
        let decisions = Decisions {
            accepted: reader.u64("decisions")?,
            refused: reader.u64("decisions")?,
        };
        let chain_head = reader.digest("chain head")?;
        let now = UnixMillis(reader.u64("now")?);
        Ok(Self {
            module_id,
            boot_id,
            agent_version,
            boot_bundle,
            bundle_in_force,
            release,
            log_check,
            decisions,
            chain_head,
            now,
        })
    }
}
