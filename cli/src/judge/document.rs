//! What stands in a document, for people and for programs.

use narthex_verifier::{CertificateSummary, Fields, Parsed};
use serde_json::{Map, Value, json};

use crate::moment::duration_text;
use crate::printable::printable;
use crate::table::Table;

/// A parsed document to show. Showing says nothing about trust.
pub(crate) struct Document<'a> {
    fields: Fields<'a>,
    certificates: Vec<CertificateSummary>,
}

impl<'a> From<&'a Parsed<'_>> for Document<'a> {
    fn from(parsed: &'a Parsed<'_>) -> Self {
        Self {
            fields: parsed.fields(),
            certificates: parsed.certificate_summaries(),
        }
    }
}

impl Document<'_> {
    /// Everything, bytes in hex.
    pub(crate) fn to_json(&self) -> Value {
        let fields = &self.fields;
        let pcrs: Map<String, Value> = fields
            .pcrs()
            .map(|(index, value)| (index.as_u8().to_string(), json!(hex::encode(value))))
            .collect();
        let bytes = |value: Option<&[u8]>| value.map(hex::encode);
        json!({
            "kind": fields.kind().id(),
            "module_id": fields.module_id(),
            "instance_id": fields.instance_id(),
            "digest": "SHA384",
            "timestamp": fields.timestamp().to_string(),
            "timestamp_ms": fields.timestamp().as_millis(),
            "debug_mode": self.is_debug(),
            "pcrs": pcrs,
            "public_key": bytes(fields.public_key()),
            "user_data": bytes(fields.user_data()),
            "nonce": bytes(fields.nonce()),
            "certificates": self.certificates.iter().map(certificate_json).collect::<Vec<_>>(),
        })
    }

    /// Fields, registers with their meaning, and the chain.
    pub(crate) fn text(&self, judged_at_millis: u64) -> String {
        let fields = &self.fields;
        let mut text = String::from("\nDocument\n");
        let mut table = Table::indented(2);
        table.row(["kind", fields.kind().id()]);
        table.row(["enclave", &printable(fields.module_id())]);
        table.row([
            "parent instance",
            fields.instance_id().unwrap_or("not in the module id"),
        ]);
        table.row(["made at", &self.made_at(judged_at_millis)]);
        table.row(["nonce", &bytes_text(fields.nonce())]);
        table.row(["user data", &bytes_text(fields.user_data())]);
        table.row(["public key", &bytes_text(fields.public_key())]);
        text.push_str(&table.text());
        text.push_str("\nRegisters\n");
        text.push_str(&self.registers());
        if self.is_debug() {
            text.push_str(
                "  DEBUG MODE: PCR0, 1 and 2 are zero, so the parent could read the enclave's console\n",
            );
        }
        text.push_str("\nChain, as the document carries it\n");
        text.push_str(&self.chain());
        text
    }

    /// All registers that are not zero; zero ones are one line.
    fn registers(&self) -> String {
        let mut table = Table::indented(2);
        let mut zero = Vec::new();
        for (index, value) in self.fields.pcrs() {
            let index = index.as_u8();
            match value.iter().all(|byte| *byte == 0) && index > 2 {
                true => zero.push(index.to_string()),
                false => {
                    let name = format!("PCR{index}");
                    table.row([&name, &hex::encode(value), meaning(index)]);
                }
            }
        }
        let mut text = table.text();
        if !zero.is_empty() {
            text.push_str(&format!("  zero: {}\n", zero.join(", ")));
        }
        text
    }

    fn chain(&self) -> String {
        let mut table = Table::indented(2);
        for certificate in &self.certificates {
            let validity = format!("{} to {}", certificate.not_before, certificate.not_after);
            table.row([
                &certificate.position.to_string(),
                &validity,
                &printable(&certificate.subject),
            ]);
        }
        table.text()
    }

    fn made_at(&self, judged_at_millis: u64) -> String {
        let made = self.fields.timestamp();
        let distance = match judged_at_millis.checked_sub(made.as_millis()) {
            Some(0) => return made.to_string(),
            Some(age) => format!("{} before", duration_text(age)),
            None => {
                let ahead = made.as_millis().saturating_sub(judged_at_millis);
                format!("{} after", duration_text(ahead))
            }
        };
        format!("{made} ({distance} the time judged at)")
    }

    /// AWS: in debug mode the image's registers are zero.
    fn is_debug(&self) -> bool {
        let mut image = self
            .fields
            .pcrs()
            .filter(|(index, _)| index.as_u8() <= 2)
            .peekable();
        image.peek().is_some() && image.all(|(_, value)| value.iter().all(|byte| *byte == 0))
    }
}

fn certificate_json(certificate: &CertificateSummary) -> Value {
    json!({
        "position": certificate.position.to_string(),
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "not_before": certificate.not_before.to_string(),
        "not_after": certificate.not_after.to_string(),
        "sha256": hex::encode(certificate.sha256),
    })
}

/// AWS's list, and what Narthex adds.
fn meaning(index: u8) -> &'static str {
    match index {
        0 => "the whole image",
        1 => "kernel and boot ramdisk",
        2 => "application",
        3 => "IAM role of the parent instance",
        4 => "id of the parent instance",
        8 => "certificate that signed the image",
        16 => "policy bundle, if Narthex's agent runs there",
        _ => "",
    }
}

/// Short values whole, long ones by their beginning; `--json` has them all.
fn bytes_text(bytes: Option<&[u8]>) -> String {
    const SHOWN: usize = 48;
    match bytes {
        None => "none".to_owned(),
        Some([]) => "empty".to_owned(),
        Some(bytes) => {
            let shown = hex::encode(bytes.get(..SHOWN).unwrap_or(bytes));
            let more = if bytes.len() > SHOWN { "…" } else { "" };
            format!("{} bytes: {shown}{more}", bytes.len())
        }
    }
}
