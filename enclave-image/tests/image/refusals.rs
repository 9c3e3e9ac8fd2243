//! What may not be in a root: the smallest accepted one, and one thing more.

use narthex_image::build::Built;
use narthex_image::recipe::Runtime;

use super::support::{AARCH64, Draft, Item, X86_64, base, elf, ids, program, refused, with};

/// Thirty base64 characters, so nobody mistakes them for somebody's key.
const BODY: &str = "MIIEAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

fn accepted(items: &[Item]) -> Built {
    Draft::default().build(items).unwrap()
}

#[test]
fn the_smallest_root_is_accepted() {
    let built = accepted(&base());
    assert!(
        built.insecure.is_empty() && built.notes.is_empty(),
        "{:?}",
        built.notes
    );
}

#[test]
fn set_user_id_and_set_group_id_files() {
    refused(
        &with([Item::program("bin/x").mode(0o4755)]),
        "image.set_user_id",
    );
    refused(
        &with([Item::program("bin/x").mode(0o2755)]),
        "image.set_group_id",
    );
    refused(
        &with([Item::file("x", "").mode(0o4644)]),
        "image.set_user_id",
    );
    accepted(&with([Item::directory("var/local")
        .mode(0o2775)
        .owner(0, 50)]));
}

#[test]
fn files_with_capabilities() {
    for record in [
        "SCHILY.xattr.security.capability",
        "LIBARCHIVE.xattr.security.capability",
    ] {
        let item = Item::program("bin/ping").record(record, &[1, 0, 0, 2, 0]);
        refused(&with([item]), "image.capability");
        // Of a link they would be the file's, for readers that give them to it.
        let link = Item::hard_link("x", "app/server").record(record, &[1, 0, 0, 2, 0]);
        refused(&with([link]), "image.capability");
    }
    accepted(&with([
        Item::program("bin/ping").record("SCHILY.xattr.user.note", b"x")
    ]));
}

#[test]
fn what_everybody_may_write() {
    refused(
        &with([Item::file("x", "").mode(0o666)]),
        "image.world_writable",
    );
    refused(
        &with([Item::directory("x").mode(0o777)]),
        "image.world_writable",
    );
    refused(
        &with([Item::directory("x").mode(0o1777)]),
        "image.world_writable",
    );
    let built = accepted(&with([
        Item::directory("tmp").mode(0o1777),
        Item::directory("var/tmp").mode(0o1777),
        Item::file("var/tmp/left-over", "x"),
    ]));
    let mode = |path: &str| {
        let (_, file) = built
            .manifest
            .files
            .iter()
            .find(|(found, _)| found.absolute() == path)
            .unwrap();
        file.mode
    };
    assert_eq!((mode("/tmp"), mode("/var/tmp")), (0o755, 0o755));
    assert!(
        built
            .manifest
            .files
            .keys()
            .all(|path| path.name() != "left-over")
    );
    assert_eq!(built.notes.len(), 1);
    // The mode of a link means nothing.
    accepted(&with([Item::link("x", "app/server")]));
}

#[test]
fn private_keys_by_name() {
    for name in [
        "id_rsa",
        "id_ed25519",
        "ssh_host_rsa_key",
        "server.p12",
        "SERVER.PFX",
        "trust.jks",
    ] {
        refused(
            &with([Item::file(&format!("etc/{name}"), "anything")]),
            "image.private_key",
        );
    }
    accepted(&with([Item::file("etc/id_rsa.pub", "ssh-rsa AAAA")]));
}

#[test]
fn private_keys_by_content() {
    let texts = [
        format!("-----BEGIN PRIVATE KEY-----\n{BODY}"),
        format!("some words\r\n-----BEGIN RSA PRIVATE KEY-----\r\n{BODY}"),
        format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{BODY}"),
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}"),
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n".into(),
        format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{BODY}"),
        format!("{{\"private_key\": \"-----BEGIN PRIVATE KEY-----\\n{BODY}"),
        // In YAML, and after an editor that leaves blanks.
        format!("key: |\n    -----BEGIN PRIVATE KEY-----\n    {BODY}"),
        format!("-----BEGIN EC PRIVATE KEY----- \n\t{BODY}"),
        "PuTTY-User-Key-File-3: ssh-ed25519\n".into(),
    ];
    for text in texts {
        refused(&with([Item::file("etc/config", text)]), "image.private_key");
    }
    // Also in the middle of a program.
    let mut bytes = program();
    bytes.extend(
        format!("\0-----BEGIN CERTIFICATE-----\n\0-----BEGIN PRIVATE KEY-----\n{BODY}").bytes(),
    );
    refused(&with([Item::file("lib/x.so", bytes)]), "image.private_key");
}

