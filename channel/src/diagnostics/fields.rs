//! The closed lists that results are made of: names of fields, and states.
//!
//! To add a field or a state, give it a code that was never used and a name
//! `<action>.<field>`; a code never changes its meaning. There is no way to put text in.

use crate::closed::closed;

closed! {
    /// What a value in a result is about. Names begin with the action whose field it is.
    pub enum FieldName {
        /// Whether everything is well (flag).
        HealthReady = 0x0101, "health.ready";
        /// What the agent is doing (state).
        HealthState = 0x0102, "health.state";
        /// What the workload is doing (state).
        HealthWorkload = 0x0103, "health.workload";
        /// Self-checks at boot that failed: 0 in an enclave, which otherwise does not serve; with `--local` what
        /// an enclave would have refused (count).
        HealthFailedChecks = 0x0104, "health.failed_checks";
        /// Whether every key asked for has been received (flag).
        HealthKeysComplete = 0x0105, "health.keys_complete";
        /// Whether the policy in force has expired (flag).
        HealthPolicyExpired = 0x0106, "health.policy_expired";
        /// Whether the gate is running (flag).
        HealthGateRunning = 0x0107, "health.gate_running";
        /// Times the gate was started again (count).
        HealthGateRestarts = 0x0108, "health.gate_restarts";
        /// Whether gate and fetchers run as a user of their own; without root they cannot (flag).
        HealthGateOwnUser = 0x0109, "health.gate_own_user";
        /// Whether the agent has the rights to confine its workload in full (flag).
        HealthPrivileged = 0x010a, "health.privileged";
        /// Whether the enclave runs in debug mode: PCR0, PCR1 and PCR2 are zero (flag).
        HealthDebugMode = 0x010b, "health.debug_mode";
        /// Whether the kernel's Landlock is older than the sandbox of gate and fetchers wants, and the
        /// configuration allows it (flag).
        HealthOlderLandlock = 0x010c, "health.older_landlock";
        /// Whether the agent acts without looking at the log, as the configuration allows with
        /// `--local` (flag).
        HealthInsecureWithoutLedger = 0x010d, "health.insecure_without_ledger";
        /// What became of the heartbeat to the parent at boot; `none` with `--local` (state).
        HealthHeartbeat = 0x010e, "health.heartbeat";

        /// First number of the agent's version (count).
        VersionMajor = 0x0201, "version.major";
        /// Second number of the agent's version (count).
        VersionMinor = 0x0202, "version.minor";
        /// Third number of the agent's version (count).
        VersionPatch = 0x0203, "version.patch";
        /// Newest protocol version spoken (count).
        VersionProtocol = 0x0204, "version.protocol";
        /// First number of the kernel's version (count).
        VersionKernelMajor = 0x0205, "version.kernel_major";
        /// Second number of the kernel's version (count).
        VersionKernelMinor = 0x0206, "version.kernel_minor";
        /// Third number of the kernel's version (count).
        VersionKernelPatch = 0x0207, "version.kernel_patch";
        /// Whether the agent runs as an ordinary process, not as PID 1 (flag).
        VersionLocal = 0x0208, "version.local";

        /// Since the machine started (duration).
        UptimeMachine = 0x0301, "uptime.machine";
        /// Since the agent started (duration).
        UptimeAgent = 0x0302, "uptime.agent";
        /// Since the workload started (duration).
        UptimeWorkload = 0x0303, "uptime.workload";

        /// All memory (bytes).
        MemoryTotal = 0x0401, "memory.total";
        /// Memory available without swapping (bytes).
        MemoryAvailable = 0x0402, "memory.available";
        /// Memory not used at all (bytes).
        MemoryFree = 0x0403, "memory.free";
        /// Page cache and buffers (bytes).
        MemoryCached = 0x0404, "memory.cached";
        /// Memory in temporary filesystems and shared memory (bytes).
        MemoryShared = 0x0405, "memory.shared";
        /// Kernel slabs (bytes).
        MemorySlab = 0x0406, "memory.slab";
        /// Committed address space (bytes).
        MemoryCommitted = 0x0407, "memory.committed";
        /// The workload's memory (bytes).
        MemoryWorkload = 0x0408, "memory.workload";
        /// The workload's highest memory (bytes).
        MemoryWorkloadPeak = 0x0409, "memory.workload_peak";
        /// The workload's limit (bytes).
        MemoryWorkloadLimit = 0x040a, "memory.workload_limit";
        /// Times the workload ran into its limit (count).
        MemoryWorkloadLimitHits = 0x040b, "memory.workload_limit_hits";
        /// Processes of the workload killed for want of memory (count).
        MemoryWorkloadOomKills = 0x040c, "memory.workload_oom_kills";

        /// Processors online (count).
        CpuCount = 0x0501, "cpu.count";
        /// Time spent in user programs since the machine started (duration).
        CpuUser = 0x0502, "cpu.user";
        /// Time spent in the kernel (duration).
        CpuSystem = 0x0503, "cpu.system";
        /// Time idle (duration).
        CpuIdle = 0x0504, "cpu.idle";
        /// Time idle, waiting for input or output (duration).
        CpuIoWait = 0x0505, "cpu.io_wait";
        /// Time that the hypervisor gave to others (duration).
        CpuSteal = 0x0506, "cpu.steal";
        /// Load average over one minute (ratio; 1.0 is one runnable task).
        CpuLoad1 = 0x0507, "cpu.load_1";
        /// Load average over five minutes (ratio).
        CpuLoad5 = 0x0508, "cpu.load_5";
        /// Load average over fifteen minutes (ratio).
        CpuLoad15 = 0x0509, "cpu.load_15";
        /// Time used by the workload (duration).
        CpuWorkload = 0x050a, "cpu.workload";
        /// Time the workload was held back by its limit (duration).
        CpuWorkloadThrottled = 0x050b, "cpu.workload_throttled";
        /// Time used by the agent's own processes (duration).
        CpuAgent = 0x050c, "cpu.agent";

        /// Share of the last 10 s in which some task waited for a processor (ratio).
        PressureCpuSome10 = 0x0601, "pressure.cpu_some_10";
        /// The same over 60 s (ratio).
        PressureCpuSome60 = 0x0602, "pressure.cpu_some_60";
        /// The same over 300 s (ratio).
        PressureCpuSome300 = 0x0603, "pressure.cpu_some_300";
        /// All the time some task waited for a processor (duration).
        PressureCpuSomeTotal = 0x0604, "pressure.cpu_some_total";
        /// Share of the last 10 s in which some task waited for memory (ratio).
        PressureMemorySome10 = 0x0611, "pressure.memory_some_10";
        /// The same over 60 s (ratio).
        PressureMemorySome60 = 0x0612, "pressure.memory_some_60";
        /// The same over 300 s (ratio).
        PressureMemorySome300 = 0x0613, "pressure.memory_some_300";
        /// All the time some task waited for memory (duration).
        PressureMemorySomeTotal = 0x0614, "pressure.memory_some_total";
        /// Share of the last 10 s in which all tasks waited for memory (ratio).
        PressureMemoryFull10 = 0x0615, "pressure.memory_full_10";
        /// The same over 60 s (ratio).
        PressureMemoryFull60 = 0x0616, "pressure.memory_full_60";
        /// The same over 300 s (ratio).
        PressureMemoryFull300 = 0x0617, "pressure.memory_full_300";
        /// All the time all tasks waited for memory (duration).
        PressureMemoryFullTotal = 0x0618, "pressure.memory_full_total";
        /// Share of the last 10 s in which some task waited for input or output (ratio).
        PressureIoSome10 = 0x0621, "pressure.io_some_10";
        /// The same over 60 s (ratio).
        PressureIoSome60 = 0x0622, "pressure.io_some_60";
        /// The same over 300 s (ratio).
        PressureIoSome300 = 0x0623, "pressure.io_some_300";
        /// All the time some task waited for input or output (duration).
        PressureIoSomeTotal = 0x0624, "pressure.io_some_total";
        /// Share of the last 10 s in which all tasks waited for input or output (ratio).
        PressureIoFull10 = 0x0625, "pressure.io_full_10";
        /// The same over 60 s (ratio).
        PressureIoFull60 = 0x0626, "pressure.io_full_60";
        /// The same over 300 s (ratio).
        PressureIoFull300 = 0x0627, "pressure.io_full_300";
        /// All the time all tasks waited for input or output (duration).
        PressureIoFullTotal = 0x0628, "pressure.io_full_total";
        /// Whether the kernel measures pressure at all (flag).
        PressureAvailable = 0x0631, "pressure.available";

        /// What kind of filesystem it is (state, by index).
        FilesystemKind = 0x0701, "filesystems.kind";
        /// Its size (bytes, by index).
        FilesystemTotal = 0x0702, "filesystems.total";
        /// What is in use (bytes, by index).
        FilesystemUsed = 0x0703, "filesystems.used";
        /// What an ordinary user can still use (bytes, by index).
        FilesystemAvailable = 0x0704, "filesystems.available";
        /// Files that it can hold (count, by index).
        FilesystemFilesTotal = 0x0705, "filesystems.files_total";
        /// Files that it holds (count, by index).
        FilesystemFilesUsed = 0x0706, "filesystems.files_used";
        /// Whether it is mounted read-only (flag, by index).
        FilesystemReadOnly = 0x0707, "filesystems.read_only";
        /// Number of filesystems (count).
        FilesystemCount = 0x0708, "filesystems.count";

        /// Connections that the gate has open (count).
        ConnectionsGateOpen = 0x0801, "connections.gate_open";
        /// Connections that the gate has accepted (count).
        ConnectionsGateAccepted = 0x0802, "connections.gate_accepted";
        /// Connections that the gate turned away at a limit (count).
        ConnectionsGateLimited = 0x0803, "connections.gate_limited";
        /// Connections that ended because of a broken rule of the protocol (count).
        ConnectionsGateFaulty = 0x0804, "connections.gate_faulty";
        /// Connections that ended because a time ran out (count).
        ConnectionsGateTimedOut = 0x0805, "connections.gate_timed_out";
        /// Established TCP connections of the machine (count).
        ConnectionsTcpEstablished = 0x0806, "connections.tcp_established";
        /// Listening TCP sockets (count).
        ConnectionsTcpListening = 0x0807, "connections.tcp_listening";
        /// TCP sockets in any other state (count).
        ConnectionsTcpOther = 0x0808, "connections.tcp_other";
        /// UDP sockets (count).
        ConnectionsUdp = 0x0809, "connections.udp";
        /// Unix sockets (count).
        ConnectionsUnix = 0x080a, "connections.unix";
        /// Vsock sockets (count).
        ConnectionsVsock = 0x080b, "connections.vsock";

        /// Processes (count).
        ProcessesTotal = 0x0901, "processes.total";
        /// Processes running or ready (count).
        ProcessesRunning = 0x0902, "processes.running";
        /// Processes asleep (count).
        ProcessesSleeping = 0x0903, "processes.sleeping";
        /// Processes waiting without being interruptible (count).
        ProcessesBlocked = 0x0904, "processes.blocked";
        /// Processes stopped (count).
        ProcessesStopped = 0x0905, "processes.stopped";
        /// Processes ended but not waited for (count).
        ProcessesZombie = 0x0906, "processes.zombie";
        /// Threads (count).
        ProcessesThreads = 0x0907, "processes.threads";
        /// Processes of the workload (count).
        ProcessesWorkload = 0x0908, "processes.workload";
        /// Open file descriptors of the machine (count).
        ProcessesOpenFiles = 0x0909, "processes.open_files";

        /// What the workload is doing (state).
        WorkloadState = 0x0a01, "workload.state";
        /// Whether the workload says that it is ready (flag).
        WorkloadReady = 0x0a02, "workload.ready";
        /// Times it was started again (count).
        WorkloadRestarts = 0x0a03, "workload.restarts";
        /// When it was last started (time).
        WorkloadStarted = 0x0a04, "workload.started";
        /// How it last ended (state).
        WorkloadLastExit = 0x0a05, "workload.last_exit";
        /// Exit code of the last run (count).
        WorkloadLastExitCode = 0x0a06, "workload.last_exit_code";
        /// Signal that ended the last run (count).
        WorkloadLastSignal = 0x0a07, "workload.last_signal";
        /// When the last run ended (time).
        WorkloadLastExitTime = 0x0a08, "workload.last_exit_time";
        /// How long the last run took (duration).
        WorkloadLastRun = 0x0a09, "workload.last_run";
        /// Processes killed for want of memory (count).
        WorkloadOomKills = 0x0a0a, "workload.oom_kills";
        /// Bytes that it wrote to its standard output, which nobody sees (bytes).
        WorkloadOutputBytes = 0x0a0b, "workload.output_bytes";
        /// Bytes that it wrote to its standard error, which nobody sees (bytes).
        WorkloadErrorBytes = 0x0a0c, "workload.error_bytes";
        /// When it is to be started again (time).
        WorkloadNextStart = 0x0a0d, "workload.next_start";
        /// Documents that it asked for (count).
        WorkloadDocuments = 0x0a0e, "workload.documents";
        /// Requests on its local socket that were refused (count).
        WorkloadRequestsRefused = 0x0a0f, "workload.requests_refused";
        /// Whether every measure of confinement that was asked for holds (flag).
        WorkloadConfined = 0x0a10, "workload.confined";
        /// It has a user and group of its own (flag).
        WorkloadOwnUser = 0x0a11, "workload.own_user";
        /// No program that it starts can gain rights (flag).
        WorkloadNoNewPrivileges = 0x0a12, "workload.no_new_privileges";
        /// It has no capability (flag).
        WorkloadNoCapabilities = 0x0a13, "workload.no_capabilities";
        /// It can make no user namespace (flag).
        WorkloadNoUserNamespaces = 0x0a14, "workload.no_user_namespaces";
        /// Its resource limits are set (flag).
        WorkloadResourceLimits = 0x0a15, "workload.resource_limits";
        /// It has a session of its own (flag).
        WorkloadOwnSession = 0x0a16, "workload.own_session";
        /// It ends when the agent does (flag).
        WorkloadEndsWithAgent = 0x0a17, "workload.ends_with_agent";
        /// It inherited no open file but its pipes (flag).
        WorkloadNoInheritedFiles = 0x0a18, "workload.no_inherited_files";
        /// It has a mount namespace of its own (flag).
        WorkloadPrivateMounts = 0x0a19, "workload.private_mounts";
        /// set-user-id bits have no effect for it (flag).
        WorkloadNoSetUserId = 0x0a1a, "workload.no_set_user_id";
        /// Only it sees its key files (flag).
        WorkloadPrivateKeyFiles = 0x0a1b, "workload.private_key_files";
        /// Its temporary files are its own (flag).
        WorkloadPrivateTemporaryFiles = 0x0a1c, "workload.private_temporary_files";
        /// Its memory is limited (flag; absent when no limit is configured).
        WorkloadMemoryLimit = 0x0a1d, "workload.memory_limit";
        /// The number of its processes is limited (flag; absent when no limit is configured).
        WorkloadProcessLimit = 0x0a1e, "workload.process_limit";
        /// It is in a control group of its own (flag).
        WorkloadOwnControlGroup = 0x0a1f, "workload.own_control_group";
        /// The step at which its start failed (state).
        WorkloadLaunchStep = 0x0a20, "workload.launch_step";
        /// The kernel's error number for that step (count).
        WorkloadLaunchError = 0x0a21, "workload.launch_error";
        /// Its root is a read-only folder of its own, with its own `/proc`, `/dev`, `/tmp` and `/run` (flag;
        /// absent when none is configured).
        WorkloadOwnRoot = 0x0a22, "workload.own_root";
        /// It can start no program that it has written itself (flag; absent without a root of its own).
        WorkloadNoWrittenPrograms = 0x0a23, "workload.no_written_programs";
        /// It shares no System V objects with anybody (flag).
        WorkloadOwnIpc = 0x0a24, "workload.own_ipc";
        /// It can signal no process but its own, nor reach their abstract sockets (flag).
        WorkloadScopedSignals = 0x0a25, "workload.scoped_signals";
        /// It cannot take the processors from the agent (flag).
        WorkloadProcessorShare = 0x0a26, "workload.processor_share";
        /// Processes that it was refused because it had too many (count).
        WorkloadProcessLimitHits = 0x0a27, "workload.process_limit_hits";

        /// Processes killed for want of memory (count).
        KernelOutOfMemory = 0x0b01, "kernel-events.out_of_memory";
        /// Faults of programs, such as segmentation faults (count).
        KernelProgramFault = 0x0b02, "kernel-events.program_fault";
        /// Tasks that hung (count).
        KernelHungTask = 0x0b03, "kernel-events.hung_task";
        /// Lockups and stalls of processors (count).
        KernelLockup = 0x0b04, "kernel-events.lockup";
        /// Bugs, oopses and panics (count).
        KernelBug = 0x0b05, "kernel-events.bug";
        /// Warnings with a trace (count).
        KernelWarning = 0x0b06, "kernel-events.warning";
        /// Errors of devices and filesystems (count).
        KernelDeviceError = 0x0b07, "kernel-events.device_error";
        /// Actions denied by seccomp or Landlock (count).
        KernelSandboxDenial = 0x0b08, "kernel-events.sandbox_denial";
        /// Other messages of level error or worse (count).
        KernelOtherError = 0x0b09, "kernel-events.other_error";
        /// All messages read (count).
        KernelMessages = 0x0b0a, "kernel-events.messages";
        /// Messages lost before they could be read (count).
        KernelLost = 0x0b0b, "kernel-events.lost";
        /// Whether the kernel's messages can be read at all (flag).
        KernelReadable = 0x0b0c, "kernel-events.readable";

        /// First number of the module's version (count).
        NsmVersionMajor = 0x0c01, "nsm.version_major";
        /// Second number of the module's version (count).
        NsmVersionMinor = 0x0c02, "nsm.version_minor";
        /// Third number of the module's version (count).
        NsmVersionPatch = 0x0c03, "nsm.version_patch";
        /// Registers that the module has (count).
        NsmMaxPcrs = 0x0c04, "nsm.max_pcrs";
        /// Registers that are locked (count).
        NsmLockedPcrs = 0x0c05, "nsm.locked_pcrs";
        /// Requests that the agent made (count).
        NsmRequests = 0x0c06, "nsm.requests";
        /// Requests that failed (count).
        NsmFailures = 0x0c07, "nsm.failures";
        /// How long the last document took (duration).
        NsmDocumentDuration = 0x0c08, "nsm.document_duration";
        /// How long the slowest document took (duration).
        NsmDocumentSlowest = 0x0c09, "nsm.document_slowest";

        /// A register's value (digest, by index).
        PcrValue = 0x0d01, "pcrs.value";
        /// Whether it is locked (flag, by index).
        PcrLocked = 0x0d02, "pcrs.locked";

        /// SHA-384 of this session's document (digest).
        AttestDocument = 0x0e01, "attest.document";
        /// Its length (bytes).
        AttestLength = 0x0e02, "attest.length";
        /// Its timestamp (time).
        AttestTime = 0x0e03, "attest.time";
        /// The binding digest in it (digest).
        AttestBinding = 0x0e04, "attest.binding";
        /// Documents made since boot for sessions and key requests (count).
        AttestCount = 0x0e05, "attest.count";

        /// SHA-384 of the bundle in PCR16 (digest).
        PolicyBootBundle = 0x0f01, "policy.boot_bundle";
        /// SHA-384 of the bundle in force (digest).
        PolicyBundle = 0x0f02, "policy.bundle";
        /// Version of the bundle in force (count).
        PolicyVersion = 0x0f03, "policy.version";
        /// When it was issued (time).
        PolicyIssued = 0x0f04, "policy.issued";
        /// When it expires (time).
        PolicyExpires = 0x0f05, "policy.expires";
        /// Whether it has expired (flag).
        PolicyExpired = 0x0f06, "policy.expired";
        /// Status of the release that is running (state).
        PolicyRelease = 0x0f07, "policy.release";
        /// Release statements known (count).
        PolicyReleases = 0x0f08, "policy.releases";
        /// Stop statements known (count).
        PolicyStops = 0x0f09, "policy.stops";
        /// When the policy was last asked for with success (time).
        PolicyRefreshed = 0x0f0a, "policy.refreshed";
        /// Requests for the policy that failed (count).
        PolicyFailures = 0x0f0b, "policy.failures";
        /// Calls that the agent accepted since boot (count).
        PolicyAccepted = 0x0f0c, "policy.accepted";
        /// Calls that the agent refused since boot (count).
        PolicyRefused = 0x0f0d, "policy.refused";
        /// Head of the hash chain of these decisions (digest).
        PolicyChainHead = 0x0f0e, "policy.chain_head";
        /// The last moment at which the log's witnesses are known to have seen the bundle in force as
        /// the current one (time).
        PolicyCurrentAt = 0x0f0f, "policy.current_at";
        /// Why the newest successor is not in force though its signatures hold: what is wrong with the
        /// log's proof that it is the current one; `none` if nothing is (state).
        PolicySuccessor = 0x0f10, "policy.successor";

        /// What has become of a key (state, by key).
        KeyState = 0x1001, "keys.state";
        /// Its version (count, by key).
        KeyVersion = 0x1002, "keys.version";
        /// When it was received (time, by key).
        KeyReceived = 0x1003, "keys.received";
        /// The commitment that it matched (digest, by key).
        KeyCommitment = 0x1004, "keys.commitment";
        /// Requests made for keys (count).
        KeyRequests = 0x1005, "keys.requests";
        /// Requests that failed or were refused, or whose keys found no room in the running workload's folder:
        /// it has them at its next start (count).
        KeyFailures = 0x1006, "keys.failures";
        /// When the next request is due (time).
        KeyNextRequest = 0x1007, "keys.next_request";

        /// The agent's trusted time (time).
        ClockNow = 0x1101, "clock.now";
        /// Timestamp of the document that it was last taken from (time).
        ClockDocument = 0x1102, "clock.document";
        /// How long ago that was (duration).
        ClockAge = 0x1103, "clock.age";
        /// What the system clock shows (time).
        ClockSystem = 0x1104, "clock.system";
        /// By how much the system clock differs (duration).
        ClockDifference = 0x1105, "clock.difference";
        /// Whether the system clock is ahead (flag).
        ClockSystemAhead = 0x1106, "clock.system_ahead";
        /// The kernel's clock source (state).
        ClockSource = 0x1107, "clock.source";
        /// Times that trusted time was renewed (count).
        ClockRenewals = 0x1108, "clock.renewals";
        /// Renewals that failed (count).
        ClockFailures = 0x1109, "clock.failures";
        /// Renewals that would have gone backwards and were held (count).
        ClockHeld = 0x110a, "clock.held";
        /// The latest moment at which a quorum of the log's witnesses is known to have signed, by their
        /// clocks: a floor of trusted time, as far as it lies at most a minute above the documents'
        /// (time).
        ClockWitnessed = 0x110b, "clock.witnessed";

        /// The random source that feeds the kernel (state).
        EntropySource = 0x1201, "entropy.source";
        /// Bits that the kernel says it has (count).
        EntropyBits = 0x1202, "entropy.bits";
        /// Whether the kernel trusts the processor's random numbers (flag).
        EntropyTrustCpu = 0x1203, "entropy.trust_cpu";
        /// Whether the kernel trusts the boot loader's random numbers (flag).
        EntropyTrustBootloader = 0x1204, "entropy.trust_bootloader";

        /// A declared counter's value (count, by declared name).
        CounterValue = 0x1301, "counters.value";
        /// When it last changed (time, by declared name).
        CounterChanged = 0x1302, "counters.changed";
        /// Changes refused for range, step or rate (count, by declared name).
        CounterRefused = 0x1303, "counters.refused";

        /// Actions whose fields follow (count).
        StatusActions = 0x1401, "status.actions";
        /// Actions that failed and have no fields (count).
        StatusFailures = 0x1402, "status.failures";

        /// Whether the workload is being started again (flag).
        RestartWorkloadBegun = 0x4001, "restart-workload.begun";
        /// How often it has been started again before (count).
        RestartWorkloadRestarts = 0x4002, "restart-workload.restarts";

        /// Whether the keys are being fetched again (flag).
        ReloadKeysBegun = 0x4101, "reload-keys.begun";
        /// Keys asked for (count).
        ReloadKeysWanted = 0x4102, "reload-keys.wanted";
        /// Keys received (count).
        ReloadKeysReceived = 0x4103, "reload-keys.received";

        /// Whether the shutdown has begun (flag).
        ShutdownBegun = 0x4201, "shutdown.begun";
        /// How long the workload is given to end by itself (duration).
        ShutdownGrace = 0x4202, "shutdown.grace";
    }
}

