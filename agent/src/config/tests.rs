//! One rule broken at a time.

use super::*;

/// Everything a configuration can say, and sound.
const SOUND: &str = r#"
runtime_directory = "/run/narthex"
nsm = { socket = "/run/nsm.sock" }

[trust]
project = "payments"
threshold = 2
minimum_bundle_version = 1
log = "log.example.org/payments+70068afa+ASjDEhzAgSeUN87vVg2Dx6kj4ttrnYEWPRt21Q5Iv81t"

[[trust.reviewer]]
name = "alice"
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKFpYcwOBD7sOr5xDhIY6W5uTlEIf9l6YfB9+8MoNKr8"]

[[trust.reviewer]]
name = "bob"
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICCFgBFqkdwTRREhoVdp0oB63LWwcf+GfzE3F5fBZKEE"]

[policy]
source = "vsock:3:9101"
poll_seconds = 15

[keys]
service = "vsock:3:9100"

[[keys.key]]
name = "payments-db"
version = 1
file = "db.key"

[workload]
command = "/app/payments"
arguments = ["--listen"]
environment = { RUST_LOG = "off" }
working_directory = "/app"
user = 1000
group = 1000
restart = "always"

[[counter]]
name = "requests"
min = 0
max = 1000000
step = 1000

[local_socket]
file = "workload.sock"

[gate]
listen = "vsock:any:5005"
user = 100
group = 100
connections = 16

[fetcher]
timeout_seconds = 20
"#;

/// Its line about the log.
const LOG: &str =
    "log = \"log.example.org/payments+70068afa+ASjDEhzAgSeUN87vVg2Dx6kj4ttrnYEWPRt21Q5Iv81t\"\n";

/// The sound configuration with one text replaced by another.
fn with(from: &str, to: &str) -> Result<Config, ConfigError> {
    assert_eq!(SOUND.matches(from).count(), 1, "{from:?} once");
    Config::parse(&SOUND.replace(from, to))
}

#[test]
fn a_full_configuration_is_read_with_its_defaults() {
    let config = Config::parse(SOUND).unwrap();
    assert_eq!(
        config.nsm,
        NsmConfig::Socket(PathBuf::from("/run/nsm.sock"))
    );
    assert_eq!(config.gate.address().unwrap().to_string(), "vsock:any:5005");
    assert_eq!(config.gate.peer_cids, [3]);
    assert_eq!(
        config.local_socket_path().unwrap(),
        Path::new("/run/narthex/workload.sock")
    );
    assert_eq!(config.keys.keys[0].file_name(), "db.key");
    assert_eq!(config.workload.unwrap().restart, RestartPolicy::Always);
}

#[test]
fn the_device_is_the_default_nsm() {
    let config = with("nsm = { socket = \"/run/nsm.sock\" }\n", "").unwrap();
    assert_eq!(config.nsm, NsmConfig::Device);
}