#[test]
fn private_keys_in_der() {
    let der = |body: &[u8]| {
        let mut der = vec![0x30, 0x81, u8::try_from(body.len()).unwrap()];
        der.extend(body);
        der
    };
    let mut body = vec![0x02, 0x01, 0x00, 0x30];
    body.resize(140, 7);
    refused(
        &with([Item::file("etc/server.key", der(&body))]),
        "image.private_key",
    );
    // With a passphrase: what `openssl pkcs8 -topk8 -outform DER` begins with.
    let mut locked = [0x30, 0x5f, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d].to_vec();
    locked.extend([0x01, 0x05, 0x0d]);
    locked.resize(140, 7);
    refused(
        &with([Item::file("etc/server.key", der(&locked))]),
        "image.private_key",
    );
    let mut with_more = der(&body);
    with_more.push(0);
    accepted(&with([Item::file("etc/no.key", with_more)]));
    // A certificate is a SEQUENCE of a SEQUENCE.
    body[0] = 0x30;
    accepted(&with([Item::file("etc/server.crt", der(&body))]));
}

#[test]
fn programs_and_texts_about_keys_are_no_keys() {
    accepted(&with([
        Item::file(
            "bin/keygen",
            b"\x7fELF -----BEGIN OPENSSH PRIVATE KEY-----\n\0-----END".to_vec(),
        ),
        Item::file(
            "doc",
            "a file begins with -----BEGIN PRIVATE KEY-----\nand then the key\n",
        ),
        Item::file("public", format!("-----BEGIN PUBLIC KEY-----\n{BODY}")),
    ]));
}

#[test]
fn shells_by_name() {
    for name in [
        "sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "fish", "zsh5", "ksh93", "bash-5.2",
    ] {
        refused(
            &with([Item::program(&format!("bin/{name}"))]),
            "image.shell",
        );
    }
    // Directories, data and links to nothing are none.
    accepted(&with([
        Item::directory("usr/share/bash"),
        Item::file("etc/bash", "settings"),
        Item::link("bin/sh", "dash"),
    ]));
}

#[test]
fn shells_by_link_and_by_content() {
    refused(
        &with([Item::link("bin/sh", "../app/server")]),
        "image.shell",
    );
    refused(
        &with([Item::hard_link("bin/sh", "app/server")]),
        "image.shell",
    );
    let mut busybox = program();
    busybox.extend(b"\0BusyBox is copyrighted by many authors between 1998-2015.\n\0");
    refused(
        &with([Item::file("bin/tool", busybox.clone())]),
        "image.shell",
    );
    // The same words in a text are no shell.
    accepted(&with([Item::file("doc", busybox[64..].to_vec())]));
}

#[test]
fn a_shell_that_is_allowed_shows() {
    let shell = with([Item::program("bin/sh")]);
    let built = Draft::workload("insecure_shell = true\n")
        .build(&shell)
        .unwrap();
    assert_eq!(built.insecure.len(), 1);
    assert!(
        built
            .manifest
            .to_json()
            .contains("\"insecure\": [\n      \"shell\"\n    ]")
    );
    let unneeded = Draft::workload("insecure_shell = true\n").build(&base());
    assert_eq!(ids(unneeded), ["image.no_shell"]);
}

#[test]
fn runtimes_are_declared_by_name() {
    let examples = [
        ("python", "usr/bin/python3.12"),
        ("python", "usr/lib/libpython3.12.so.1.0"),
        ("node", "usr/bin/node"),
        ("java", "opt/jdk/bin/java"),
        ("java", "opt/jdk/lib/server/libjvm.so"),
        ("ruby", "usr/bin/ruby"),
        ("php", "usr/sbin/php-fpm8.2"),
        ("perl", "usr/bin/perl5.36.0"),
    ];
    for (name, path) in examples {
        let items = with([Item::program(path)]);
        refused(&items, "image.runtime");
        let built = Draft::workload(&format!("runtimes = [\"{name}\"]\n"))
            .build(&items)
            .unwrap();
        assert_eq!(built.manifest.runtimes, [Runtime::from_name(name).unwrap()]);
        assert!(built.insecure.is_empty());
    }
    let absent = Draft::workload("runtimes = [\"java\"]\n").build(&base());
    assert_eq!(ids(absent), ["image.no_runtime"]);
    accepted(&with([
        Item::directory("usr/lib/python3"),
        Item::program("usr/bin/perlbug"),
    ]));
}

#[test]
fn user_0() {
    let settings = |user: u32, group: u32| {
        Draft::settings(&format!(
            "command = \"/app/server\"\nuser = {user}\ngroup = {group}\nmemory_max_bytes = 1\n"
        ))
    };
    assert_eq!(ids(settings(0, 1000).build(&base())), ["image.root_user"]);
    assert_eq!(ids(settings(1000, 0).build(&base())), ["image.root_user"]);
}

