//! What a virtual machine's agent costs. `scripts/bench` prints these; nothing depends on them.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::fs;
use std::time::{Duration, Instant};

use narthex_channel::diagnostics::{FieldName, Value};
use narthex_policy::Action;
use narthex_tests::lab::agent::Reachable;
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::tools::Tools;

/// Boots of which the median counts.
const BOOTS: usize = 5;

#[test]
#[ignore = "a measurement for scripts/bench: cargo test -p narthex-tests --test machine_numbers -- --ignored --nocapture"]
fn boot_time_and_memory() {
    let Some(tools) = Tools::find("boot_time_and_memory") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let lab = &deployment.lab;
    let image = deployment.image("shop");
    let monitored = deployment.monitored_image("monitored");
    deployment.release(&[&image, &monitored]);
    let size = fs::metadata(&image.file).expect("the image").len();
    println!(
        "MEASURED image with the test workload: {size} bytes, needs {} MiB",
        image.memory_mib
    );

    let mut whole = Vec::new();
    let mut after_kernel = Vec::new();
    for number in 0..BOOTS {
        let begun = Instant::now();
        let mut machine = deployment.boot(&format!("shop-{number}"), &deployment.plan(&image));
        machine.qemu.await_text("narthex-agent: boot begun");
        let handed_over = Instant::now();
        // Its welcome is a document over its state: the first answer that says something.
        let session = machine.session();
        whole.push(begun.elapsed());
        after_kernel.push(handed_over.elapsed());
        drop(session);
    }
    println!(
        "MEASURED boot to first diagnostic answer, median of {BOOTS}: {:?} from the start of QEMU, {:?} from the agent's \
         first line on the console (software emulation, policy fetched from a key service on the same computer)",
        median(&mut whole),
        median(&mut after_kernel)
    );

    let machine = deployment.running("monitored", &deployment.plan(&monitored));
    let inmates = machine.inmates();
    let agents = inmates
        .iter()
        .filter(|inmate| !inmate.line.contains("/app/specimen"));
    let mut all = 0;
    for inmate in agents {
        println!(
            "MEASURED resident {:>6} KiB  {}",
            inmate.resident, inmate.line
        );
        all += inmate.resident;
    }
    println!(
        "MEASURED resident {all:>6} KiB  all of the agent's processes, shared pages counted each time"
    );
    let memory = lab.read(&machine, Action::Memory);
    for name in [FieldName::MemoryTotal, FieldName::MemoryAvailable] {
        if let Some(Value::Bytes(bytes)) = memory.value(name) {
            println!("MEASURED {name:?}: {} MiB", bytes >> 20);
        }
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