closed! {
    /// What something in the enclave is doing, or what kind it is.
    pub enum State {
        /// It cannot be told.
        Unknown = 0, "unknown";
        /// It is starting.
        Starting = 1, "starting";
        /// It waits for a policy.
        WaitingForPolicy = 2, "waiting-for-policy";
        /// It waits for its keys.
        WaitingForKeys = 3, "waiting-for-keys";
        /// It runs.
        Running = 4, "running";
        /// It runs and says it is ready.
        Ready = 5, "ready";
        /// It ended and will be started again.
        WaitingToRestart = 6, "waiting-to-restart";
        /// It is stopping.
        Stopping = 7, "stopping";
        /// It has stopped.
        Stopped = 8, "stopped";
        /// It has failed and stays so.
        Failed = 9, "failed";
        /// It was never started.
        NotStarted = 10, "not-started";

        /// It ended by itself.
        Exited = 32, "exited";
        /// A signal ended it.
        Signalled = 33, "signalled";
        /// The kernel ended it for want of memory.
        OutOfMemory = 34, "out-of-memory";
        /// The program could not be started.
        NotExecutable = 35, "not-executable";
        /// It has not ended yet.
        None = 36, "none";

        /// The release is the current one.
        Current = 48, "current";
        /// The release is a previous one, still accepted.
        Previous = 49, "previous";
        /// The release is revoked.
        Revoked = 50, "revoked";
        /// The release is expired.
        Expired = 51, "expired";

        /// The key was received and matches its commitment.
        Received = 64, "received";
        /// The key has not been received yet.
        Missing = 65, "missing";
        /// The key was refused by the service.
        Refused = 66, "refused";
        /// The key did not match its commitment.
        Mismatched = 67, "mismatched";

        /// A filesystem in memory.
        MemoryFilesystem = 80, "memory-filesystem";
        /// The root filesystem from the image.
        RootFilesystem = 81, "root-filesystem";
        /// A filesystem on a block device.
        BlockFilesystem = 82, "block-filesystem";
        /// Stacked filesystems.
        OverlayFilesystem = 83, "overlay-filesystem";
        /// Any other filesystem.
        OtherFilesystem = 84, "other-filesystem";

        /// The paravirtual clock that Nitro offers.
        KvmClock = 96, "kvm-clock";
        /// The processor's time stamp counter.
        Tsc = 97, "tsc";
        /// Any other clock source.
        OtherClock = 98, "other-clock";
        /// The system counter of aarch64.
        ArmCounter = 99, "arch-sys-counter";

        /// The Nitro Security Module feeds the kernel's random numbers.
        NsmRandom = 112, "nsm-hwrng";
        /// Another device does.
        OtherRandom = 113, "other-hwrng";
        /// No device does.
        NoRandom = 114, "no-hwrng";

        /// Starting the process that starts the workload.
        StepShepherd = 128, "step-shepherd";
        /// Making the key files.
        StepKeyFiles = 129, "step-key-files";
        /// Making or joining the control group.
        StepControlGroup = 130, "step-control-group";
        /// Making the workload's process.
        StepFork = 131, "step-fork";
        /// Its session and signals.
        StepSession = 132, "step-session";
        /// Its mounts.
        StepMounts = 133, "step-mounts";
        /// Its resource limits.
        StepResourceLimits = 134, "step-resource-limits";
        /// Its user.
        StepUser = 135, "step-user";
        /// Its capabilities.
        StepCapabilities = 136, "step-capabilities";
        /// Its filters for system calls.
        StepSystemCalls = 137, "step-system-calls";
        /// Its standard input and output.
        StepFiles = 138, "step-files";
        /// Its working directory.
        StepWorkingDirectory = 139, "step-working-directory";
        /// The program itself.
        StepProgram = 140, "step-program";
        /// Its root, and what is mounted in it.
        StepRoot = 141, "step-root";

        /// No proof of the log came with it.
        LogProofMissing = 160, "log-proof-missing";
        /// The proof is not written as proofs are.
        LogMalformed = 161, "log-malformed";
        /// The proof's checkpoint is not signed by the log.
        LogSignature = 162, "log-signature";
        /// Too few witnesses have cosigned it.
        LogQuorum = 163, "log-quorum";
        /// What is to be proved is not in the log, or not like that.
        LogInclusion = 164, "log-inclusion";
        /// The witnesses' signatures are too old.
        LogStale = 165, "log-stale";
        /// The witnesses' signatures are from the future.
        LogFuture = 166, "log-future";
        /// The log went on after the entry that was proved.
        LogNotLast = 167, "log-not-last";
        /// The log names another bundle.
        LogNotCurrent = 168, "log-not-current";
        /// The proof fails for another reason.
        LogOther = 169, "log-other";

        /// The parent answered the heartbeat.
        HeartbeatAnswered = 176, "heartbeat-answered";
        /// The parent did not take the connection.
        HeartbeatNoConnection = 177, "heartbeat-no-connection";
        /// The parent took the connection and did not answer.
        HeartbeatSilent = 178, "heartbeat-silent";
        /// The parent answered with something else.
        HeartbeatWrong = 179, "heartbeat-wrong";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closed::tests::assert_closed;
    use crate::diagnostics::Action;

    #[test]
    fn the_lists_are_closed() {
        assert_closed!(FieldName);
        assert_closed!(State);
    }

    #[test]
    fn every_field_belongs_to_an_action() {
        for field in FieldName::ALL {
            let action = field.name().split_once('.').map(|(action, _)| action);
            assert!(action.and_then(Action::from_name).is_some(), "{field}");
        }
        for action in Action::ALL {
            let prefix = format!("{action}.");
            assert!(
                FieldName::ALL
                    .iter()
                    .any(|field| field.name().starts_with(&prefix)),
                "{action} has no field"
            );
        }
    }
}