#[test]
fn what_the_settings_must_say() {
    for lacking in ["command", "user", "group"] {
        let settings = Draft::default().settings;
        let settings: String = settings
            .split_inclusive('\n')
            .filter(|line| !line.starts_with(lacking))
            .collect();
        let refusals = Draft::settings(&settings).build(&base()).unwrap_err();
        assert_eq!(refusals.first().id(), "recipe.missing");
        assert_eq!(
            refusals.first().subject(),
            format!("settings.workload.{lacking}")
        );
    }
    for wrong in [
        "user = \"alice\"",
        "group = 5000000000",
        "working_directory = 1",
    ] {
        let field = wrong.split(' ').next().unwrap();
        let mut settings: String = Draft::default()
            .settings
            .split_inclusive('\n')
            .filter(|line| !line.starts_with(field))
            .collect();
        settings.push_str(wrong);
        assert_eq!(
            ids(Draft::settings(&settings).build(&base())),
            ["recipe.settings"]
        );
    }
}

#[test]
fn the_command_must_be_able_to_start() {
    let run = |item: Item| ids(Draft::default().build(&[Item::directory("app"), item]));
    assert_eq!(run(Item::program("app/other")), ["image.command"]);
    assert_eq!(run(Item::directory("app/server")), ["image.command"]);
    assert_eq!(
        run(Item::program("app/server").mode(0o744)),
        ["image.command"]
    );
    assert_eq!(
        run(Item::program("app/server").mode(0o655).owner(1000, 0)),
        ["image.command"]
    );
    assert_eq!(
        run(Item::file("app/server", elf(AARCH64, &[])).mode(0o755)),
        ["image.command"]
    );
    assert_eq!(
        run(Item::file("app/server", "echo").mode(0o755)),
        ["image.command"]
    );
    assert_eq!(
        run(Item::file("app/server", "#!/bin/sh -e\n").mode(0o755)),
        ["image.command"]
    );
    assert_eq!(
        ids(Draft::default().build(&[
            Item::directory("app").mode(0o750),
            Item::program("app/server")
        ])),
        ["image.command"]
    );
    let dynamic = elf(X86_64, &[(3, b"/lib64/ld-linux-x86-64.so.2\0")]);
    assert_eq!(
        run(Item::file("app/server", dynamic.clone()).mode(0o755)),
        ["image.command"]
    );
    // With its loader, through the links that Debian has.
    Draft::default()
        .build(&[
            Item::file("app/server", dynamic).mode(0o755),
            Item::link("lib64", "usr/lib64"),
            Item::link(
                "usr/lib64/ld-linux-x86-64.so.2",
                "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            ),
            Item::program("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
        ])
        .unwrap();
    let mut draft = Draft::default();
    draft.settings.push_str("working_directory = \"/srv\"\n");
    assert_eq!(ids(draft.build(&base())), ["image.command"]);
    draft.build(&with([Item::directory("srv")])).unwrap();
    let closed = with([Item::directory("srv").mode(0o700)]);
    assert_eq!(ids(draft.build(&closed)), ["image.command"]);
    // A script is read by its interpreter, which the user must be able to start.
    let script = |mode: u32, interpreter: u32| {
        Draft::default().build(&[
            Item::file("app/server", "#!/app/run\n").mode(mode),
            Item::program("app/run").mode(interpreter),
        ])
    };
    script(0o755, 0o755).unwrap();
    assert_eq!(ids(script(0o711, 0o755)), ["image.command"]);
    assert_eq!(ids(script(0o755, 0o744)), ["image.command"]);
}

#[test]
fn the_agent_must_be_static_and_for_the_architecture() {
    let agent = |agent: Vec<u8>| {
        let draft = Draft {
            agent,
            ..Draft::default()
        };
        ids(draft.build(&base()))
    };
    assert_eq!(agent(b"#!/bin/sh\n".to_vec()), ["agent.program"]);
    assert_eq!(agent(elf(AARCH64, &[])), ["agent.program"]);
    assert_eq!(agent(program()[..100].to_vec()), ["agent.program"]);
    assert_eq!(
        agent(elf(X86_64, &[(3, b"/lib/ld-musl-x86_64.so.1\0")])),
        ["agent.not_static"]
    );
    let mut needed = 1u64.to_le_bytes().to_vec();
    needed.extend([0; 24]);
    assert_eq!(agent(elf(X86_64, &[(2, &needed)])), ["agent.not_static"]);
    let draft = Draft {
        agent: elf(X86_64, &[(2, &[0; 32])]),
        ..Draft::default()
    };
    draft.build(&base()).unwrap();
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let items = with([
        Item::program("bin/sh").mode(0o4755),
        Item::file("etc/id_rsa", "").mode(0o666),
    ]);
    let mut found = ids(Draft::default().build(&items));
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "image.private_key",
            "image.set_user_id",
            "image.shell",
            "image.world_writable"
        ]
    );
    let many: Vec<_> = (0..300)
        .map(|index| Item::file(&format!("x/{index}"), "").mode(0o666))
        .collect();
    assert_eq!(ids(Draft::default().build(&with(many))).len(), 100);
}
