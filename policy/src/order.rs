//! Orders: who may do what to which enclaves, from when to when, how often.
//!
//! A *read order* covers a set of read actions for a shift of up to 12 hours, a *write order* one
//! change to one boot of one enclave. Both are TOML files signed by the requester in the namespace
//! `order@narthex`; a write order carries approvals (`approve@narthex`) over the same bytes.

use core::time::Duration;
use std::collections::BTreeSet;

use serde::Deserialize;
use toml::value::Datetime;

use crate::action::Action;
use crate::call::Parameters;
use crate::digest::BootId;
use crate::file::{limits, parse_toml};
use crate::names::{NamePattern, PersonName, ProjectName};
use crate::reason::{Reason, Refusal};
use crate::time::{UnixMillis, format_duration};

/// `schema` of a read order.
pub const READ_ORDER_SCHEMA: &str = "narthex/read-order/v1";
/// `schema` of a write order.
pub const WRITE_ORDER_SCHEMA: &str = "narthex/write-order/v1";

/// Longest time between `not_before` and `expires` of a read order: one shift.
pub const MAX_READ_ORDER_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Longest time between `issued` and `expires` of a write order: the delay and the wait for
/// approvals must fit, a forgotten order must not.
pub const MAX_WRITE_ORDER_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Most calls under one read order, per enclave and boot.
pub const MAX_CALLS: u64 = 10_000;
/// Most enclaves, or patterns of them, one read order may name.
pub const MAX_TARGETS: usize = 256;
/// Longest module or instance id, in bytes.
const MAX_ID_BYTES: usize = 128;

/// A signed order as it arrives at the agent or the key service. Says nothing about trust.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedOrder {
    /// The order file, exactly as signed.
    pub bytes: Vec<u8>,
    /// The requester's armoured signature, namespace `order@narthex`.
    pub signature: String,
    /// Armoured approvals over the same bytes, namespace `approve@narthex`.
    pub approvals: Vec<String>,
}

/// A diagnostics order. Says nothing about trust until authorised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// Read actions for a shift.
    Read(ReadOrder),
    /// One change.
    Write(WriteOrder),
}

/// The fields both kinds share.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OrderHead {
    /// The project whose policy the order is made under.
    pub project: ProjectName,
    /// 16 random bytes, so that no two orders have one digest.
    pub nonce: [u8; 16],
    /// Who asks, and signs.
    pub requester: PersonName,
    /// When the order was written, by the requester's word.
    pub issued: UnixMillis,
    /// First moment of use.
    pub not_before: UnixMillis,
    /// First moment at which it is of no use any more.
    pub expires: UnixMillis,
}

/// Read actions for a shift.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadOrder {
    /// The shared fields.
    pub head: OrderHead,
    /// The actions allowed, all of them read actions.
    pub actions: Vec<Action>,
    /// Calls allowed per enclave and boot: counters run from 0 to one below this.
    pub calls: u64,
    /// Which enclaves; one match suffices.
    pub targets: Targets,
}

/// The enclaves a read order is for. At least one list has an entry.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Targets {
    /// Enclaves by `module_id`.
    pub module_ids: Vec<String>,
    /// All enclaves of these parent instances.
    pub instance_ids: Vec<String>,
    /// All enclaves whose measurements the policy knows under such a release name.
    pub releases: Vec<NamePattern>,
}

/// One change to one boot of one enclave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WriteOrder {
    /// The shared fields.
    pub head: OrderHead,
    /// The action, a write action.
    pub action: Action,
    /// Its parameters; a call must repeat them.
    pub parameters: Parameters,
    /// The enclave's `module_id`.
    pub module_id: String,
    /// The boot id of the agent, from its session statement.
    pub boot_id: BootId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadOrderText {
    #[serde(rename = "schema")]
    _schema: String,
    project: String,
    nonce: String,
    requester: String,
    issued: Datetime,
    not_before: Option<Datetime>,
    expires: Datetime,
    actions: Vec<String>,
    calls: u64,
    #[serde(default)]
    module_ids: Vec<String>,
    #[serde(default)]
    instance_ids: Vec<String>,
    #[serde(default)]
    releases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteOrderText {
    #[serde(rename = "schema")]
    _schema: String,
    project: String,
    nonce: String,
    requester: String,
    issued: Datetime,
    not_before: Option<Datetime>,
    expires: Datetime,
    action: String,
    grace_seconds: Option<u16>,
    module_id: String,
    boot_id: String,
}

/// The head of any order, still text.
pub(crate) struct HeadText<'t> {
    pub(crate) project: &'t str,
    pub(crate) nonce: &'t str,
    pub(crate) requester: &'t str,
    pub(crate) issued: &'t Datetime,
    pub(crate) not_before: Option<&'t Datetime>,
    pub(crate) expires: &'t Datetime,
}

