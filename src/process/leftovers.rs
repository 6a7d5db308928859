//! Processes that outlived the command which started them, found through `/proc`.
//!
//! A process belongs to a command when its environment carries the command's marker, when it is in the command's session or group, or when
//! its parent belongs to it. A child that cleared its environment, left the session *and* lost its parent is found only by a runner
//! that adopts orphans (see [`super::orphans`]).

use std::collections::{BTreeMap, BTreeSet};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::environment::MARKER;

/// A process nobody waits for any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its process id.
    pub pid: i32,
    /// Its name as the kernel knows it, at most 15 bytes.
    pub name: String,
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}' (pid {})", self.name, self.pid)
    }
}

/// What `/proc/<pid>/stat` says (`proc_pid_stat(5)`, fields 2 to 6 and 22).
#[derive(Debug)]
struct Stat {
    name: String,
    zombie: bool,
    parent: i32,
    group: i32,
    session: i32,
    /// When it started, in ticks since the machine did.
    started: u64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name stands in parentheses and may itself contain any of them.
    let (head, rest) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = rest.split_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let mut number = || fields.next()?.parse().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    // Whoever does not say might have started just now.
    let started = fields.nth(15).and_then(|field| field.parse().ok()).unwrap_or(u64::MAX);
    let name = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Some(Stat { name, zombie, parent, group, session, started })
}

/// Every process of this machine that can be looked at.
fn processes() -> BTreeMap<i32, Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read(entry.path().join("stat")).ok()?;
            Some((pid, parse_stat(&String::from_utf8_lossy(&stat))?))
        })
        .collect()
}

/// The marker in a process's environment. Unreadable for processes of other users, which we could not have started.
fn marker(pid: i32) -> Option<String> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environ.split(|byte| *byte == 0).find_map(|var| var.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

fn matching(leader: Option<i32>, is_ours: impl Fn(&str) -> bool) -> Vec<Leftover> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let all = processes();
    // What a command of this process started is younger than it is. Everybody else's environment is left alone: reading it takes a
    // lock that a busy process holds, and there may be hundreds.
    let since = leader.and_then(|_| all.get(&own)).map_or(0, |stat| stat.started);
    let in_session = |stat: &Stat| leader.is_some_and(|leader| stat.session == leader || stat.group == leader);
    let mut found: BTreeSet<i32> = all
        .iter()
        .filter(|(pid, stat)| {
            **pid != own
                && !stat.zombie
                && (in_session(stat) || (stat.started >= since && marker(**pid).is_some_and(|value| is_ours(&value))))
        })
        .map(|(pid, _)| *pid)
        .collect();
    loop {
        let children: Vec<i32> = all
            .iter()
            .filter(|(pid, stat)| **pid != own && !stat.zombie && found.contains(&stat.parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    found.into_iter().filter_map(|pid| Some(Leftover { pid, name: all.get(&pid)?.name.clone() })).collect()
}

/// Everything that belongs to the command led by `leader` with that marker, the leader included while it lives.
pub(super) fn of_command(leader: i32, marker: &str) -> Vec<Leftover> {
    matching(Some(leader), |value| value == marker)
}

/// Children of this process: the dead that were not waited for yet, or the living.
pub(super) fn children_of_this_process(dead: bool) -> Vec<Leftover> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let children = processes().into_iter().filter(|(_, stat)| stat.parent == own && stat.zombie == dead);
    children.map(|(pid, stat)| Leftover { pid, name: stat.name }).collect()
}

/// Sends `signal` to each of them.
pub(super) fn signal(leftovers: &[Leftover], signal: Signal) {
    for leftover in leftovers {
        // Gone already is what we wanted.
        let _ = kill(Pid::from_raw(leftover.pid), signal);
    }
}

/// Kills whatever is left of all commands of one execution, also of a runner that is no more, and says what that was.
/// Blocking, a few milliseconds.
#[must_use]
pub fn stop_execution(execution: &str) -> Vec<Leftover> {
    let found = matching(None, |value| value.strip_prefix(execution).and_then(|rest| rest.strip_prefix('.')).is_some_and(is_number));
    signal(&found, Signal::SIGKILL);
    found
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_hostile_names_are_read() {
        let stat = parse_stat("42 (a) Z 1 (b\n) S 7 8 9 0 -1").expect("a stat line");
        assert_eq!((stat.name.as_str(), stat.zombie, stat.parent, stat.group, stat.session), ("a) Z 1 (b?", false, 7, 8, 9));
        assert!(parse_stat("42 (x) Z 7 8 9").expect("a stat line").zombie);
        let line = "42 (x) S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 999";
        assert_eq!(parse_stat(line).expect("a stat line").started, 12_345);
        assert!(parse_stat("nonsense").is_none());
    }

    #[test]
    fn this_process_is_seen_and_never_counted_as_a_leftover() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        assert!(processes().contains_key(&own));
        assert!(matching(Some(processes()[&own].session), |_| true).iter().all(|leftover| leftover.pid != own));
    }
}
