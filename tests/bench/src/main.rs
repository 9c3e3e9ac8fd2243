//! Benchmarks of Narthex, side by side in one run.
//!
//! `verify FOLDER` measures verification in thread CPU time: every row
//! is measured in turn with every other, round after round, so that a machine that slows down slows
//! all rows; the table shows medians and ratios to one raw signature check. `programs DEV SHIPPED`
//! measures the programs as processes, and the raw cryptography of a release to compare with; then appends to the
//! log. `log` measures the verification of a large log.

mod log;
mod measure;
mod process;
mod programs;
mod release;
mod setup;
mod verification;

use std::path::PathBuf;

fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match arguments.as_slice() {
        [what, documents] if what.as_os_str() == "verify" => {
            verification::run(Some(documents));
        }
        [what, development, shipped] if what.as_os_str() == "programs" => {
            programs::run(development, shipped)
        }
        [what] if what.as_os_str() == "log" => log::large(),
        _ => {
            eprintln!("usage: narthex-bench verify DOCUMENTS | programs DEVELOPMENT SHIPPED | log");
            std::process::exit(2);
        }
    }
}
