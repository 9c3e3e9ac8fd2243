//! `measure`: an image's registers, alone or beside those of a release.

use narthex_policy::{Measurements, Pcr, Refusal, Release, UnixMillis};
use serde_json::{Value, json};

use super::describe;
use super::file::{check, policy_measurements, read_image};
use crate::commands::measure::Arguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::judge::choose_release;
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::table::Table;

/// `narthex measure`.
pub(crate) fn measure(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    let bytes = read_image(&arguments.file)?;
    let checked = check(&arguments.file, &bytes)?;
    let (Some(directory), Some(name)) = (&arguments.expect, &arguments.release) else {
        let value = describe::describe(&checked);
        // JSON with and without --json: as `nitro-cli` does.
        output.result(&value, || format!("{value:#}\n"))?;
        return Ok(Exit::Done);
    };
    let now = match arguments.at {
        Some(at) => UnixMillis(at),
        None => UnixMillis(now_unix_millis()?),
    };
    let held = HeldPolicy::load_and_tell(directory, arguments.genesis.as_deref(), now, output)?;
    held.require_unexpired(now)?;
    let measured = policy_measurements(&checked.measurements);
    let release = choose_release(&held, name, |wanted| wanted.met_by(&measured))?;
    let comparison = Comparison {
        rows: rows(&release.measurements, &measured),
        not_in_force: held.policy.release_for(&release.measurements, now).err(),
        release,
    };
    output.result(&comparison.to_json(), || comparison.text())?;
    Ok(match comparison.reason() {
        None => Exit::Done,
        Some(_) => Exit::Refused,
    })
}

/// One register.
struct Row {
    index: u8,
    /// `None`: the release demands nothing.
    expected: Option<Pcr>,
    /// `None`: the image has none.
    measured: Option<Pcr>,
}

impl Row {
    fn agrees(&self) -> bool {
        self.expected.is_none() || self.expected == self.measured
    }
}

struct Comparison<'a> {
    release: &'a Release,
    rows: Vec<Row>,
    not_in_force: Option<Refusal>,
}

impl Comparison<'_> {
    fn reason(&self) -> Option<&'static str> {
        match &self.not_in_force {
            Some(refusal) => Some(refusal.id()),
            None if self.rows.iter().all(Row::agrees) => None,
            None => Some("release.measurements"),
        }
    }

    fn to_json(&self) -> Value {
        let hex = |pcr: &Option<Pcr>| pcr.map(|pcr| pcr.to_string());
        let reason = self.reason();
        json!({
            "verdict": if reason.is_none() { "accepted" } else { "refused" },
            "reason": reason,
            "release": self.release.name.as_str(),
            "release_version": self.release.version.as_str(),
            "release_status": self.release.status.name(),
            "registers": self.rows.iter().map(|row| json!({
                "register": format!("PCR{}", row.index),
                "expected": hex(&row.expected),
                "measured": hex(&row.measured),
                "agrees": row.agrees(),
            })).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let Release {
            name,
            version,
            status,
            ..
        } = self.release;
        let verdict = match (&self.not_in_force, self.reason()) {
            (Some(refusal), _) => format!(
                "REFUSED  release {name} {version} is not in force: {} [{}]",
                refusal.detail(),
                refusal.id()
            ),
            (None, Some(reason)) => {
                format!("REFUSED  this is not release {name} {version} [{reason}]")
            }
            (None, None) => format!("ACCEPTED  this is release {name} {version} ({status})"),
        };
        let mut table = Table::indented(2);
        for row in &self.rows {
            let pcr = format!("PCR{}", row.index);
            match (row.agrees(), row.expected, row.measured) {
                (true, Some(expected), _) => table.row([&pcr, "agrees", &expected.to_string()]),
                (true, None, measured) => table.row([&pcr, "not demanded", &or_none(measured)]),
                (false, expected, measured) => {
                    table.row([&pcr, "expected", &or_none(expected)]);
                    table.row(["", "measured", &or_none(measured)]);
                }
            }
        }
        format!("{verdict}\n{}", table.text())
    }
}

fn or_none(pcr: Option<Pcr>) -> String {
    pcr.map_or_else(
        || "none: the image is not signed".to_owned(),
        |pcr| pcr.to_string(),
    )
}

/// PCR8 only where one of the two has it.
fn rows(expected: &Measurements, measured: &Measurements) -> Vec<Row> {
    let row = |index, expected: Pcr, measured: Pcr| Row {
        index,
        expected: Some(expected),
        measured: Some(measured),
    };
    let mut rows = vec![
        row(0, expected.pcr0, measured.pcr0),
        row(1, expected.pcr1, measured.pcr1),
        row(2, expected.pcr2, measured.pcr2),
    ];
    if expected.pcr8.is_some() || measured.pcr8.is_some() {
        rows.push(Row {
            index: 8,
            expected: expected.pcr8,
            measured: measured.pcr8,
        });
    }
    rows
}
