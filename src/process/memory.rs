//! Whether the kernel killed something in the runner's own memory group (cgroup v2, `memory.events`, key `oom_kill`).

use std::path::PathBuf;

/// Number of processes of this cgroup that the kernel killed for memory so far; `None` where cgroup v2 is not to be had.
pub(super) fn oom_kills() -> Option<u64> {
    let groups = fs_err::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let events = fs_err::read_to_string(PathBuf::from("/sys/fs/cgroup").join(own).join("memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()
}
