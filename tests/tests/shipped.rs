//! The programs as they ship trust no development root, whoever asks them to.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::fs;
use std::path::Path;

use narthex_channel::diagnostics::{FieldName, State, Value};
use narthex_policy::Action;
use narthex_tests::lab::asking::Booted;
use narthex_tests::lab::process::{Process, Said, mentions};
use narthex_tests::lab::programs::Programs;
use narthex_tests::lab::service::{Root, metrics};
use narthex_tests::lab::{Lab, RELEASE, Setup};

const REASON: &str = "chain.development_root";

#[test]
fn the_shipped_command_refuses_mock_documents() {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = Programs::shipped().narthex();
    let narthex = |arguments: &[&str]| Said::by(folder.path(), &shipped, arguments);
    narthex(&[
        "mock-nsm",
        "document",
        "--image-label",
        RELEASE,
        "--out",
        "document.bin",
        "--root-out",
        "root.pem",
    ])
    .done();
    let measured = narthex(&["mock-nsm", "measurements", "--image-label", RELEASE]).done();
    let measured: serde_json::Value = serde_json::from_str(&measured).expect("JSON");
    let pcr = |number: usize| {
        let name = format!("PCR{number}");
        let value = measured["Measurements"][&name].as_str();
        format!("{number}={}", value.expect("a measurement"))
    };
    let pcrs = [0, 1, 2].map(pcr);
    let expected = ["--pcr", &pcrs[0], "--pcr", &pcrs[1], "--pcr", &pcrs[2]];
    let verify = [&["verify", "document.bin"], &expected[..]].concat();

    narthex(&verify).refused(REASON);
    narthex(&["inspect", "document.bin"]).refused(REASON);
    for at in ["document", "2026-11-21T00:00:00Z"] {
        narthex(&["inspect", "document.bin", "--replay-at", at]).refused(REASON);
        narthex(&[&verify[..], &["--replay-at", at]].concat()).refused(REASON);
    }
    // Naming the root does not help, in any form.
    narthex(&[&verify[..], &["--root", "root.pem"]].concat()).refused(REASON);
    narthex(&["inspect", "document.bin", "--root", "root.pem"]).refused(REASON);
    narthex(&[
        "inspect",
        "document.bin",
        "--root",
        "root.pem",
        "--replay-at",
        "document",
    ])
    .refused(REASON);
    let diag = narthex(&["diag", "--help"]).done();
    assert!(!diag.contains("development-root"), "{diag}");

    // The documents are good: the same are accepted by who may trust their root.
    let dev = Programs::dev().narthex();
    Said::by(
        folder.path(),
        &dev,
        &[&verify[..], &["--root", "root.pem"]].concat(),
    )
    .done();
    // Even that one must be told.
    Said::by(folder.path(), &dev, &verify).refused(REASON);
}

#[test]
fn the_shipped_command_does_not_talk_to_a_mock_agent() {
    let lab = Lab::start();
    let enclave = lab.enclave("one");
    let agent = lab.ready_agent("agent", &enclave);
    let (gate, module_id) = (agent.gate().to_string(), enclave.module_id());
    let shipped = Programs::shipped().narthex();
    let diag = |more: &[&str]| {
        let common = [
            "diag",
            &gate,
            "--status",
            "--policy",
            "policy",
            "--release",
            RELEASE,
            "--enclave",
            &module_id,
        ];
        Said::by(lab.folder(), &shipped, &[&common, more].concat())
    };
    diag(&[]).refused(REASON);
    diag(&["--insecure-development-root", "root.der"]).misuse("--insecure-development-root");
    // The agent is sound, and who may trust its root sees it.
    lab.diag(agent.gate(), &enclave, RELEASE, &["--status"])
        .done();
}

#[test]
fn the_shipped_service_releases_nothing_to_a_mock_agent() {
    let mut lab = Lab::with(Setup::of(Programs::shipped(), Root::Aws)).furnish(&[], |_| ());
    let enclave = lab.enclave("one");
    let mut agent = lab.agent("agent", &lab.plan(&enclave)).listening();
    agent
        .process
        .await_text(&format!("keys were not received: {REASON}"));
    let health = lab.read(&agent, Action::Health);
    assert_eq!(
        health.value(FieldName::HealthState),
        Some(Value::State(State::WaitingForKeys))
    );
    assert_eq!(
        health.value(FieldName::HealthWorkload),
        Some(Value::State(State::NotStarted))
    );

    // A client that checks nothing hears the same.
    let adversary = Path::new(env!("CARGO_BIN_EXE_narthex-adversary"));
    let booted = Booted {
        bundle: "policy/bundles/0002.toml",
        version: "2",
    };
    let said = lab.ask_unchecked(adversary, &enclave, booted, &[]);
    assert_eq!((said.code, said.out.trim()), (Some(1), REASON), "{said:#?}");

    // Nothing was released, and the refusals left a record.
    let service = lab.service.as_ref().expect("a service");
    assert!(!service.log().contains("released"), "{}", service.log());
    let metrics = metrics(service);
    let counted = metrics.lines().find_map(|line| {
        let labels = format!("{{kind=\"release\",outcome=\"refused\",reason=\"{REASON}\"}} ");
        line.strip_prefix("narthex_decisions_total")?
            .strip_prefix(&labels)?
            .parse()
            .ok()
    });
    assert!(counted >= Some(2), "{metrics}");
    assert!(
        !metrics.contains("outcome=\"accepted\",reason=\"released"),
        "{metrics}"
    );
    lab.stop_service();
}

