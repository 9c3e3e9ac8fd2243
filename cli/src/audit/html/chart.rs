//! Charts: bars in SVG that stretch with the page, labels in HTML that do not.

use super::escape::Html;
use super::grouped;
use crate::audit::activity::{Activity, InUse};
use crate::audit::report::Report;
use crate::moment::{duration_text, time_text};

/// Bars that are shown of one chart; the rest are together in the last.
const MAX_BARS: usize = 12;
/// Height of the chart of time, in units of its own.
const HEIGHT: u64 = 1000;

pub(super) fn charts(report: &Report<'_>, html: &mut Html) {
    html.raw("<section aria-labelledby=\"activity\">\n<h2 id=\"activity\">What went on</h2>\n");
    over_time(report.activity, html);
    html.raw("<div class=\"pair\">\n");
    refusals(report.activity, html);
    releases(report.activity, html);
    html.raw("</div>\n</section>\n");
}

/// Entries over time, what was refused on top.
fn over_time(activity: &Activity, html: &mut Html) {
    html.raw("<figure>\n<figcaption>Entries over time</figcaption>\n");
    let steps = activity.steps();
    let (Some((first, last)), Some(most)) = (
        activity.span,
        steps
            .iter()
            .map(|(_, step)| step.accepted + step.refused)
            .max(),
    ) else {
        html.raw("<p class=\"muted\">The log is empty.</p>\n</figure>\n");
        return;
    };
    let most = most.max(1);
    let accepted: u64 = steps.iter().map(|(_, step)| step.accepted).sum();
    let refused: u64 = steps.iter().map(|(_, step)| step.refused).sum();
    let (from, to) = (time_text(first), time_text(last));
    html.raw("<p class=\"key\"><span class=\"swatch a\"></span>accepted or recorded ")
        .text(&grouped(accepted))
        .raw(" <span class=\"swatch r\"></span>refused ")
        .text(&grouped(refused))
        .raw("</p>\n<p class=\"scale\">at most ")
        .text(&grouped(most))
        .raw(" in ")
        .text(&duration_text(activity.step_millis()))
        .raw("</p>\n");
    let width = u64::try_from(steps.len())
        .unwrap_or(u64::MAX)
        .saturating_mul(10);
    html.raw("<svg class=\"time\" role=\"img\" preserveAspectRatio=\"none\" viewBox=\"0 0 ")
        .raw(&format!("{width} {HEIGHT}"))
        .raw("\"><title>")
        .text(&format!(
            "Entries from {from} to {to}: {accepted} accepted or recorded, {refused} refused"
        ))
        .raw("</title>\n");
    for (place, (at, step)) in (0_u64..).zip(&steps) {
        let x = place * 10 + 1;
        let high = |count: u64| match count {
            0 => 0,
            count => (count.saturating_mul(HEIGHT) / most).max(8),
        };
        let (low, top) = (high(step.accepted), high(step.refused));
        let bar = |html: &mut Html, class: &str, y: u64, height: u64, count: u64| {
            if height == 0 {
                return;
            }
            html.raw(&format!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"8\" height=\"{height}\"><title>"
            ))
            .text(&format!("{}: {count}", time_text(*at)))
            .raw("</title></rect>\n");
        };
        let floor = HEIGHT.saturating_sub(low);
        bar(html, "a", floor, low, step.accepted);
        bar(
            html,
            "r",
            floor.saturating_sub(top),
            top.min(floor),
            step.refused,
        );
    }
    html.raw("</svg>\n<p class=\"axis\"><span>")
        .text(day(&from))
        .raw("</span><span>")
        .text(day(&to))
        .raw("</span></p>\n</figure>\n");
}

/// The day of an RFC 3339 time.
fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or(time)
}

