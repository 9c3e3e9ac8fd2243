//! The report as a page: what stands in it, and how a browser lays it out.
//!
//! The browser is Debian's `chromium`. Where it is not installed these tests are left out, unless
//! `NARTHEX_REQUIRE_CHROMIUM` is set. `NARTHEX_SCREENSHOTS=DIR` keeps what it painted, for people to look at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use narthex_ledger::Entry;
use serde_json::Value;

use crate::clean::everything;
use crate::fixture::{Asking, Project, accepted};

/// What a hostile service might put into a reason or a release.
const HOSTILE: &str = "<script>alert(1)</script>";

fn page(project: &mut Project) -> String {
    let output = project.audit("--html report.html");
    assert!(output.status.code().is_some_and(|code| code < 2));
    fs::read_to_string(project.path("report.html")).unwrap()
}

/// Some of everything that the page can show: exceptions and long words among it.
fn meddled() -> Project {
    let mut project = everything();
    project.write_order("carol", &[], &[], accepted());
    let order = project.read_order("carol", accepted());
    project.release(Asking {
        image: "other 1".to_owned(),
        ..Asking::new(90)
    });
    project.alter(order);
    project
}

#[test]
fn the_page_is_one_file_without_script_or_network() {
    let mut project = everything();
    let page = page(&mut project);
    assert!(page.starts_with("<!doctype html>"));
    let lower = page.to_lowercase();
    for forbidden in [
        "<script",
        "javascript:",
        "http://",
        "https://",
        "//",
        "url(",
        "@import",
        "<link",
        "<img",
        "<iframe",
        "onload",
        "compliant",
    ] {
        // Words about others' markup are escaped, and a path is no address.
        assert!(!lower.contains(forbidden), "{forbidden}");
    }
    for needed in [
        "<html lang=\"en\">",
        "<title>Audit of keys.example/log</title>",
        "prefers-color-scheme:dark",
        "@media print",
        "role=\"img\"",
        "scope=\"col\"",
        "No exceptions",
    ] {
        assert!(page.contains(needed), "{needed}");
    }
}

#[test]
fn what_a_log_says_is_text_and_nothing_else() {
    let mut project = Project::new();
    let time = project.time;
    let entry = narthex_ledger::RestoreEntry {
        time,
        from_size: 1,
        to_size: 2,
        lost: Vec::new(),
    };
    project.append(Entry::Restore(entry));
    // Not an entry at all: the words of the error quote it.
    project
        .log
        .append_leaf(format!("{{\"{HOSTILE}\":1}}").as_bytes())
        .unwrap();
    let page = page(&mut project);
    assert!(!page.contains(HOSTILE));
    assert!(page.contains("audit.log.entry"));
}

/// Exceptions beyond the bound are counted, and the page says how many are not listed.
#[test]
fn many_exceptions_are_counted() {
    let mut project = Project::new();
    for number in 0..230 {
        project
            .log
            .append_leaf(format!("{number}").as_bytes())
            .unwrap();
    }
    let page = page(&mut project);
    assert!(page.contains("and 130 more that are counted"));
    let (_, report) = project.report();
    assert_eq!(report["exceptions"], 230);
}

struct Browser {
    program: PathBuf,
    directory: tempfile::TempDir,
}