impl Order {
    /// Reads an order of either kind and checks every rule that needs no policy: bounds, lifetime,
    /// kinds of actions, parameters. This says nothing about who signed it.
    ///
    /// # Errors
    ///
    /// `file.*`, `time.*`, `name.*`, `hex.*`, [`Reason::OrderLifetime`], [`Reason::OrderContent`],
    /// [`Reason::OrderParameters`].
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, Refusal> {
        match parse_toml::<ReadOrderText>(bytes, limits::MAX_ORDER_BYTES, READ_ORDER_SCHEMA) {
            Ok(text) => ReadOrder::from_text(&text).map(Self::Read),
            Err(refusal) if refusal.reason() == Reason::FileSchema => {
                let text: WriteOrderText =
                    parse_toml(bytes, limits::MAX_ORDER_BYTES, WRITE_ORDER_SCHEMA)?;
                WriteOrder::from_text(&text).map(Self::Write)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes the order as the TOML that [`Order::parse_unverified`] reads; this is what gets
    /// signed.
    pub fn to_toml(&self) -> String {
        match self {
            Self::Read(order) => order.to_toml(),
            Self::Write(order) => order.to_toml(),
        }
    }

    /// The fields both kinds share.
    pub fn head(&self) -> &OrderHead {
        match self {
            Self::Read(order) => &order.head,
            Self::Write(order) => &order.head,
        }
    }
}

impl OrderHead {
    pub(crate) fn from_text(text: &HeadText<'_>) -> Result<Self, Refusal> {
        let HeadText {
            project,
            nonce,
            requester,
            issued,
            not_before,
            expires,
        } = text;
        let issued = UnixMillis::from_toml(issued)?;
        let head = Self {
            project: ProjectName::new(project)?,
            nonce: *BootId::from_hex(nonce)?.as_bytes(),
            requester: PersonName::new(requester)?,
            issued,
            not_before: not_before.map_or(Ok(issued), UnixMillis::from_toml)?,
            expires: UnixMillis::from_toml(expires)?,
        };
        if head.not_before < head.issued || head.expires <= head.not_before {
            return Err(Refusal::new(
                Reason::OrderLifetime,
                "issued, not_before and expires follow each other in this order",
            ));
        }
        Ok(head)
    }

    /// Refuses a life, counted from `from`, above `longest`.
    pub(crate) fn check_lifetime(
        &self,
        from: UnixMillis,
        longest: Duration,
    ) -> Result<(), Refusal> {
        let lifetime = self.expires.since(from);
        if lifetime > longest {
            return Err(Refusal::new(
                Reason::OrderLifetime,
                format!(
                    "valid for {}, at most {}",
                    format_duration(lifetime),
                    format_duration(longest)
                ),
            ));
        }
        Ok(())
    }

    /// The head's lines, after the schema's.
    pub(crate) fn to_toml(&self) -> String {
        let Self {
            project,
            nonce,
            requester,
            issued,
            not_before,
            expires,
        } = self;
        format!(
            "project = \"{project}\"\nnonce = \"{}\"\nrequester = \"{requester}\"\n\
             issued = {issued}\nnot_before = {not_before}\nexpires = {expires}\n",
            hex::encode(nonce)
        )
    }
}

impl ReadOrder {
    fn from_text(text: &ReadOrderText) -> Result<Self, Refusal> {
        let ReadOrderText {
            _schema,
            project,
            nonce,
            requester,
            issued,
            not_before,
            expires,
            actions,
            calls,
            module_ids,
            instance_ids,
            releases,
        } = text;
        let head = OrderHead::from_text(&HeadText {
            project,
            nonce,
            requester,
            issued,
            not_before: not_before.as_ref(),
            expires,
        })?;
        head.check_lifetime(head.not_before, MAX_READ_ORDER_LIFETIME)?;
        let actions: Vec<Action> = actions
            .iter()
            .map(|name| Action::parse(name))
            .collect::<Result<_, _>>()?;
        let targets = Targets::from_text(module_ids, instance_ids, releases)?;
        let distinct: BTreeSet<_> = actions.iter().collect();
        if actions.is_empty() || distinct.len() != actions.len() {
            return Err(content("names no action, or one twice"));
        }
        if let Some(action) = actions.iter().find(|action| action.is_write()) {
            return Err(content(format!(
                "{action} changes something: it needs a write order"
            )));
        }
        if !(1..=MAX_CALLS).contains(calls) {
            return Err(content(format!("calls is between 1 and {MAX_CALLS}")));
        }
        Ok(Self {
            head,
            actions,
            calls: *calls,
            targets,
        })
    }

    fn to_toml(&self) -> String {
        let Self {
            head,
            actions,
            calls,
            targets,
        } = self;
        let Targets {
            module_ids,
            instance_ids,
            releases,
        } = targets;
        let mut text = format!("schema = \"{READ_ORDER_SCHEMA}\"\n{}\n", head.to_toml());
        text.push_str(&list("actions", actions));
        text.push_str(&format!("calls = {calls}\n"));
        for line in [
            list("module_ids", module_ids),
            list("instance_ids", instance_ids),
            list("releases", releases),
        ] {
            text.push_str(&line);
        }
        text
    }
}

impl Targets {
    fn from_text(
        module_ids: &[String],
        instance_ids: &[String],
        releases: &[String],
    ) -> Result<Self, Refusal> {
        let count = module_ids.len() + instance_ids.len() + releases.len();
        if !(1..=MAX_TARGETS).contains(&count) {
            return Err(content(format!(
                "between 1 and {MAX_TARGETS} module_ids, instance_ids and releases"
            )));
        }
        let ids = |ids: &[String]| {
            ids.iter()
                .map(|id| enclave_id(id))
                .collect::<Result<_, _>>()
        };
        Ok(Self {
            module_ids: ids(module_ids)?,
            instance_ids: ids(instance_ids)?,
            releases: releases
                .iter()
                .map(|name| NamePattern::new(name))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl WriteOrder {
    fn from_text(text: &WriteOrderText) -> Result<Self, Refusal> {
        let WriteOrderText {
            _schema,
            project,
            nonce,
            requester,
            issued,
            not_before,
            expires,
            action,
            grace_seconds,
            module_id,
            boot_id,
        } = text;
        let head = OrderHead::from_text(&HeadText {
            project,
            nonce,
            requester,
            issued,
            not_before: not_before.as_ref(),
            expires,
        })?;
        head.check_lifetime(head.issued, MAX_WRITE_ORDER_LIFETIME)?;
        let action = Action::parse(action)?;
        if !action.is_write() {
            return Err(content(format!(
                "{action} only looks: it belongs in a read order"
            )));
        }
        let parameters = grace_seconds.map_or(Parameters::None, Parameters::GraceSeconds);
        if !parameters.fit(action) {
            return Err(Refusal::new(
                Reason::OrderParameters,
                format!("{action} does not take {parameters:?}"),
            ));
        }
        Ok(Self {
            head,
            action,
            parameters,
            module_id: enclave_id(module_id)?,
            boot_id: BootId::from_hex(boot_id)?,
        })
    }

    fn to_toml(&self) -> String {
        let Self {
            head,
            action,
            parameters,
            module_id,
            boot_id,
        } = self;
        let grace = match parameters {
            Parameters::GraceSeconds(seconds) => format!("grace_seconds = {seconds}\n"),
            Parameters::None | Parameters::Nonce(_) => String::new(),
        };
        format!(
            "schema = \"{WRITE_ORDER_SCHEMA}\"\n{}\naction = \"{action}\"\n{grace}\
             module_id = \"{module_id}\"\nboot_id = \"{boot_id}\"\n",
            head.to_toml()
        )
    }
}

/// A module or instance id: the alphabet of AWS's, with room.
fn enclave_id(text: &str) -> Result<String, Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || text.len() > MAX_ID_BYTES || !text.bytes().all(plain) {
        return Err(Refusal::new(
            Reason::NameMalformed,
            format!("{text:?} is not a module or instance id"),
        ));
    }
    Ok(text.to_owned())
}

/// A line with a list of quoted items, or nothing. The items' alphabets need no escapes.
fn list<T: core::fmt::Display>(field: &str, items: &[T]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("{field} = [{}]\n", items.join(", "))
}

fn content(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::OrderContent, detail)
}