fn refusals(activity: &Activity, html: &mut Html) {
    let mut reasons: Vec<(&str, u64)> = activity
        .refusals
        .iter()
        .map(|(reason, count)| (reason.as_str(), *count))
        .collect();
    reasons.sort_by_key(|(reason, count)| (core::cmp::Reverse(*count), *reason));
    html.raw("<figure>\n<figcaption>Refusals by reason</figcaption>\n");
    if reasons.is_empty() {
        html.raw("<p class=\"muted\">Nothing was refused.</p>\n</figure>\n");
        return;
    }
    let rest: u64 = reasons.iter().skip(MAX_BARS).map(|(_, count)| count).sum();
    reasons.truncate(MAX_BARS);
    if rest > 0 {
        reasons.push(("all others", rest));
    }
    let most = reasons.iter().map(|(_, count)| *count).max().unwrap_or(1);
    html.raw("<table class=\"bars\"><thead><tr><th scope=\"col\">Reason</th><th scope=\"col\">Times</th></tr></thead><tbody>\n");
    for (reason, count) in reasons {
        html.raw("<tr><th scope=\"row\"><code>")
            .text(reason)
            .raw("</code>");
        bar(html, "r", 0, permille(count, most));
        html.raw("</th><td>")
            .text(&grouped(count))
            .raw("</td></tr>\n");
    }
    html.raw("</tbody></table>\n</figure>\n");
}

fn releases(activity: &Activity, html: &mut Html) {
    html.raw("<figure>\n<figcaption>Releases that got keys, and when</figcaption>\n");
    let (false, Some((first, last))) = (activity.releases.is_empty(), activity.span) else {
        html.raw("<p class=\"muted\">No keys were released.</p>\n</figure>\n");
        return;
    };
    let mut releases: Vec<(&str, InUse)> = activity
        .releases
        .iter()
        .map(|(name, in_use)| (name.as_str(), *in_use))
        .collect();
    releases.sort_by_key(|(name, in_use)| (in_use.first, *name));
    let skipped = releases.len().saturating_sub(MAX_BARS);
    html.raw("<table class=\"bars\"><thead><tr><th scope=\"col\">Release, first and last time</th><th scope=\"col\">Times</th></tr></thead><tbody>\n");
    // The newest are of most interest.
    for (name, in_use) in releases.into_iter().skip(skipped) {
        let span = last.saturating_sub(first).max(1);
        let from = permille(in_use.first.saturating_sub(first), span);
        let to = permille(in_use.last.saturating_sub(first), span);
        html.raw("<tr><th scope=\"row\"><code>")
            .text(name)
            .raw("</code> <span class=\"muted\">");
        let (begin, end) = (time_text(in_use.first), time_text(in_use.last));
        match day(&begin) == day(&end) {
            true => html.text(day(&begin)),
            false => html.text(day(&begin)).raw(" – ").text(day(&end)),
        };
        html.raw("</span>");
        let from = from.min(985);
        bar(html, "a", from, to.max(from + 15));
        html.raw("</th><td>")
            .text(&grouped(in_use.count))
            .raw("</td></tr>\n");
    }
    html.raw("</tbody></table>\n");
    if skipped > 0 {
        html.raw("<p class=\"muted\">and ")
            .text(&skipped.to_string())
            .raw(" older ones</p>\n");
    }
    html.raw("</figure>\n");
}

/// A bar from one thousandth of the width to another. The numbers stand beside it, so readers of text skip it.
fn bar(html: &mut Html, class: &str, from: u64, to: u64) {
    let width = to.saturating_sub(from).max(5);
    html.raw(&format!(
        "<svg class=\"bar\" aria-hidden=\"true\" preserveAspectRatio=\"none\" viewBox=\"0 0 1000 10\">\
         <rect class=\"track\" width=\"1000\" height=\"10\"/>\
         <rect class=\"{class}\" x=\"{from}\" width=\"{width}\" height=\"10\"/></svg>"
    ));
}

fn permille(part: u64, whole: u64) -> u64 {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    u64::try_from(thousandths).unwrap_or(1000).min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_whole_stay_within_it() {
        assert_eq!(permille(0, 10), 0);
        assert_eq!(permille(10, 10), 1000);
        assert_eq!(permille(u64::MAX, 1), 1000);
        assert_eq!(permille(1, 0), 1000);
        assert_eq!(permille(1, 3), 333);
    }
}
