//! What this process may do (`capabilities(7)`). Called by backends, which look before they promise anything.

/// `CAP_SETGID` and `CAP_SETUID` (`capability.h`).
pub(super) const SET_IDS: u64 = 1 << 6 | 1 << 7;
/// `CAP_SYS_ADMIN`: mounting. Containers rarely have it.
pub(super) const MOUNT: u64 = 1 << 21;

/// Whether it has all of these capabilities (`proc_pid_status(5)`, `CapEff`).
pub(super) fn has(capabilities: u64) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).is_some_and(|bits| bits & capabilities == capabilities)
}