#[test]
fn the_shipped_service_has_no_setting_for_a_root() {
    let lab = Lab::with(Setup::of(Programs::shipped(), Root::Aws));
    let good = fs::read_to_string(lab.path("service.toml")).expect("service.toml");
    for setting in [
        "insecure_development_root = \"root.der\"",
        "development_root = \"root.der\"",
        "attestation_root = \"root.der\"",
        "root = \"root.der\"",
    ] {
        fs::write(lab.path("rooted.toml"), format!("{setting}\n{good}")).expect("rooted.toml");
        for command in ["run", "check"] {
            let mut service = Process::start(
                lab.folder(),
                "rooted",
                &lab.programs.key_service(),
                &[command, "--config", "rooted.toml"],
            );
            assert_eq!(service.exit_code(), Some(2), "{setting}: {}", service.log());
            assert!(
                service.log().contains("config.malformed"),
                "{setting}: {}",
                service.log()
            );
        }
    }
    let run = [
        "run",
        "--config",
        "service.toml",
        "--insecure-development-root",
        "root.der",
    ];
    Said::by(lab.folder(), &lab.programs.key_service(), &run).misuse("--insecure-development-root");
    let agent = Said::by(lab.folder(), &lab.programs.agent(), &["--help"]).done();
    assert!(!agent.contains("root"), "{agent}");
}

#[test]
fn no_environment_variable_changes_what_is_trusted() {
    // R35: neither a variable of ours nor one of a library's.
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = Programs::shipped().narthex();
    let arguments = [
        "mock-nsm",
        "document",
        "--out",
        "document.bin",
        "--root-out",
        "root.pem",
    ];
    Said::by(folder.path(), &shipped, &arguments).done();
    let root = folder.path().join("root.pem");
    let mut command = std::process::Command::new(&shipped);
    command
        .args(["inspect", "document.bin"])
        .current_dir(folder.path());
    for name in [
        "NARTHEX_ROOT",
        "NARTHEX_DEVELOPMENT_ROOT",
        "NARTHEX_INSECURE_DEVELOPMENT_ROOT",
        "SSL_CERT_FILE",
    ] {
        command.env(name, &root);
    }
    let output = command.output().expect("the command");
    assert_eq!(output.status.code(), Some(1));
    assert!(mentions(&String::from_utf8_lossy(&output.stdout), REASON));
}

#[test]
fn shipped_programs_need_no_libraries() {
    if std::env::var_os("NARTHEX_SHIPPED_STATIC").is_none_or(|value| value != "1") {
        eprintln!("NARTHEX_SHIPPED_STATIC is not 1: these programs are not said to be static");
        return;
    }
    let programs = Programs::shipped();
    for program in [programs.narthex(), programs.agent(), programs.key_service()] {
        let bytes = fs::read(&program).expect("a program");
        assert_eq!(interpreter(&bytes), Ok(false), "{}", program.display());
        assert_eq!(symbols(&bytes), Some(false), "{}", program.display());
    }
}

/// Whether an ELF file of 64 bits, little end first, has a table of symbols, which makes it larger by a fifth.
fn symbols(elf: &[u8]) -> Option<bool> {
    const SHT_SYMTAB: u32 = 2;
    let half = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let table = u64::from_le_bytes(elf.get(40..48)?.try_into().ok()?);
    let (table, size) = (usize::try_from(table).ok()?, usize::from(half(58)?));
    for index in 0..usize::from(half(60)?) {
        let kind = table + index * size + 4;
        if u32::from_le_bytes(elf.get(kind..kind + 4)?.try_into().ok()?) == SHT_SYMTAB {
            return Some(true);
        }
    }
    Some(false)
}

/// Whether an ELF file of 64 bits, little end first, asks for a dynamic loader (PT_INTERP, or a
/// DT_NEEDED in PT_DYNAMIC).
fn interpreter(elf: &[u8]) -> Result<bool, &'static str> {
    const PT_DYNAMIC: u64 = 2;
    const PT_INTERP: u64 = 3;
    const DT_NEEDED: u64 = 1;
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    };
    let place = |number: u64| usize::try_from(number).ok();
    let read = || -> Option<bool> {
        if elf.get(..6)? != b"\x7fELF\x02\x01" {
            return None;
        }
        let (table, size, count) = (
            place(number(32, 8)?)?,
            place(number(54, 2)?)?,
            place(number(56, 2)?)?,
        );
        for index in 0..count {
            let header = table.checked_add(index.checked_mul(size)?)?;
            let kind = number(header, 4)?;
            if kind == PT_INTERP {
                return Some(true);
            }
            if kind == PT_DYNAMIC {
                let from = place(number(header + 8, 8)?)?;
                let length = place(number(header + 32, 8)?)?;
                let entries = (from..from + length).step_by(16);
                if entries
                    .into_iter()
                    .any(|entry| number(entry, 8) == Some(DT_NEEDED))
                {
                    return Some(true);
                }
            }
        }
        Some(false)
    };
    read().ok_or("not an ELF file that can be read")
}

#[test]
fn the_search_for_a_loader_can_find_one() {
    // This test's own program was built with one.
    let own = fs::read(std::env::current_exe().expect("this program")).expect("its bytes");
    assert_eq!(interpreter(&own), Ok(true));
    assert_eq!(symbols(&own), Some(true));
    assert!(interpreter(b"#!/bin/sh\n").is_err());
}
