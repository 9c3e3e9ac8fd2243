//! The workload, really started: what confines it, how it ends, and that nothing of it is left.
// Helpers of tests are tests to the lints only when they carry the attribute.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing
)]
#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::users::{WORKLOAD, as_ordinary_user, is_root, skip_without_root};
use common::workloads::{Place, agent, ended, key, processes_with, run, until};
use narthex_agent::mode::Mode;
use narthex_agent::sandbox::kernel_landlock_abi;
use narthex_agent::workload::{
    ConfinementMeasure, ExitKind, LaunchStep, MeasureState, WorkloadError, WorkloadHandle,
    WorkloadState, spawn,
};
use nix::sys::resource::{Resource, getrlimit};

/// linux/capability.h.
const CAP_SYS_RESOURCE: u32 = 24;

const STATUS: &str = "cat /proc/self/status > $OUT/status";

fn status_line(status: &str, key: &str) -> String {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"))
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn as_root_everything_that_is_asked_for_holds() {
    if skip_without_root("as_root_everything_that_is_asked_for_holds") {
        return;
    }
    // Not below /tmp, which becomes the workload's own.
    let place = Place::below(Path::new("/run"));
    let script = "cat /proc/self/status > $OUT/status; ls -la /tmp > $OUT/tmp; touch /tmp/mine
        cat /proc/self/mountinfo > $OUT/mounts; cat /proc/self/limits > $OUT/limits
        ls -l /proc/self/fd > $OUT/fds; cat /proc/self/stat > $OUT/stat; env > $OUT/env
        stat -c '%a %u %g' $NARTHEX_KEYS $NARTHEX_KEYS/* > $OUT/keys; cat $NARTHEX_KEYS/a > $OUT/a
        echo x > $NARTHEX_KEYS/b 2>/dev/null; ls $NARTHEX_KEYS > $OUT/listed; umask > $OUT/umask
        touch $OUT/done; exec sleep 1000";
    fs::write("/tmp/narthex-test-not-for-the-workload", "x").unwrap();
    run(async {
        let workload = place.workload(script, "");
        workload
            .deliver_keys(vec![key("a", b"key bytes")])
            .await
            .unwrap();
        workload.start().await.unwrap();
        until("the script", || place.out().join("done").exists()).await;

        let confinement = workload.snapshot().confinement.unwrap();
        assert!(confinement.missing().is_empty(), "{:?}", confinement);
        let seen_by_agent = fs::read_dir(place.keys()).unwrap().count();
        assert_eq!(
            seen_by_agent, 0,
            "keys are in the workload's namespace only"
        );
        workload.stop(None).await.unwrap();
    });
    let status = place.seen("status");
    for (key, wanted) in [
        (
            "Uid",
            format!("{WORKLOAD}\t{WORKLOAD}\t{WORKLOAD}\t{WORKLOAD}"),
        ),
        (
            "Gid",
            format!("{WORKLOAD}\t{WORKLOAD}\t{WORKLOAD}\t{WORKLOAD}"),
        ),
        ("CapInh", "0".repeat(16)),
        ("CapPrm", "0".repeat(16)),
        ("CapEff", "0".repeat(16)),
        ("CapBnd", "0".repeat(16)),
        ("CapAmb", "0".repeat(16)),
        ("NoNewPrivs", "1".to_owned()),
        ("Seccomp", "2".to_owned()),
        ("SigIgn", "0".repeat(16)),
        ("SigBlk", "0".repeat(16)),
    ] {
        assert_eq!(status_line(&status, key), wanted, "{key}");
    }
    assert_eq!(status_line(&status, "Groups").trim(), "");
    // `ls` itself has the directory open as 3.
    let fds = place.seen("fds");
    assert_eq!(fds.matches(" -> ").count(), 4, "{fds}");
    assert!(
        fds.contains("0 -> /dev/null") && fds.contains("2 -> pipe:"),
        "{fds}"
    );
    // Root may raise its limit of open files, but in a container without that capability.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = u64::from_str_radix(status_line(&own, "CapEff").trim(), 16).unwrap();
    let open_files = match capabilities & (1 << CAP_SYS_RESOURCE) {
        0 => hard.min(65_536),
        _ => 65_536,
    };
    let open_files = open_files.to_string();
    // 1 is the kernel's "never", for core patterns that are pipes too.
    for (name, limit) in [
        ("Max core file size", "1"),
        ("Max processes", "4096"),
        ("Max open files", &*open_files),
    ] {
        let limits = place.seen("limits");
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        let values: Vec<_> = line.split_whitespace().take(2).collect();
        assert_eq!(values, [limit, limit], "{name}");
    }
    assert_eq!(place.seen("umask").trim(), "0077");
    assert!(
        !place.seen("tmp").contains("narthex-test"),
        "/tmp is its own"
    );
    assert!(!Path::new("/tmp/mine").exists());
    let mounts = place.seen("mounts");
    assert!(
        mounts.lines().all(|line| line.contains("nosuid")),
        "{mounts}"
    );
    assert!(!mounts.contains("shared:"), "nothing propagates: {mounts}");
    let keys_mount = mounts
        .lines()
        .find(|line| line.contains("/run/keys "))
        .unwrap();
    for option in ["nosuid", "nodev", "noexec", "tmpfs"] {
        assert!(keys_mount.contains(option), "{keys_mount}");
    }
    assert_eq!(
        place.seen("keys").lines().next(),
        Some(&*format!("750 0 {WORKLOAD}"))
    );
    assert_eq!(
        place.seen("keys").lines().nth(1),
        Some(&*format!("400 {WORKLOAD} {WORKLOAD}"))
    );
    assert_eq!(place.seen("a"), "key bytes");
    assert_eq!(place.seen("listed"), "a\n", "it cannot add files");
    let mut names: Vec<_> = place
        .seen("env")
        .lines()
        .map(|line| line.split('=').next().unwrap().to_owned())
        .filter(|name| !["PWD", "_", "SHLVL", "OLDPWD"].contains(&name.as_str())) // The shell's own.
        .collect();
    names.sort();
    assert_eq!(names, ["NARTHEX_KEYS", "OUT", "PATH"]);
    // Field 6 of stat is the session; 7 the terminal.
    let stat = place.seen("stat");
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(fields[4], "0", "no terminal: {stat}");
    let _ = fs::remove_file("/tmp/narthex-test-not-for-the-workload");
}

#[test]
fn an_enclave_does_not_start_a_workload_without_its_limits() {
    if skip_without_root("an_enclave_does_not_start_a_workload_without_its_limits") {
        return;
    }
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if controllers.contains("memory") {
        return eprintln!("skipped: this machine has the controller, so the limit can be had");
    }
    let place = Place::below(Path::new("/run"));
    run(async {
        let config = place.config("exit 0", "memory_max_bytes = 10000000");
        // Without a limit of the configuration's it computes one.
        for config in [&config, &place.config("exit 0", "")] {
            let enclave = spawn(Some(place.settings(config, Mode::Enclave)));
            let refused = enclave.start().await.unwrap_err();
            assert!(matches!(
                refused,
                WorkloadError::NotStarted(LaunchStep::ControlGroup, _)
            ));
        }
        let local = spawn(Some(place.settings(&config, Mode::Local)));
        local.start().await.unwrap();
        let state = local
            .snapshot()
            .confinement
            .unwrap()
            .state(ConfinementMeasure::MemoryLimit);
        assert_eq!(state, MeasureState::NotEnforced, "--local says so");
        local.stop(None).await.unwrap();
    });
}

#[test]
fn without_root_what_cannot_be_had_is_reported_and_the_rest_holds() {
    as_ordinary_user(
        "without_root_what_cannot_be_had_is_reported_and_the_rest_holds",
        || {
            let place = Place::new();
            let script = format!(
                "{STATUS}; stat -c %a $NARTHEX_KEYS/a > $OUT/mode; touch $OUT/done; exec sleep 1000"
            );
            run(async {
                let workload = place.workload(&script, "pids_max = 50");
                workload
                    .deliver_keys(vec![key("a", b"key bytes")])
                    .await
                    .unwrap();
                workload.start().await.unwrap();
                until("the script", || place.out().join("done").exists()).await;
                let confinement = workload.snapshot().confinement.unwrap();
                for measure in ConfinementMeasure::ALL {
                    let wanted = match measure {
                        ConfinementMeasure::MemoryLimit
                        | ConfinementMeasure::OwnRoot
                        | ConfinementMeasure::NoWrittenPrograms => MeasureState::NotAsked,
                        // On kernels before 6.12.
                        ConfinementMeasure::ScopedSignals if kernel_landlock_abi() < 6 => {
                            MeasureState::NotEnforced
                        }
                        // A delegated hierarchy gives these to an ordinary user.
                        ConfinementMeasure::OwnControlGroup
                        | ConfinementMeasure::ProcessLimit
                        | ConfinementMeasure::ProcessorShare => continue,
                        other if other.needs_privilege() => MeasureState::NotEnforced,
                        _ => MeasureState::Enforced,
                    };
                    assert_eq!(confinement.state(measure), wanted, "{}", measure.id());
                }
                workload.stop(None).await.unwrap();
                assert_eq!(fs::read_dir(place.keys()).unwrap().count(), 0, "wiped");
            });
            let status = place.seen("status");
            assert_eq!(status_line(&status, "CapPrm"), "0".repeat(16));
            assert_eq!(status_line(&status, "NoNewPrivs"), "1");
            assert_eq!(status_line(&status, "Seccomp"), "2");
            assert_eq!(place.seen("mode").trim(), "400");
        },
    );
}

fn user_namespaces_are_refused_here() {
    let place = Place::new();
    let script = "unshare --user true && touch $OUT/escaped
        unshare --map-root-user true && touch $OUT/escaped; touch $OUT/done";
    let outside = Command::new("unshare").args(["--user", "true"]).status();
    assert!(
        outside.is_ok_and(|status| status.success()),
        "unshare works outside, or proves nothing"
    );
    run(async {
        let workload = place.workload(script, "restart = \"never\"");
        workload.start().await.unwrap();
        ended(&workload).await;
    });
    assert!(place.out().join("done").exists());
    assert!(!place.out().join("escaped").exists());
}

#[test]
fn user_namespaces_are_refused() {
    if is_root() {
        user_namespaces_are_refused_here();
    }
    as_ordinary_user(
        "user_namespaces_are_refused",
        user_namespaces_are_refused_here,
    );
}

/// Names the file to write to, when this binary is started as the workload of the next test.
const CALLER: &str = "NARTHEX_TEST_CALLER";

/// What the filters refuse, tried by the workload itself.
#[allow(unsafe_code)] // Bare system calls, with arguments that make the kernel do nothing.
fn try_system_calls(seen: &Path) {
    use nix::errno::Errno;
    use nix::libc;
    const NEW_USER: libc::c_long = libc::CLONE_NEWUSER as libc::c_long;
    const X32: libc::c_long = 0x4000_0000;
    let none: libc::c_long = 0;
    let mut text = String::new();
    for (name, number, argument) in [
        ("unshare", libc::SYS_unshare, NEW_USER),
        (
            "unshare of mounts",
            libc::SYS_unshare,
            libc::CLONE_NEWNS as libc::c_long,
        ),
        (
            "clone",
            libc::SYS_clone,
            NEW_USER | libc::SIGCHLD as libc::c_long,
        ),
        ("clone3", libc::SYS_clone3, none),
        ("keyctl", libc::SYS_keyctl, none),
        ("ptrace", libc::SYS_ptrace, 99),
        ("bpf", libc::SYS_bpf, 99),
        ("setns", libc::SYS_setns, -1),
        ("x32 unshare", libc::SYS_unshare | X32, NEW_USER),
        (
            "unshare of files",
            libc::SYS_unshare,
            libc::CLONE_FILES as libc::c_long,
        ),
    ] {
        // SAFETY: every argument is a number; the calls are refused or change nothing.
        let result = unsafe { libc::syscall(number, argument, none, none, none, none) };
        let shown =
            Errno::result(result).map_or_else(|error| format!("{error:?}"), |_| "done".into());
        text.push_str(&format!("{name}: {shown}\n"));
    }
    fs::write(seen, text).unwrap();
}

fn system_calls_are_refused_here() {
    let place = Place::new();
    let program = place.out().parent().unwrap().join("caller");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut config = place.config("", "restart = \"never\"");
    config.command = program;
    config.arguments = vec!["--exact".to_owned(), "system_calls_are_refused".to_owned()];
    let seen = place.out().join("seen");
    config
        .environment
        .insert(CALLER.to_owned(), seen.to_str().unwrap().to_owned());
    run(async {
        let workload = spawn(Some(place.settings(&config, Mode::Local)));
        workload.start().await.unwrap();
        ended(&workload).await;
    });
    // Elsewhere there is no x32, and no call of that number.
    let x32 = if cfg!(target_arch = "x86_64") {
        "EPERM"
    } else {
        "ENOSYS"
    };
    let wanted = format!(
        "unshare: EPERM\nunshare of mounts: EPERM\nclone: EPERM\nclone3: ENOSYS\nkeyctl: EPERM\nptrace: EPERM\n\
         bpf: EPERM\nsetns: EPERM\nx32 unshare: {x32}\nunshare of files: done\n"
    );
    assert_eq!(place.seen("seen"), wanted);
}

#[test]
fn system_calls_are_refused() {
    if let Some(seen) = std::env::var_os(CALLER) {
        return try_system_calls(Path::new(&seen));
    }
    if is_root() {
        system_calls_are_refused_here();
    }
    as_ordinary_user("system_calls_are_refused", system_calls_are_refused_here);
}

/// Seconds to sleep that no other run of these tests sleeps: they are looked for on the whole machine.
fn marker(seconds: u32) -> String {
    format!("{seconds}.{}", std::process::id())
}

/// Daemons in sessions of their own, deaf to SIGTERM, orphaned twice, one forking all the time.
fn flock(marker: &str) -> String {
    format!(
        "trap '' TERM
        setsid sh -c 'trap \"\" TERM HUP; sleep {marker} & sleep {marker} & wait' &
        (setsid sh -c '(sleep {marker} &) ; exit 0' &)
        (while :; do sh -c 'sleep {marker} & exit 0'; sleep 0.05; done) &
        touch $OUT/done; while :; do sleep {marker}; done"
    )
}

fn stopping_leaves_nothing_here(marker: &str) {
    let place = Place::new();
    run(async {
        let workload = place.workload(&flock(marker), "stop_grace_millis = 200");
        workload.start().await.unwrap();
        until("the flock", || processes_with(marker) >= 6).await;
        workload.stop(None).await.unwrap();
        assert_eq!(processes_with(marker), 0);
        assert_eq!(workload.snapshot().state, WorkloadState::Stopped);
        let (exit, _) = workload.snapshot().last_exit.unwrap();
        assert_eq!(exit.kind, ExitKind::Signal(9), "deaf to SIGTERM");
        assert!(exit.requested);
    });
}

#[test]
fn stopping_leaves_nothing() {
    if is_root() {
        stopping_leaves_nothing_here(&marker(31415));
    }
    as_ordinary_user("stopping_leaves_nothing", || {
        stopping_leaves_nothing_here(&marker(31415))
    });
}

fn ending_by_itself_leaves_nothing_here(marker: &str) {
    let place = Place::new();
    let script = format!("setsid sleep {marker} & (setsid sleep {marker} &); sleep 0.1; exit 3");
    run(async {
        let workload = place.workload(&script, "restart = \"never\"");
        workload.start().await.unwrap();
        let end = ended(&workload).await;
        assert_eq!(end.last_exit.unwrap().0.kind, ExitKind::Code(3));
        assert_eq!(processes_with(marker), 0);
    });
}

#[test]
fn ending_by_itself_leaves_nothing() {
    if is_root() {
        ending_by_itself_leaves_nothing_here(&marker(31416));
    }
    let ordinary = || ending_by_itself_leaves_nothing_here(&marker(31416));
    as_ordinary_user("ending_by_itself_leaves_nothing", ordinary);
}

/// The test runs itself as "the agent", and kills that.
const KILLED_AGENT: &str = "NARTHEX_TEST_AGENT_TO_BE_KILLED";

fn a_killed_agent_leaves_nothing_here(marker: &str) {
    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_agent_leaves_nothing"])
        .env(KILLED_AGENT, &ready)
        .env("NARTHEX_TEST_MARKER", marker)
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    run(async {
        until("the agent", || ready.exists()).await;
        let runtime = fs::read_to_string(&ready).unwrap();
        let runtime = Path::new(&runtime);
        assert!(processes_with(marker) >= 6);
        if !is_root() {
            assert!(runtime.join("keys/a").exists());
        }
        agent.kill().unwrap(); // SIGKILL
        agent.wait().unwrap();
        until("nothing is left", || processes_with(marker) == 0).await;
        until("no key", || {
            fs::read_dir(runtime.join("keys")).unwrap().count() == 0
        })
        .await;
        let groups = format!("narthex-workload-{}-", agent.id());
        for hierarchy in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let left = || {
                fs::read_dir(hierarchy).is_ok_and(|mut entries| {
                    entries.any(|entry| {
                        entry.is_ok_and(|entry| {
                            entry.file_name().to_string_lossy().starts_with(&groups)
                        })
                    })
                })
            };
            until("no control group", || !left()).await;
        }
        let _ = fs::remove_dir_all(runtime.parent().unwrap());
    });
}

fn be_the_agent_to_be_killed(ready: &Path) {
    let marker = std::env::var("NARTHEX_TEST_MARKER").unwrap();
    let place = Place::new();
    run(async {
        let workload = place.workload(&flock(&marker), "");
        workload
            .deliver_keys(vec![key("a", b"secret")])
            .await
            .unwrap();
        workload.start().await.unwrap();
        until("the flock", || processes_with(&marker) >= 6).await;
        fs::write(
            ready.with_extension("new"),
            place.runtime().to_str().unwrap(),
        )
        .unwrap();
        fs::rename(ready.with_extension("new"), ready).unwrap();
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_killed_agent_leaves_nothing() {
    if let Some(ready) = std::env::var_os(KILLED_AGENT) {
        return be_the_agent_to_be_killed(Path::new(&ready));
    }
    if is_root() {
        a_killed_agent_leaves_nothing_here(&marker(31417));
    }
    let ordinary = || a_killed_agent_leaves_nothing_here(&marker(31417));
    as_ordinary_user("a_killed_agent_leaves_nothing", ordinary);
}

#[test]
fn a_killed_shepherd_takes_the_workload_with_it() {
    let marker = &marker(31418);
    let place = Place::new();
    run(async {
        let workload = place.workload(&format!("exec sleep {marker}"), "restart = \"never\"");
        workload.start().await.unwrap();
        until("the workload", || processes_with(marker) == 1).await;
        let us = nix::unistd::getpid();
        // The workload's parent; other tests' shepherds run at the same time.
        let shepherd = narthex_agent::platform::process::descendants(us)
            .into_iter()
            .find(|&pid| {
                let below = narthex_agent::platform::process::descendants(pid);
                below.len() == 1
                    && fs::read(format!("/proc/{}/cmdline", below[0])).is_ok_and(|line| {
                        line.windows(marker.len())
                            .any(|word| word == marker.as_bytes())
                    })
            });
        nix::sys::signal::kill(shepherd.unwrap(), nix::sys::signal::Signal::SIGKILL).unwrap();
        let end = ended(&workload).await;
        assert_eq!(end.last_exit.unwrap().0.kind, ExitKind::Unknown);
        assert_eq!(end.state, WorkloadState::Failed);
        until("the workload's end", || processes_with(marker) == 0).await;
    });
}

#[test]
fn exit_codes_and_signals_are_kept() {
    for (script, wanted) in [
        ("exit 0", ExitKind::Code(0)),
        ("exit 255", ExitKind::Code(255)),
        ("kill -SEGV $$", ExitKind::Signal(11)),
        ("kill -KILL $$", ExitKind::Signal(9)),
        ("kill -64 $$", ExitKind::Signal(64)), // A real-time signal.
    ] {
        let place = Place::new();
        run(async {
            let workload = place.workload(script, "restart = \"never\"");
            let mut exits = workload.exits();
            workload.start().await.unwrap();
            exits.wait_for(|&count| count == 1).await.unwrap();
            let snapshot = ended(&workload).await;
            let (exit, _) = snapshot.last_exit.unwrap();
            assert_eq!(exit.kind, wanted, "{script}");
            assert!(!exit.requested);
            let well = wanted == ExitKind::Code(0);
            let state = if well {
                WorkloadState::Stopped
            } else {
                WorkloadState::Failed
            };
            assert_eq!(snapshot.state, state, "{script}");
        });
    }
}

#[test]
fn a_program_that_is_not_there_is_told_apart() {
    let place = Place::new();
    run(async {
        let mut config = place.config("", "restart = \"never\"");
        config.command = "/nonexistent/program".into();
        let workload = spawn(Some(place.settings(&config, Mode::Local)));
        let error = workload.start().await.unwrap_err();
        assert_eq!(error, WorkloadError::NotStarted(LaunchStep::Program, 2));
        let (exit, _) = workload.snapshot().last_exit.unwrap();
        assert_eq!(exit.kind, ExitKind::NotStarted(LaunchStep::Program, 2));
        config.command = "/bin/sh".into();
        config.working_directory = "/nonexistent".into();
        let workload = spawn(Some(place.settings(&config, Mode::Local)));
        let error = workload.start().await.unwrap_err();
        assert_eq!(
            error,
            WorkloadError::NotStarted(LaunchStep::WorkingDirectory, 2)
        );
    });
}

#[test]
fn restarts_follow_the_policy_and_are_counted() {
    let place = Place::new();
    run(async {
        let extra = "restart_delay_millis = 10\nrestarts_max = 3";
        let workload = place.workload("echo run >> $OUT/runs; exit 1", extra);
        workload.start().await.unwrap();
        let end = ended(&workload).await;
        assert_eq!(end.restarts, 3);
        assert_eq!(end.state, WorkloadState::Failed);
        assert_eq!(place.seen("runs").lines().count(), 4);
        // Somebody asks for another start: the limit begins anew.
        workload.restart(None).await.unwrap();
        assert_eq!(ended(&workload).await.restarts, 7);
    });
}

#[test]
fn stop_while_waiting_to_restart_stays_stopped() {
    let place = Place::new();
    run(async {
        let workload = place.workload("exit 1", "restart_delay_millis = 200");
        workload.start().await.unwrap();
        let waits = || workload.snapshot().state == WorkloadState::WaitingToRestart;
        until("the pause", waits).await;
        assert!(workload.snapshot().next_start_in.is_some());
        workload.stop(None).await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(workload.snapshot().state, WorkloadState::Stopped);
        assert_eq!(workload.snapshot().restarts, 0);
    });
}

#[test]
fn a_stop_in_order_gives_the_workload_its_time() {
    let place = Place::new();
    let script = "trap 'sleep 0.2; touch $OUT/tidied; exit 0' TERM; touch $OUT/up
        while :; do sleep 0.05; done";
    run(async {
        let workload = place.workload(script, "stop_grace_millis = 10000");
        workload.start().await.unwrap();
        until("the trap", || place.out().join("up").exists()).await;
        workload.stop(None).await.unwrap();
        assert!(place.out().join("tidied").exists());
        let (exit, _) = workload.snapshot().last_exit.unwrap();
        assert_eq!((exit.kind, exit.requested), (ExitKind::Code(0), true));
        workload.stop(None).await.unwrap(); // Again: nothing to do.
    });
}

#[test]
fn output_is_discarded_and_counted() {
    let place = Place::new();
    run(async {
        let script = "head -c 300000 /dev/zero; echo error >&2; exit 0";
        let workload = place.workload(script, "");
        workload.start().await.unwrap();
        let end = ended(&workload).await;
        assert_eq!((end.output_bytes, end.error_bytes), (300_000, 6));
    });
}

/// Programs that are told to log to a file are given `/dev/stdout` as its name.
#[test]
fn output_can_be_opened_by_its_name_to_write_but_not_to_read() {
    let place = Place::new();
    let script = "echo named > /dev/stdout || exit 3; echo named >> /dev/stderr || exit 4
        ! (exec 3< /dev/stdout) || exit 5; exit 0";
    run(async {
        let workload = place.workload(script, "restart = \"never\"");
        workload.start().await.unwrap();
        let end = ended(&workload).await;
        let wanted = if is_root() { 0 } else { 5 }; // Without a user of its own the pipes are its own too.
        assert_eq!(end.last_exit.unwrap().0.kind, ExitKind::Code(wanted));
        assert_eq!(end.output_bytes, 6);
    });
}

/// The NSM's driver may never answer; its callers then hold all threads for what blocks.
#[test]
fn a_stop_needs_no_thread_of_the_blocking_pool() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (_never, blocked) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || blocked.recv());
    let place = Place::new();
    let stopped = tokio::task::LocalSet::new().block_on(&runtime, async {
        let workload = place.workload("exec sleep 1000", "");
        workload.start().await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), workload.stop(None)).await
    });
    runtime.shutdown_background();
    assert_eq!(stopped, Ok(Ok(())));
}

/// To setresuid(2) this number means "as it is".
#[test]
fn the_user_that_is_no_user_is_not_become() {
    if skip_without_root("the_user_that_is_no_user_is_not_become") {
        return;
    }
    for (user, group) in [(u32::MAX, WORKLOAD), (WORKLOAD, u32::MAX)] {
        let place = Place::new();
        let mut config = place.config("id > $OUT/id", "restart = \"never\"");
        (config.user, config.group) = (Some(user), Some(group));
        run(async {
            let workload = spawn(Some(place.settings(&config, Mode::Local)));
            let refused = workload.start().await;
            assert_eq!(place.seen("id"), "");
            assert!(
                matches!(refused, Err(WorkloadError::NotStarted(LaunchStep::User, _))),
                "{refused:?}"
            );
        });
    }
}

#[test]
fn keys_are_replaced_while_it_runs_and_given_again_after_a_restart() {
    let place = Place::new();
    let script = "for i in 1 2; do until [ \"$(cat $NARTHEX_KEYS/a 2>/dev/null)\" = new ]; do
        sleep 0.01; done; done; ls $NARTHEX_KEYS >> $OUT/listed; exit 1";
    run(async {
        let workload = place.workload(script, "restart_delay_millis = 10\nrestarts_max = 1");
        workload
            .deliver_keys(vec![key("a", b"old"), key("b", b"old")])
            .await
            .unwrap();
        workload.start().await.unwrap();
        workload.deliver_keys(vec![key("a", b"new")]).await.unwrap();
        ended(&workload).await;
        assert_eq!(place.seen("listed"), "a\na\n");
    });
}

/// A workload owns its key files, and can leave no room for others beside them.
#[test]
fn new_keys_that_find_no_room_are_there_at_the_next_start() {
    if skip_without_root("new_keys_that_find_no_room_are_there_at_the_next_start") {
        return;
    }
    let place = Place::new();
    let script = "read key < $NARTHEX_KEYS/a; echo $key >> $OUT/keys
        chmod 600 $NARTHEX_KEYS/a; cat /dev/zero > $NARTHEX_KEYS/a; touch $OUT/full; exec sleep 1000";
    run(async {
        let workload = place.workload(script, "");
        workload.deliver_keys(vec![key("a", b"old")]).await.unwrap();
        workload.start().await.unwrap();
        until("a full file system", || place.out().join("full").exists()).await;
        let full = workload.deliver_keys(vec![key("a", b"new")]).await;
        assert_eq!(full, Err(WorkloadError::KeyFiles(nix::libc::ENOSPC)));
        workload.restart(None).await.unwrap();
        until("the next start", || place.seen("keys") == "old\nnew\n").await;
        workload.stop(None).await.unwrap();
    });
}

#[test]
fn wiped_keys_are_gone_for_the_workload_that_runs_and_for_the_next() {
    let place = Place::new();
    let script = "while [ -e $NARTHEX_KEYS/a ]; do sleep 0.01; done
        ls -A $NARTHEX_KEYS > $OUT/left; touch $OUT/wiped; exec sleep 1000";
    run(async {
        let workload = place.workload(script, "");
        workload
            .deliver_keys(vec![key("a", b"secret")])
            .await
            .unwrap();
        workload.start().await.unwrap();
        assert!(!place.out().join("wiped").exists());
        workload.wipe_keys().await.unwrap();
        until("the wipe", || place.out().join("wiped").exists()).await;
        fs::remove_file(place.out().join("wiped")).unwrap();
        workload.restart(None).await.unwrap();
        until("the next run", || place.out().join("wiped").exists()).await;
        assert_eq!(place.seen("left"), "");
        workload.stop(None).await.unwrap();
    });
}

/// An operator's restart with ten minutes of grace, in which the workload has been told to stop.
async fn restart_under_way(
    workload: &WorkloadHandle,
) -> tokio::task::JoinHandle<Result<(), WorkloadError>> {
    let restarting = workload.clone();
    let restart = tokio::task::spawn_local(async move {
        restarting.restart(Some(Duration::from_secs(600))).await
    });
    until("the stop", || {
        workload.snapshot().state == WorkloadState::Stopping
    })
    .await;
    restart
}

/// A revocation must not wait for an operator's restart with ten minutes of grace, nor be followed by its start.
#[test]
fn the_agents_end_cuts_a_restart_short_and_lasts() {
    run(async {
        let place = Place::new();
        let script = "trap '' TERM; echo up >> \"$OUT/up\"; \
             while :; do read key < \"$NARTHEX_KEYS/k\"; [ \"$key\" = one ] || : > \"$OUT/gone\"; sleep 0.02; done";
        let workload = place.workload(script, "restart = \"always\"\nrestart_delay_millis = 10");
        workload.deliver_keys(vec![key("k", b"one")]).await.unwrap();
        workload.start().await.unwrap();
        until("the workload", || place.out().join("up").exists()).await;
        let restart = restart_under_way(&workload).await;
        let began = std::time::Instant::now();
        workload
            .end(Some(Duration::from_millis(200)))
            .await
            .unwrap();
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(restart.await.unwrap(), Err(WorkloadError::Withdrawn));
        assert!(
            !place.out().join("gone").exists(),
            "it has its keys to the last"
        );
        for start in [workload.start().await, workload.restart(None).await] {
            assert_eq!(start, Err(WorkloadError::Withdrawn));
        }
        assert_eq!(place.seen("up"), "up\n");
        assert_eq!(workload.snapshot().state, WorkloadState::Stopped);
    });
}

#[test]
fn withdrawing_cuts_a_restart_short_and_lasts() {
    run(async {
        let place = Place::new();
        let script = "trap '' TERM; cat \"$NARTHEX_KEYS/k\" > \"$OUT/key\"; : > \"$OUT/up\"; \
             while [ -e \"$NARTHEX_KEYS/k\" ]; do sleep 0.02; done; : > \"$OUT/wiped\"; \
             while :; do sleep 1; done";
        let workload = place.workload(
            script,
            "restart = \"always\"\nrestart_delay_millis = 10\nstop_grace_millis = 4000",
        );
        workload.deliver_keys(vec![key("k", b"one")]).await.unwrap();
        workload.start().await.unwrap();
        until("the workload", || place.out().join("up").exists()).await;
        let restart = restart_under_way(&workload).await;
        let began = std::time::Instant::now();
        let withdrawing = workload.clone();
        let withdrawn = tokio::task::spawn_local(async move { withdrawing.withdraw().await });
        until("the keys' end", || place.out().join("wiped").exists()).await;
        assert!(
            began.elapsed() < Duration::from_millis(3900),
            "within the grace time"
        );
        withdrawn.await.unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(restart.await.unwrap(), Err(WorkloadError::Withdrawn));
        // Nothing starts it, and nothing gives it keys.
        assert_eq!(workload.start().await, Err(WorkloadError::Withdrawn));
        let keys = vec![key("k", b"two")];
        assert_eq!(
            workload.deliver_keys(keys).await,
            Err(WorkloadError::Withdrawn)
        );
        assert_eq!(workload.snapshot().state, WorkloadState::Stopped);
        assert_eq!(workload.snapshot().restarts, 0);
        workload.permit();
        workload.start().await.unwrap();
        assert_eq!(workload.snapshot().restarts, 1);
        workload.stop(None).await.unwrap();
    });
}

#[test]
fn without_a_workload_only_a_restart_is_an_error() {
    run(async {
        let none = spawn(None);
        none.deliver_keys(vec![key("a", b"x")]).await.unwrap();
        none.start().await.unwrap();
        assert_eq!(none.snapshot().state, WorkloadState::NotStarted);
        assert_eq!(
            none.restart(None).await.unwrap_err(),
            WorkloadError::NotConfigured
        );
        none.stop(None).await.unwrap();
    });
}

#[test]
fn dropping_the_handle_ends_the_workload() {
    let marker = &marker(31419);
    let place = Place::new();
    run(async {
        let workload = place.workload(&format!("exec sleep {marker}"), "");
        workload.start().await.unwrap();
        until("the workload", || processes_with(marker) == 1).await;
        drop(workload);
        until("its end", || processes_with(marker) == 0).await;
    });
}

#[test]
fn a_shepherd_that_no_agent_started_refuses() {
    let by_hand = Command::new(agent())
        .arg("workload-shepherd")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(by_hand.status.code(), Some(2));
}

#[test]
fn memory_that_runs_out_is_counted() {
    let place = Place::below(Path::new("/run"));
    if skip_without_root("memory_that_runs_out_is_counted") {
        return;
    }
    run(async {
        let extra = "memory_max_bytes = 20000000\nrestart = \"never\"";
        let workload = place.workload(
            "x=$(head -c 100000000 /dev/zero | tr '\\0' x); exit 0",
            extra,
        );
        workload.start().await.unwrap();
        let confinement = workload.snapshot().confinement.unwrap();
        if confinement.state(ConfinementMeasure::MemoryLimit) != MeasureState::Enforced {
            return eprintln!("skipped: this machine has no cgroup v2 memory controller");
        }
        assert!(ended(&workload).await.oom_kills >= 1);
    });
}

#[test]
fn key_directory_metadata_is_not_the_runtime_directorys() {
    let place = Place::new();
    run(async {
        let workload = place.workload("exec sleep 1000", "");
        workload.start().await.unwrap();
        let runtime = fs::metadata(place.runtime()).unwrap();
        assert_eq!(
            runtime.mode() & 0o022,
            0,
            "nobody else writes to the runtime directory"
        );
        workload.stop(None).await.unwrap();
    });
}