#[test]
fn each_rule_refuses_what_breaks_only_it() {
    let cases = [
        (LOG, "", "trust.log"),
        (LOG, "log = \"\"\n", "file"),
        ("+70068afa+", "+70068afb+", "file"),
        ("nsm = { socket", "extra = 1\nnsm = { socket", "file"),
        ("\"/run/narthex\"", "\"run\"", "runtime_directory"),
        ("\"/run/nsm.sock\"", "\"nsm.sock\"", "nsm.socket"),
        ("threshold = 2", "threshold = 1", "file"),
        ("threshold = 2", "threshold = 3", "file"),
        ("name = \"bob\"", "name = \"alice\"", "file"),
        ("\"vsock:3:9101\"", "\"vsock:3\"", "policy.source"),
        ("\"vsock:3:9101\"", "\"tcp:localhost:1\"", "policy.source"),
        (
            "poll_seconds = 15",
            "poll_seconds = 0",
            "policy.poll_seconds",
        ),
        (
            "poll_seconds = 15",
            "poll_seconds = 3601",
            "policy.poll_seconds",
        ),
        ("poll_seconds = 15", "pol_seconds = 15", "file"),
        ("service = \"vsock:3:9100\"", "", "keys.service"),
        (
            "service = \"vsock:3:9100\"",
            "service = \"x\"",
            "keys.service",
        ),
        ("file = \"db.key\"", "file = \"../db.key\"", "keys.key.file"),
        ("file = \"db.key\"", "file = \".db\"", "keys.key.file"),
        ("\"/app/payments\"", "\"payments\"", "workload.command"),
        (
            "\"/app/payments\"",
            "\"/app/pay\\u0000ments\"",
            "workload.command",
        ),
        (
            "working_directory = \"/app\"",
            "working_directory = \"/\\u0000\"",
            "workload.working_directory",
        ),
        ("\"/run/narthex\"", "\"/run/\\u0000\"", "runtime_directory"),
        (
            "{ RUST_LOG = \"off\" }",
            "{ NARTHEX_KEYS = \"x\" }",
            "workload.environment",
        ),
        (
            "{ RUST_LOG = \"off\" }",
            "{ \"A=B\" = \"x\" }",
            "workload.environment",
        ),
        (
            "working_directory = \"/app\"",
            "working_directory = \"app\"",
            "workload.working_directory",
        ),
        ("user = 1000", "user = 0", "workload.user"),
        ("user = 1000", "user = 4294967295", "workload.user"),
        ("group = 1000", "group = 0", "workload.group"),
        ("group = 1000", "group = 4294967295", "workload.group"),
        ("group = 1000", "", "workload.group"),
        ("user = 100\n", "user = 1000\n", "gate.user"),
        ("group = 100\n", "group = 1000\n", "gate.group"),
        ("user = 100\n", "user = 0\n", "gate.user"),
        ("user = 100\n", "user = 4294967295\n", "gate.user"),
        ("group = 100\n", "", "gate.group"),
        ("restart = \"always\"", "restart = \"sometimes\"", "file"),
        (
            "restart = \"always\"",
            "restart_delay_millis = 9",
            "workload.restart_delay_millis",
        ),
        (
            "restart = \"always\"",
            "restart_delay_max_millis = 1",
            "workload.restart_delay_max_millis",
        ),
        (
            "restart = \"always\"",
            "stop_grace_millis = 600001",
            "workload.stop_grace_millis",
        ),
        (
            "restart = \"always\"",
            "memory_max_bytes = 0",
            "workload.memory_max_bytes",
        ),
        ("restart = \"always\"", "pids_max = 0", "workload.pids_max"),
        ("name = \"requests\"", "name = \"Requests\"", "counter.name"),
        ("name = \"requests\"", "name = \"\"", "counter.name"),
        ("max = 1000000", "max = 0", "counter.max"),
        ("step = 1000", "step = 0", "counter.step"),
        ("step = 1000", "step = 1000001", "counter.step"),
        (
            "file = \"workload.sock\"",
            "file = \"a/b\"",
            "local_socket.file",
        ),
        (
            "file = \"workload.sock\"",
            "file = \"keys\"",
            "local_socket.file",
        ),
        (
            "file = \"workload.sock\"",
            "connections = 0",
            "local_socket.connections",
        ),
        (
            "file = \"workload.sock\"",
            "timeout_seconds = 0",
            "local_socket.timeout_seconds",
        ),
        (
            "file = \"workload.sock\"",
            "attestations_per_minute = 0",
            "local_socket.attestations_per_minute",
        ),
        ("\"vsock:any:5005\"", "\"5005\"", "gate.listen"),
        ("connections = 16", "connections = 0", "gate.connections"),
        ("connections = 16", "connections = 65", "gate.connections"),
        ("connections = 16", "peer_cids = []", "gate.peer_cids"),
        (
            "connections = 16",
            "handshake_seconds = 0",
            "gate.handshake_seconds",
        ),
        (
            "connections = 16",
            "idle_seconds = 3601",
            "gate.idle_seconds",
        ),
        (
            "connections = 16",
            "session_seconds = 43201",
            "gate.session_seconds",
        ),
        (
            "connections = 16",
            "sessions_per_minute = 0",
            "gate.sessions_per_minute",
        ),
        (
            "connections = 16",
            "calls_per_minute = 0",
            "gate.calls_per_minute",
        ),
        (
            "timeout_seconds = 20",
            "timeout_seconds = 0",
            "fetcher.timeout_seconds",
        ),
        (
            "timeout_seconds = 20",
            "retry_max_seconds = 0",
            "fetcher.retry_max_seconds",
        ),
    ];
    for (from, to, field) in cases {
        let error = with(from, to).expect_err(to);
        assert_eq!(error.field, field, "{to:?}: {error}");
    }
}

#[test]
fn names_and_files_are_used_once() {
    let second = |name: &str, file: &str| {
        let key = format!("\n[[keys.key]]\nname = \"{name}\"\nfile = \"{file}\"\n");
        Config::parse(&format!("{SOUND}{key}"))
            .map(|_| ())
            .map_err(|error| error.field)
    };
    assert_eq!(second("other", "other.key"), Ok(()));
    assert_eq!(
        second("payments-db", "other.key"),
        Err(String::from("keys.key"))
    );
    assert_eq!(second("other", "db.key"), Err(String::from("keys.key")));
    let counter = "\n[[counter]]\nname = \"requests\"\nmin = 0\nmax = 1\n";
    assert_eq!(
        Config::parse(&format!("{SOUND}{counter}"))
            .unwrap_err()
            .field,
        "counter"
    );
}