impl Browser {
    fn find() -> Option<Self> {
        let program = PathBuf::from("/usr/bin/chromium");
        if !program.exists() {
            assert!(
                std::env::var_os("NARTHEX_REQUIRE_CHROMIUM").is_none(),
                "install Debian's `chromium`"
            );
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        Some(Self { program, directory })
    }

    fn run(&self, dark: bool, page: &Path, words: &[&str]) -> Vec<u8> {
        let output = Command::new(&self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--allow-file-access-from-files",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--virtual-time-budget=3000",
            ])
            .arg(format!(
                "--user-data-dir={}",
                self.directory.path().display()
            ))
            .arg(format!(
                "--blink-settings=preferredColorScheme={}",
                u8::from(!dark)
            ))
            .args(words)
            .arg(format!("file://{}", page.display()))
            .env("HOME", self.directory.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Lays the page out in a frame of this width, and measures it.
    fn measure(&self, page: &str, width: u32, dark: bool) -> Value {
        let frame = page.replace('&', "&amp;").replace('"', "&quot;");
        let wrapper = format!(
            "<!doctype html><meta charset=utf-8><style>body{{margin:0}}iframe{{border:0;width:{width}px;height:6000px}}</style>\
             <iframe srcdoc=\"{frame}\"></iframe><pre id=out></pre><script>{MEASURE}</script>"
        );
        let path = self.directory.path().join("measure.html");
        fs::write(&path, wrapper).unwrap();
        let dom = self.run(dark, &path, &["--window-size=1400,1000", "--dump-dom"]);
        let dom = String::from_utf8(dom).unwrap();
        let (_, rest) = dom.rsplit_once("<pre id=\"out\">").unwrap();
        let (json, _) = rest.split_once("</pre>").unwrap();
        let json = json
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
    }

    fn screenshot(&self, page: &str, width: u32, height: u32, dark: bool, to: &Path) {
        let frame = page.replace('&', "&amp;").replace('"', "&quot;");
        let wrapper = format!(
            "<!doctype html><meta charset=utf-8><meta name=color-scheme content=\"light dark\">\
             <style>body{{margin:0}}iframe{{border:0;width:{width}px;height:{height}px}}</style>\
             <iframe srcdoc=\"{frame}\"></iframe>"
        );
        let path = self.directory.path().join("shot.html");
        fs::write(&path, wrapper).unwrap();
        let shot = format!("--screenshot={}", to.display());
        let window = format!("--window-size={},{height}", width.max(500));
        self.run(dark, &path, &[&shot, &window]);
    }
}

/// Runs in the wrapper, never in the report: widths, and the contrast of every piece of text.
const MEASURE: &str = r#"
const frame = document.querySelector('iframe');
function rgb(text) {
  const n = text.match(/[\d.]+/g).map(Number);
  return n.length < 4 ? [n[0], n[1], n[2], 1] : n;
}
function luminance(c) {
  const f = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); };
  return 0.2126 * f(c[0]) + 0.7152 * f(c[1]) + 0.0722 * f(c[2]);
}
function contrast(a, b) {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
}
frame.onload = () => {
  const d = frame.contentDocument, w = frame.contentWindow;
  const walker = d.createTreeWalker(d.body, NodeFilter.SHOW_TEXT);
  let worst = 99, where = '', texts = 0, wide = [], small = 99;
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.textContent.trim() || node.parentElement.closest('svg')) continue;
    texts++;
    let element = node.parentElement, style = w.getComputedStyle(element), back = null;
    small = Math.min(small, parseFloat(style.fontSize));
    for (let e = element; e && !back; e = e.parentElement) {
      const c = rgb(w.getComputedStyle(e).backgroundColor);
      if (c[3] > 0) back = c;
    }
    const found = contrast(rgb(style.color), back || [255, 255, 255]);
    if (found < worst) { worst = found; where = node.textContent.trim().slice(0, 60); }
  }
  for (const e of d.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect();
    if (box.right > d.documentElement.clientWidth + 0.5) wide.push(e.tagName + '.' + e.className);
  }
  const bars = [...d.querySelectorAll('rect.a, rect.r')].map(r => r.getBoundingClientRect());
  document.getElementById('out').textContent = JSON.stringify({
    width: d.documentElement.clientWidth, scroll: d.documentElement.scrollWidth,
    height: d.documentElement.scrollHeight,
    wide: wide.slice(0, 5), texts, worst, where, small,
    bars: bars.filter(b => b.width > 0 && b.height > 0).length,
    background: w.getComputedStyle(d.body).backgroundColor,
    scripts: d.scripts.length,
  });
};
"#;

#[test]
fn the_page_is_readable_at_every_width_light_and_dark() {
    let Some(browser) = Browser::find() else {
        eprintln!("skipped: no chromium");
        return;
    };
    let screenshots = std::env::var_os("NARTHEX_SCREENSHOTS").map(PathBuf::from);
    let pages = [
        ("clean", page(&mut everything())),
        ("meddled", page(&mut meddled())),
    ];
    let mut backgrounds = std::collections::BTreeSet::new();
    for (name, page) in &pages {
        if let Some(to) = &screenshots {
            fs::write(to.join(format!("{name}.html")), page).unwrap();
        }
        for width in [1280, 400] {
            for dark in [false, true] {
                let found = browser.measure(page, width, dark);
                let number = |key: &str| found[key].as_f64().unwrap();
                assert_eq!(found["width"], width, "{found}");
                assert!(
                    number("scroll") <= f64::from(width),
                    "{name} {width}: {found}"
                );
                assert_eq!(
                    found["wide"],
                    serde_json::json!([]),
                    "{name} {width}: {found}"
                );
                assert!(
                    number("worst") >= 4.5,
                    "{name} {width} dark {dark}: {found}"
                );
                assert!(number("small") >= 12.0, "{found}");
                assert!(number("texts") > 150.0 && number("bars") >= 8.0, "{found}");
                assert_eq!(found["scripts"], 0);
                backgrounds.insert((dark, found["background"].to_string()));
                if let Some(to) = &screenshots {
                    let colours = if dark { "dark" } else { "light" };
                    let to = to.join(format!("{name}-{width}-{colours}.png"));
                    let height = found["height"].as_u64().unwrap().min(9000) as u32;
                    browser.screenshot(page, width, height, dark, &to);
                }
            }
        }
    }
    // Two schemes, two colours.
    assert_eq!(backgrounds.len(), 2, "{backgrounds:?}");
}
