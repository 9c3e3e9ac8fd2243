//! The report as one page: no script, nothing from anywhere else, for screens of every width and for paper.

mod chart;
mod escape;

use escape::Html;

use super::claim::{Claim, Gap, Verdict, Weight};
use super::findings::Tested;
use super::report::Report;
use crate::moment::{duration_text, time_text};

/// The page.
pub(crate) fn page(report: &Report<'_>) -> String {
    let mut html = Html::default();
    head(report, &mut html);
    summary(report, &mut html);
    overview(report, &mut html);
    chart::charts(report, &mut html);
    exceptions(report, &mut html);
    for claim in Claim::ALL {
        self::claim(report, *claim, &mut html);
    }
    limits(report, &mut html);
    facts(report, &mut html);
    html.raw("</main>\n</body>\n</html>\n");
    html.into_string()
}

/// `1 234 567`, with narrow spaces that do not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 4);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn head(report: &Report<'_>, html: &mut Html) {
    html.raw(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    html.tagged("title", &format!("Audit of {}", report.origin));
    html.raw("<style>\n")
        .raw(include_str!("style.css"))
        .raw("</style>\n</head>\n<body>\n<main>\n");
}

fn summary(report: &Report<'_>, html: &mut Html) {
    html.raw("<header>\n");
    html.tagged("h1", &format!("Audit of {}", report.origin));
    html.tagged(
        "p class=\"muted\"",
        "Every decision in the log, verified again from its evidence and the policy of its time.",
    );
    html.raw("<dl class=\"tiles\">\n");
    let class = match report.findings.exceptions() {
        0 => "ok",
        _ => "bad",
    };
    let result = match report.findings.exceptions() {
        0 => "No exceptions".to_owned(),
        _ => report.summary(),
    };
    tile(html, class, "Result", &result, "");
    tile(html, "", "Entries", &grouped(report.entries), "");
    tile(
        html,
        "",
        "Items tested",
        &grouped(report.findings.items()),
        "",
    );
    if let Some((first, last)) = report.activity.span {
        let day = |time: u64| {
            time_text(time)
                .split('T')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let period = format!("{} to {}", day(first), day(last));
        tile(html, "", "Period", &period, " class=\"small\"");
    }
    let witnesses = report.cosigned.len().to_string();
    tile(html, "", "Witnesses that cosigned", &witnesses, "");
    html.raw("</dl>\n</header>\n");
}

fn tile(html: &mut Html, class: &str, name: &str, value: &str, attributes: &str) {
    html.raw("<div class=\"")
        .raw(class)
        .raw("\"><dt>")
        .text(name);
    html.raw("</dt><dd")
        .raw(attributes)
        .raw(">")
        .text(value)
        .raw("</dd></div>\n");
}

fn overview(report: &Report<'_>, html: &mut Html) {
    html.raw(
        "<section aria-labelledby=\"claims\">\n<h2 id=\"claims\">What this log shows</h2>\n\
         <table><thead><tr><th scope=\"col\">Claim</th><th scope=\"col\" class=\"n\">Tested</th>\
         <th scope=\"col\" class=\"v\">Verdict</th></tr></thead><tbody>\n",
    );
    for claim in Claim::ALL {
        let tested: u64 = report
            .checks(*claim)
            .iter()
            .map(|(_, tested)| tested.items)
            .sum();
        html.raw("<tr><th scope=\"row\"><a href=\"#")
            .raw(claim.id())
            .raw("\">")
            .raw(claim.id())
            .raw("</a> ")
            .text(claim.title())
            .raw("</th><td class=\"n\">")
            .text(&grouped(tested))
            .raw("</td><td class=\"v\">");
        badge(html, report.verdict(*claim));
        html.raw("</td></tr>\n");
    }
    html.raw("</tbody></table>\n</section>\n");
}

fn badge(html: &mut Html, verdict: Verdict) {
    let (class, mark) = match verdict {
        Verdict::Shown => ("shown", "✓ "),
        Verdict::Exceptions => ("exceptions", "✗ "),
        Verdict::NotShown => ("not-shown", "– "),
    };
    html.raw("<span class=\"badge ").raw(class).raw("\">");
    html.raw(mark).raw(verdict.word()).raw("</span>");
}

fn exceptions(report: &Report<'_>, html: &mut Html) {
    if report.findings.exceptions() == 0 {
        return;
    }
    html.raw(
        "<section aria-labelledby=\"exceptions\">\n<h2 id=\"exceptions\">Exceptions</h2>\n\
         <table><thead><tr><th scope=\"col\">Entry</th><th scope=\"col\">What does not hold</th></tr></thead><tbody>\n",
    );
    let mut left_out = 0;
    for claim in Claim::ALL {
        for (check, tested) in report.checks(*claim) {
            left_out += tested.exceptions.saturating_sub(count(tested.listed.len()));
            for exception in &tested.listed {
                html.raw("<tr><th scope=\"row\">")
                    .text(&report.place(exception.place))
                    .raw("</th><td>")
                    .text(&report.words(exception))
                    .raw("<span class=\"sub\">")
                    .raw(claim.id())
                    .raw(" · <code>")
                    .raw(check.id())
                    .raw("</code> · <code>")
                    .text(&exception.fault.reason)
                    .raw("</code></span></td></tr>\n");
            }
        }
    }
    html.raw("</tbody></table>\n");
    if left_out > 0 {
        html.raw("<p class=\"muted\">and ")
            .text(&grouped(left_out))
            .raw(" more that are counted and not listed</p>\n");
    }
    html.raw("</section>\n");
}

fn claim(report: &Report<'_>, claim: Claim, html: &mut Html) {
    let id = claim.id();
    html.raw(&format!(
        "<section class=\"claim\" id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h3 id=\"{id}-title\"><span>{id} "
    ))
    .text(claim.title())
    .raw("</span>");
    badge(html, report.verdict(claim));
    html.raw(
        "</h3>\n<table><thead><tr><th scope=\"col\">What was tested</th>\
         <th scope=\"col\" class=\"n\">Items</th><th scope=\"col\" class=\"n\">Exceptions</th></tr></thead><tbody>\n",
    );
    for (check, tested) in report.checks(claim) {
        html.raw("<tr><th scope=\"row\">")
            .text(check.title())
            .raw("<span class=\"sub\"><code>")
            .raw(check.id())
            .raw("</code>");
        if tested.unverified > 0 {
            html.raw(" · without evidence: ")
                .text(&grouped(tested.unverified));
        }
        html.raw("</span></th>");
        numbers(html, &tested);
        html.raw("</tr>\n");
    }
    html.raw("</tbody></table>\n");
    let gaps = report.gaps(claim);
    if !gaps.is_empty() {
        html.raw("<div class=\"gaps\"><p>Not shown</p><ul>\n");
        for (gap, times) in gaps {
            self::gap(html, gap, times);
        }
        html.raw("</ul></div>\n");
    }
    html.raw("</section>\n");
}

fn numbers(html: &mut Html, tested: &Tested) {
    let class = |number: u64, hit: &'static str| match number {
        0 => "zero",
        _ => hit,
    };
    html.raw("<td class=\"n ")
        .raw(class(tested.items, ""))
        .raw("\">")
        .text(&grouped(tested.items))
        .raw("</td><td class=\"n ")
        .raw(class(tested.exceptions, "hit"))
        .raw("\">")
        .text(&grouped(tested.exceptions))
        .raw("</td>");
}