#[test]
fn lists_are_bounded() {
    let counters: String = (0..16)
        .map(|number| format!("\n[[counter]]\nname = \"c{number}\"\nmin = 0\nmax = 1\n"))
        .collect();
    assert_eq!(
        Config::parse(&format!("{SOUND}{counters}"))
            .unwrap_err()
            .field,
        "counter"
    );
    let keys: String = (0..16)
        .map(|number| format!("\n[[keys.key]]\nname = \"k{number}\"\n"))
        .collect();
    assert_eq!(
        Config::parse(&format!("{SOUND}{keys}")).unwrap_err().field,
        "keys.key"
    );
    let long = format!("{SOUND}# {}", "x".repeat(MAX_CONFIG_BYTES));
    assert_eq!(Config::parse(&long).unwrap_err().field, "file");
}

#[test]
fn an_enclave_takes_no_socket_and_shows_no_output() {
    let config = Config::parse(SOUND).unwrap();
    let field = |config: &Config, mode, privileges| {
        config
            .check_run(mode, privileges)
            .map_err(|error| error.field)
    };
    assert_eq!(field(&config, Mode::Local, Privileges::Root), Ok(()));
    assert_eq!(
        field(&config, Mode::Enclave, Privileges::Root),
        Err(String::from("nsm"))
    );
    let shows = SOUND
        .replace("nsm = { socket = \"/run/nsm.sock\" }\n", "")
        .replace("restart = \"always\"", "show_output = true");
    let shows = Config::parse(&shows).unwrap();
    assert_eq!(field(&shows, Mode::Local, Privileges::Root), Ok(()));
    let refused = Err(String::from("workload.show_output"));
    assert_eq!(field(&shows, Mode::Enclave, Privileges::Root), refused);
    let older = SOUND
        .replace("nsm = { socket = \"/run/nsm.sock\" }\n", "")
        .replace("connections = 16", "insecure_older_landlock = true");
    let older = Config::parse(&older).unwrap();
    assert_eq!(field(&older, Mode::Local, Privileges::Root), Ok(()));
    let refused = Err(String::from("gate.insecure_older_landlock"));
    assert_eq!(field(&older, Mode::Enclave, Privileges::Root), refused);
}

#[test]
fn an_enclave_does_not_run_without_the_log() {
    let device = SOUND.replace("nsm = { socket = \"/run/nsm.sock\" }\n", "");
    let enclave = |text: &str| Config::parse(text).unwrap().check_mode(Mode::Enclave);
    assert_eq!(enclave(&device), Ok(()));
    let insecure = format!("insecure_without_ledger = true\n{device}");
    for text in [insecure.clone(), insecure.replace(LOG, "")] {
        let error = enclave(&text).unwrap_err();
        assert_eq!(error.field, "insecure_without_ledger");
        assert!(error.rule.contains("--local only"), "{error}");
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.check_mode(Mode::Local), Ok(()));
    }
    // Saying that it is not insecure is not a log.
    let neither = format!("insecure_without_ledger = false\n{device}").replace(LOG, "");
    assert_eq!(Config::parse(&neither).unwrap_err().field, "trust.log");
}

#[test]
fn users_are_given_with_root_and_only_then() {
    let with_users = Config::parse(SOUND).unwrap();
    let without = SOUND
        .replace("user = 1000\ngroup = 1000\n", "")
        .replace("user = 100\ngroup = 100\n", "");
    let without = Config::parse(&without).unwrap();
    let field = |config: &Config, privileges| {
        config
            .check_run(Mode::Local, privileges)
            .map_err(|error| error.field)
    };
    assert_eq!(field(&with_users, Privileges::Root), Ok(()));
    assert_eq!(field(&without, Privileges::Unprivileged), Ok(()));
    let refused = Err(String::from("gate.user"));
    assert_eq!(field(&with_users, Privileges::Unprivileged), refused);
    assert_eq!(field(&without, Privileges::Root), refused);
}

#[test]
fn a_configuration_is_judged_on_another_machine_without_its_files() {
    let absent = "restart = \"always\"\nroot = \"/nonexistent/root\"";
    let text = SOUND
        .replace("nsm = { socket = \"/run/nsm.sock\" }\n", "")
        .replace("restart = \"always\"", absent);
    let config = Config::parse(&text).unwrap();
    let as_built = |privileges| {
        config
            .check_as(Mode::Enclave, privileges)
            .map_err(|error| error.field)
    };
    assert_eq!(as_built(Privileges::Root), Ok(()));
    assert_eq!(
        as_built(Privileges::Unprivileged),
        Err(String::from("gate.user"))
    );
    let run = config.check_run(Mode::Enclave, Privileges::Root);
    assert_eq!(run.unwrap_err().field, "workload.root");
}

