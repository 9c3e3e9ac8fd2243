//! The report for people at a terminal.

use std::fmt::Write;

use super::claim::{Claim, Verdict};
use super::report::Report;
use crate::moment::{duration_text, time_text};
use crate::output::Symbols;
use crate::printable::printable;
use crate::table::Table;

/// Exceptions that are shown for each check; `--json` and `--html` have more.
const SHOWN: usize = 10;

pub(crate) fn text(report: &Report<'_>, symbols: Symbols) -> String {
    let mut text = head(report);
    for claim in Claim::ALL {
        text.push('\n');
        write_claim(report, *claim, symbols, &mut text);
    }
    text.push_str("\nNot shown by this log\n");
    let mut table = Table::indented(2);
    for (gap, count) in report.findings.open_gaps() {
        let claims: Vec<&str> = gap.claims().iter().map(|claim| claim.id()).collect();
        let words = match count {
            0 | 1 => gap.words().to_owned(),
            count => format!("{} ({count} times)", gap.words()),
        };
        table.row([&claims.join(" "), &words]);
    }
    text.push_str(&table.text());
    text.push_str("\nWhat remains an assumption\n");
    for (_, words) in report.assumptions() {
        let _infallible = writeln!(text, "  {words}");
    }
    text
}

fn head(report: &Report<'_>) -> String {
    let mut text = format!(
        "AUDIT  {}: {} entries, {} items tested, {}\n",
        printable(report.origin),
        report.entries,
        report.findings.items(),
        report.summary()
    );
    let mut table = Table::indented(2);
    if let Some((first, last)) = report.activity.span {
        table.row([
            "entries from",
            &format!("{} to {}", time_text(first), time_text(last)),
        ]);
    }
    let cosigned = report.cosigned.iter();
    let cosigned: Vec<String> = cosigned
        .map(|(name, seconds)| {
            format!(
                "{} {}",
                printable(name),
                time_text(seconds.saturating_mul(1000))
            )
        })
        .collect();
    let cosigned = match cosigned.is_empty() {
        true => "nobody whom the reader named".to_owned(),
        false => cosigned.join(", "),
    };
    table.row(["cosigned by", &cosigned]);
    if let Some((genesis, compared)) = &report.genesis {
        let word = match compared {
            true => "as you named it",
            false => "taken at its word (no --genesis)",
        };
        table.row(["first bundle", &format!("{genesis}, {word}")]);
    }
    if let Some((version, digest)) = &report.bundle {
        table.row(["newest bundle", &format!("{version}, {digest}")]);
    }
    table.row(["documents under", &report.anchor]);
    table.row(["took", &duration_text(report.milliseconds)]);
    text.push_str(&table.text());
    text
}

fn write_claim(report: &Report<'_>, claim: Claim, symbols: Symbols, text: &mut String) {
    let verdict = report.verdict(claim);
    let mark = match (symbols, verdict) {
        (Symbols::Words, _) => "",
        (Symbols::Unicode, Verdict::Shown) => "✓ ",
        (Symbols::Unicode, Verdict::Exceptions) => "✗ ",
        (Symbols::Unicode, Verdict::NotShown) => "– ",
    };
    let _infallible = writeln!(
        text,
        "{mark}{} {}: {}",
        claim.id(),
        verdict.word().to_uppercase(),
        claim.title()
    );
    let mut table = Table::indented(2);
    for (check, tested) in report.checks(claim) {
        let mut words = format!("{} tested", tested.items);
        if tested.exceptions > 0 {
            let _infallible = write!(words, ", {} EXCEPTIONS", tested.exceptions);
        }
        if tested.unverified > 0 {
            let _infallible = write!(words, ", {} without evidence", tested.unverified);
        }
        table.row([check.id(), &words]);
    }
    text.push_str(&table.text());
    for (check, tested) in report.checks(claim) {
        for exception in tested.listed.iter().take(SHOWN) {
            let _infallible = writeln!(
                text,
                "    entry {}: {}: {} [{}]",
                report.place(exception.place),
                check.id(),
                printable(&report.words(exception)),
                printable(&exception.fault.reason)
            );
        }
        let shown = u64::try_from(tested.listed.len().min(SHOWN)).unwrap_or(u64::MAX);
        let more = tested.exceptions.saturating_sub(shown);
        if more > 0 {
            let _infallible = writeln!(text, "    and {more} more of {}", check.id());
        }
    }
}
