//! Everything one command started, as one thing that can be signalled.

use std::time::{Duration, Instant};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{
    leftovers::{self, Leftover},
    orphans,
};

/// How long killed processes are waited for. Only one that hangs in the kernel takes longer than a few milliseconds.
const DYING: Duration = Duration::from_secs(1);

/// The session led by one child. Dropping it kills everything in it: that is what happens when the future of a running command is
/// dropped.
#[derive(Debug)]
pub(super) struct Group {
    leader: i32,
    marker: String,
    /// Once the leader was waited for, its number may belong to somebody else.
    leader_reaped: bool,
    over: bool,
}

impl Group {
    pub(super) fn new(leader: i32, marker: String) -> Self {
        Self { leader, marker, leader_reaped: false, over: false }
    }

    /// Asks everybody to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
        // A stopped process does not see TERM before it goes on.
        self.signal(Signal::SIGCONT);
    }

    /// Ends everybody and says who that was.
    pub(super) fn kill(&self) -> Vec<Leftover> {
        self.signal(Signal::SIGKILL)
    }

    fn signal(&self, signal: Signal) -> Vec<Leftover> {
        // Looked up before anybody dies: once a parent is gone, parentage no longer tells.
        let members = self.members();
        if !self.leader_reaped {
            let _ = killpg(Pid::from_raw(self.leader), signal);
        }
        leftovers::signal(&members, signal);
        members
    }

    /// Who of it still lives.
    pub(super) fn members(&self) -> Vec<Leftover> {
        let mut members = leftovers::of_command(self.leader, &self.marker);
        members.retain(|member| !(self.leader_reaped && member.pid == self.leader));
        members
    }

    /// The leader was waited for.
    pub(super) fn leader_is_reaped(&mut self) {
        self.leader_reaped = true;
    }

    /// Ends whoever is left and waits until they are gone; returns who that was. Blocking, a few milliseconds.
    pub(super) fn sweep(mut self) -> Vec<Leftover> {
        self.over = true;
        if self.leader_reaped && orphans::is_childless() {
            return Vec::new();
        }
        let mut killed = self.kill();
        killed.extend(orphans::kill_strays(self.leader));
        let deadline = Instant::now() + DYING;
        // A killed process lives on until it next runs. Killing again catches what was forked meanwhile.
        while !killed.is_empty() && !self.kill().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        killed
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.kill();
        }
        orphans::children().remove(&self.leader);
        orphans::reap();
    }
}