#[test]
fn a_root_of_its_own_breaks_one_rule_at_a_time() {
    let root = |root: &str| {
        with(
            "command = \"/app/payments\"",
            &format!("command = \"/app/payments\"\n{root}"),
        )
    };
    assert!(root("root = \"/rootfs\"").is_ok());
    for (text, field, words) in [
        ("root = \"rootfs\"", "workload.root", "absolute"),
        ("root = \"/\"", "workload.root", "must not be `/`"),
        ("root = \"//.//\"", "workload.root", "must not be `/`"),
        ("root = \"/a/../b\"", "workload.root", "`..`"),
        ("root = \"/proc/1/root\"", "workload.root", "/proc"),
        ("root = \"/dev\"", "workload.root", "/proc, /sys or /dev"),
        ("root = \"/run\"", "workload.root", "runtime_directory"),
        (
            "root = \"/run/narthex/root\"",
            "workload.root",
            "runtime_directory",
        ),
        ("tmp_max_bytes = 0", "workload.tmp_max_bytes", "4096"),
        ("shm_max_bytes = 4095", "workload.shm_max_bytes", "4096"),
    ] {
        let error = root(text).unwrap_err();
        assert_eq!(error.field, field, "{text}");
        assert!(error.rule.contains(words), "{text}: {error}");
    }
    for directory in ["/run", "/var/lib/narthex", "/run/../etc"] {
        let text = SOUND.replace("command =", "root = \"/rootfs\"\ncommand =");
        let text = text.replace("\"/run/narthex\"", &format!("{directory:?}"));
        assert_eq!(
            Config::parse(&text).unwrap_err().field,
            "runtime_directory",
            "{directory}"
        );
    }
}

#[test]
fn the_workload_itself_is_never_an_operator() {
    for cids in ["[1]", "[3, 1]", "[4294967295]"] {
        let error = with("connections = 16", &format!("peer_cids = {cids}")).unwrap_err();
        assert_eq!(error.field, "gate.peer_cids", "{cids}");
    }
    let device = SOUND.replace("nsm = { socket = \"/run/nsm.sock\" }\n", "");
    let enclave = |text: &str| Config::parse(text).unwrap().check_mode(Mode::Enclave);
    assert_eq!(enclave(&device), Ok(()));
    for listen in [
        "tcp:127.0.0.1:5005",
        "unix:/run/gate",
        "hybrid:/run/gate:5005",
    ] {
        let text = device.replace("vsock:any:5005", listen);
        assert_eq!(enclave(&text).unwrap_err().field, "gate.listen", "{listen}");
        assert_eq!(
            Config::parse(&text).unwrap().check_mode(Mode::Local),
            Ok(())
        );
    }
}

#[test]
fn an_enclave_has_a_root_by_default_and_a_laptop_needs_root_for_one() {
    let config = Config::parse(SOUND).unwrap();
    let workload = config.workload.as_ref().unwrap();
    assert_eq!(workload.effective_root(Mode::Local), None);
    let default = workload.effective_root(Mode::Enclave);
    assert_eq!(default, Some(Path::new("/rootfs")));
    let elsewhere = SOUND
        .replace("nsm = { socket = \"/run/nsm.sock\" }\n", "")
        .replace("\"/run/narthex\"", "\"/var/lib/narthex\"");
    let refused = Config::parse(&elsewhere).unwrap().check_mode(Mode::Enclave);
    assert_eq!(refused.unwrap_err().field, "runtime_directory");
    let folder = tempfile::tempdir().unwrap();
    let with_root = |root: &Path| {
        let text = SOUND.replace("command =", &format!("root = {root:?}\ncommand ="));
        Config::parse(&text).unwrap()
    };
    let there = with_root(folder.path());
    assert_eq!(there.check_run(Mode::Local, Privileges::Root), Ok(()));
    let nobody = Config::parse(
        &SOUND
            .replace(
                "command =",
                &format!("root = {:?}\ncommand =", folder.path()),
            )
            .replace("user = 1000\ngroup = 1000\n", "")
            .replace("user = 100\ngroup = 100\n", ""),
    );
    let error = nobody
        .unwrap()
        .check_run(Mode::Local, Privileges::Unprivileged)
        .unwrap_err();
    assert_eq!(error.field, "workload.root");
    assert!(error.rule.contains("needs root"), "{error}");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    for (path, words) in [
        (folder.path().join("absent"), "cannot be used"),
        (link, "no link"),
    ] {
        let error = with_root(&path).check_run(Mode::Local, Privileges::Root);
        let error = error.unwrap_err();
        assert_eq!(error.field, "workload.root");
        assert!(error.rule.contains(words), "{error}");
    }
}