fn gap(html: &mut Html, gap: Gap, times: u64) {
    html.raw("<li>").text(gap.words());
    if times > 1 {
        html.raw(" (").text(&grouped(times)).raw(" times)");
    }
    if gap.weight() == Weight::Decides {
        html.raw("; <strong>so the claim is not shown</strong>");
    }
    html.raw("</li>\n");
}

fn limits(report: &Report<'_>, html: &mut Html) {
    html.raw(
        "<section aria-labelledby=\"assumptions\">\n\
         <h2 id=\"assumptions\">What remains an assumption</h2>\n<ul>\n",
    );
    for (_, words) in report.assumptions() {
        html.tagged("li", &words);
    }
    html.raw("</ul>\n</section>\n");
}

fn facts(report: &Report<'_>, html: &mut Html) {
    html.raw("<section aria-labelledby=\"facts\">\n<h2 id=\"facts\">What was read</h2>\n<dl class=\"facts\">\n");
    let mut fact = |name: &str, value: &str| {
        html.raw("<dt>")
            .text(name)
            .raw("</dt><dd>")
            .text(value)
            .raw("</dd>\n");
    };
    fact("Log", report.source);
    fact("Origin", report.origin);
    fact("Epochs", &report.epochs.to_string());
    fact("Root", &report.root);
    for (witness, seconds) in report.cosigned {
        let time = time_text(seconds.saturating_mul(1000));
        fact("Cosigned", &format!("{witness}, {time}"));
    }
    if let Some((digest, compared)) = &report.genesis {
        let word = match compared {
            true => "compared with the digest that the reader brought",
            false => "taken at its word",
        };
        fact("First bundle", &format!("{digest} ({word})"));
    }
    if let Some((version, digest)) = &report.bundle {
        fact("Newest bundle", &format!("version {version}, {digest}"));
    }
    fact("Documents verified under", &report.anchor);
    fact("Made", &time_text(report.made));
    fact("Took", &duration_text(report.milliseconds));
    fact("By", concat!("narthex ", env!("CARGO_PKG_VERSION")));
    html.raw("</dl>\n</section>\n");
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1\u{202f}000");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
