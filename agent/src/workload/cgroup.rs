//! The workload's control group (cgroup v2), where there is one that the agent may write.
//!
//! It is made beside the agent's own. In an enclave that is `/sys/fs/cgroup/agent`, into which process 1 has put the agent;
//! on a laptop whatever group the agent was started in, which works for root and where systemd has delegated
//! the parent; if it does not work, the measures are reported as not enforced.
//!
//! The v1 hierarchies are not used: they have no way to kill a group at one stroke.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::measures::{ConfinementMeasure, MeasureSet};

/// The kernel's usual weight, beside the agent's group, which process 1 gives more. Without
/// groups every process has the same, and a workload with a thousand of them nearly everything.
const WEIGHT: &str = "100";

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlGroupLimits {
    /// `memory.max`, bytes.
    pub memory_max_bytes: Option<u64>,
    /// `pids.max`.
    pub pids_max: Option<u64>,
}

impl ControlGroupLimits {
    /// The measures that nobody asked for.
    pub fn not_asked(self) -> MeasureSet {
        let Self {
            memory_max_bytes,
            pids_max,
        } = self;
        let mut set = MeasureSet::default();
        if memory_max_bytes.is_none() {
            set.insert(ConfinementMeasure::MemoryLimit);
        }
        if pids_max.is_none() {
            set.insert(ConfinementMeasure::ProcessLimit);
        }
        set
    }
}

/// A control group made for one run of the workload; removed when dropped, which the kernel allows
/// once all its processes have ended.
#[derive(Debug)]
pub struct ControlGroup {
    directory: PathBuf,
    measures: MeasureSet,
}

impl ControlGroup {
    /// Makes one and sets its limits. Limits that cannot be set are absent from
    /// [`ControlGroup::measures`].
    ///
    /// # Errors
    ///
    /// There is no v2 hierarchy, or no place in it that the agent may write.
    pub fn create(limits: ControlGroupLimits) -> io::Result<Self> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
        let membership = fs::read_to_string("/proc/self/cgroup")?;
        let parent = parent_group(&mountinfo, &membership)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Self::create_in(&parent, limits)
    }

    fn create_in(parent: &Path, limits: ControlGroupLimits) -> io::Result<Self> {
        // Fails where the agent may not, or where the parent has processes of its own; the files
        // below are then missing, and the limits are reported as not enforced.
        for controller in ["+memory", "+pids", "+cpu"] {
            let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
        }
        // Never the same name twice: a shepherd that tidies up for its agent would otherwise remove, and the agent
        // kill, what belongs to another run.
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let directory = (0..1000)
            .map(|_| RUNS.fetch_add(1, Ordering::Relaxed))
            .map(|number| parent.join(format!("narthex-workload-{}-{number}", std::process::id())))
            .find_map(|directory| match fs::create_dir(&directory) {
                Ok(()) => Some(Ok(directory)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                Err(error) => Some(Err(error)),
            })
            .unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))?;
        let mut group = Self {
            directory,
            measures: MeasureSet::default(),
        };
        group.limit(limits)?;
        Ok(group)
    }

    fn limit(&mut self, limits: ControlGroupLimits) -> io::Result<()> {
        let ControlGroupLimits {
            memory_max_bytes,
            pids_max,
        } = limits;
        // Without the list of members and the way to kill them it is no use at all.
        self.processes()?;
        self.kill_switch()?;
        self.measures.insert(ConfinementMeasure::OwnControlGroup);
        let memory = (
            "memory.max",
            memory_max_bytes,
            ConfinementMeasure::MemoryLimit,
        );
        let pids = ("pids.max", pids_max, ConfinementMeasure::ProcessLimit);
        // One of its processes killed for want of memory must not leave a half workload running.
        let kills_all = self.set("memory.oom.group", "1").is_ok();
        for (file, limit, measure) in [memory, pids] {
            let Some(limit) = limit else { continue };
            let whole = measure != ConfinementMeasure::MemoryLimit || kills_all;
            if self.set(file, &limit.to_string()).is_ok() && whole {
                self.measures.insert(measure);
            }
        }
        // A workload that swaps instead of hitting its limit has none; absent without swap
        // accounting.
        let _ = self.set("memory.swap.max", "0");
        if self.set("cpu.weight", WEIGHT).is_ok() {
            self.measures.insert(ConfinementMeasure::ProcessorShare);
        }
        Ok(())
    }

    /// Never creates the file: a control that the kernel does not offer is an error.
    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        use std::io::Write;
        OpenOptions::new()
            .write(true)
            .open(self.directory.join(file))?
            .write_all(value.as_bytes())
    }

    /// The measures that hold for its members.
    pub fn measures(&self) -> MeasureSet {
        self.measures
    }

    /// Where it is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// An open `cgroup.procs`: who writes `0` to it becomes a member.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn processes(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .open(self.directory.join("cgroup.procs"))
    }

    /// An open `cgroup.kill` (Linux 5.14): writing `1` kills all members at once.
    ///
    /// # Errors
    ///
    /// The kernel's; `NotFound` on older kernels.
    pub fn kill_switch(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .open(self.directory.join("cgroup.kill"))
    }

    /// What the kernel counts for its members. `None` for what it does not count here.
    pub fn usage(&self) -> ControlGroupUsage {
        let read = |file: &str| fs::read_to_string(self.directory.join(file)).ok();
        let number = |file: &str| read(file).and_then(|text| text.trim().parse().ok());
        let events = read("memory.events").unwrap_or_default();
        let processes = read("pids.events").unwrap_or_default();
        let processor = read("cpu.stat").unwrap_or_default();
        ControlGroupUsage {
            memory_bytes: number("memory.current"),
            memory_peak_bytes: number("memory.peak"),
            memory_limit_bytes: number("memory.max"),
            memory_limit_hits: keyed(&events, "max"),
            oom_kills: keyed(&events, "oom_kill"),
            process_limit_hits: keyed(&processes, "max"),
            processor_micros: keyed(&processor, "usage_usec"),
            throttled_micros: keyed(&processor, "throttled_usec"),
        }
    }

    /// Process ids of the members, as far as they are in the agent's namespace.
    pub fn members(&self) -> usize {
        fs::read_to_string(self.directory.join("cgroup.procs"))
            .map_or(0, |text| text.lines().count())
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        if self.members() > 0
            && let Ok(mut file) = self.kill_switch()
        {
            use std::io::Write;
            let _ = file.write_all(b"1");
        }
        remove(&self.directory);
    }
}

/// Removes an empty control group. The kernel takes a moment to let the last member go after it is
/// collected.
pub(super) fn remove(directory: &Path) {
    for _ in 0..50 {
        match fs::remove_dir(directory) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            _ => return,
        }
    }
}

/// What the kernel counts for a control group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlGroupUsage {
    /// `memory.current`.
    pub memory_bytes: Option<u64>,
    /// `memory.peak`.
    pub memory_peak_bytes: Option<u64>,
    /// `memory.max`; absent also when there is no limit.
    pub memory_limit_bytes: Option<u64>,
    /// `max` of `memory.events`.
    pub memory_limit_hits: Option<u64>,
    /// `oom_kill` of `memory.events`.
    pub oom_kills: Option<u64>,
    /// `max` of `pids.events`.
    pub process_limit_hits: Option<u64>,
    /// `usage_usec` of `cpu.stat`.
    pub processor_micros: Option<u64>,
    /// `throttled_usec` of `cpu.stat`.
    pub throttled_micros: Option<u64>,
}

/// The value behind `key` in a flat-keyed file.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        if name == key {
            value.trim().parse().ok()
        } else {
            None
        }
    })
}

/// The directory in which to make the workload's group: the hierarchy's root when the agent is in
/// it, otherwise the parent of the agent's group.
fn parent_group(mountinfo: &str, membership: &str) -> Option<PathBuf> {
    let own = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?;
    let (root, place) = mountinfo.lines().find_map(v2_mount)?;
    // A container sees the hierarchy from some group on; what is above it is not ours.
    let inside = Path::new(own).strip_prefix(root).ok().or_else(|| {
        Path::new(own)
            .strip_prefix("/")
            .ok()
            .filter(|_| root == Path::new("/"))
    })?;
    if inside
        .components()
        .any(|part| matches!(part, std::path::Component::ParentDir))
    {
        return None;
    }
    let group = place.join(inside);
    if group == place {
        Some(place.to_path_buf())
    } else {
        group.parent().map(Path::to_path_buf)
    }
}

/// Root and mount point, if the line of mountinfo (proc_pid_mountinfo(5)) is of a cgroup2.
fn v2_mount(line: &str) -> Option<(&Path, &Path)> {
    let (place, kind) = line.split_once(" - ")?;
    if !kind.starts_with("cgroup2 ") {
        return None;
    }
    let mut fields = place.split(' ').skip(3);
    Some((Path::new(fields.next()?), Path::new(fields.next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
33 30 0:29 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
42 30 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn the_root_groups_child_or_a_sibling() {
        let root = parent_group(HYBRID, "4:memory:/x\n0::/\n");
        assert_eq!(root, Some(PathBuf::from("/sys/fs/cgroup/unified")));
        let sibling = parent_group(HYBRID, "0::/user.slice/app.scope\n");
        assert_eq!(
            sibling,
            Some(PathBuf::from("/sys/fs/cgroup/unified/user.slice"))
        );
    }

    #[test]
    fn a_hierarchy_that_begins_below_the_root() {
        let mountinfo = "42 30 0:38 /docker/a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let own = parent_group(mountinfo, "0::/docker/a\n");
        assert_eq!(own, Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(parent_group(mountinfo, "0::/elsewhere\n"), None);
        assert_eq!(parent_group(mountinfo, "0::/docker/a/../b/c\n"), None);
    }

    #[test]
    fn no_v2_hierarchy_is_no_group() {
        let v1 = "33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(parent_group(v1, "0::/\n"), None);
        assert_eq!(parent_group(HYBRID, "4:memory:/x\n"), None);
        assert_eq!(parent_group("", ""), None);
        assert_eq!(parent_group("- cgroup2 \n", "0::/"), None);
    }

    #[test]
    fn a_directory_that_is_no_control_group_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let limits = ControlGroupLimits {
            memory_max_bytes: Some(1 << 20),
            pids_max: None,
        };
        let refused = ControlGroup::create_in(parent.path(), limits).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn flat_keyed_files() {
        let events = "low 0\nhigh 0\nmax 17\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(keyed(events, "oom_kill"), Some(2));
        assert_eq!(keyed(events, "max"), Some(17));
        assert_eq!(keyed(events, "absent"), None);
        assert_eq!(keyed("oom_kill many\n", "oom_kill"), None);
    }

    #[test]
    fn what_is_not_asked_for_is_known() {
        let limits = ControlGroupLimits {
            memory_max_bytes: None,
            pids_max: Some(5),
        };
        assert!(limits.not_asked().contains(ConfinementMeasure::MemoryLimit));
        assert!(
            !limits
                .not_asked()
                .contains(ConfinementMeasure::ProcessLimit)
        );
    }
}
