//! Room for executions: so many at once, and so many of each group.
//!
//! In: a job that is to be claimed. Out: a [`Slot`], which is room for it until it is freed, and keeps the job from being claimed once more until it is
//! dropped. Invariants: never more slots than there are; a job has at most one; nobody waits for a slot in a group while another has room.
//!
//! Called by the poller (take, room) and by executions (free when the work is over, drop when its outcome is delivered).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{
    job::{JobGroup, JobId},
    source::Wanted,
};

/// How many executions there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// At once; at least one.
    pub(super) slots: usize,
    /// Of one group; absent for no limit but `slots`.
    pub(super) groups: BTreeMap<JobGroup, usize>,
}

#[derive(Debug, Default)]
struct State {
    taken: BTreeMap<JobGroup, usize>,
    /// Slots of jobs whose group nobody knows: they only take the time to be refused.
    unknown: usize,
    jobs: BTreeSet<JobId>,
    claiming: usize,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

/// All slots of a runner. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Shared>);

/// Why there is no slot for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// The job has one already: it was offered twice.
    Known,
    /// All that it could have are taken.
    Full,
}

/// Room for one execution, until it is freed or dropped.
#[derive(Debug)]
pub(super) struct Slot {
    shared: Arc<Shared>,
    job: JobId,
    group: Option<JobGroup>,
    claiming: bool,
    freed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State, group: JobGroup) -> bool {
        let taken = state.taken.get(&group).copied().unwrap_or(0);
        self.limits.groups.get(&group).is_none_or(|limit| taken < *limit)
    }
}

impl State {
    fn taken(&self) -> usize {
        self.taken.values().sum::<usize>() + self.unknown
    }
}

impl Slots {
    pub(super) fn new(mut limits: Limits) -> Self {
        limits.slots = limits.slots.max(1);
        Self(Arc::new(Shared { limits, state: Mutex::default(), changes: watch::Sender::new(()) }))
    }

    /// Room for `job`, whose claim begins now.
    pub(super) fn take(&self, job: &JobId, group: Option<JobGroup>) -> Result<Slot, NoSlot> {
        let mut state = self.0.state();
        if state.jobs.contains(job) {
            return Err(NoSlot::Known);
        }
        if state.taken() >= self.0.limits.slots || group.is_some_and(|group| !self.0.has_room(&state, group)) {
            return Err(NoSlot::Full);
        }
        state.jobs.insert(job.clone());
        state.claiming += 1;
        match group {
            Some(group) => *state.taken.entry(group).or_default() += 1,
            None => state.unknown += 1,
        }
        Ok(Slot { shared: Arc::clone(&self.0), job: job.clone(), group, claiming: true, freed: false })
    }

    /// As [`Slots::take`], as soon as there is room. `None` when the job has a slot. Cancel-safe.
    pub(super) async fn wait_for(&self, job: &JobId, group: Option<JobGroup>) -> Option<Slot> {
        let mut changes = self.0.changes.subscribe();
        loop {
            match self.take(job, group) {
                Ok(slot) => return Some(slot),
                Err(NoSlot::Known) => return None,
                Err(NoSlot::Full) => {}
            }
            // The sender is `self`: it cannot be gone.
            let _ = changes.changed().await;
        }
    }

    /// What could start now; `None` when nothing could.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        let state = self.0.state();
        let free = self.0.limits.slots.saturating_sub(state.taken());
        let open: Vec<_> = JobGroup::ALL.iter().copied().filter(|group| self.0.has_room(&state, *group)).collect();
        if free == 0 || open.is_empty() {
            return None;
        }
        let groups = (open.len() < JobGroup::ALL.len()).then_some(open);
        // A source may offer what is being claimed once more, and ahead of the others.
        Some(Wanted { groups, limit: free + state.claiming })
    }

    /// Resolves when something could start. Cancel-safe.
    pub(super) async fn room(&self) -> Wanted {
        let mut changes = self.0.changes.subscribe();
        loop {
            if let Some(wanted) = self.wanted() {
                return wanted;
            }
            let _ = changes.changed().await;
        }
    }

    /// Resolves when a group has room that `wanted` does not ask for. Cancel-safe.
    pub(super) async fn outgrown(&self, wanted: &Wanted) {
        let Some(asked) = &wanted.groups else { return std::future::pending().await };
        let mut changes = self.0.changes.subscribe();
        loop {
            match self.wanted() {
                Some(Wanted { groups: None, .. }) => return,
                Some(Wanted { groups: Some(now), .. }) if now.iter().any(|group| !asked.contains(group)) => return,
                _ => {}
            }
            let _ = changes.changed().await;
        }
    }

    /// Resolves when no claim is under way. Cancel-safe.
    pub(super) async fn claims_settled(&self) {
        let mut changes = self.0.changes.subscribe();
        while self.0.state().claiming > 0 {
            let _ = changes.changed().await;
        }
    }
}

impl Slot {
    /// The claim is answered.
    pub(super) fn settled(&mut self) {
        if std::mem::take(&mut self.claiming) {
            self.shared.state().claiming -= 1;
            self.shared.changes.send_replace(());
        }
    }

    /// The work is over: there is room for another job, if not for the same one.
    pub(super) fn free(&mut self) {
        self.settled();
        if std::mem::replace(&mut self.freed, true) {
            return;
        }
        let mut state = self.shared.state();
        match self.group {
            Some(group) => {
                if let Some(taken) = state.taken.get_mut(&group) {
                    *taken -= 1;
                }
            }
            None => state.unknown -= 1,
        }
        drop(state);
        self.shared.changes.send_replace(());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free();
        self.shared.state().jobs.remove(&self.job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(slots: usize, groups: &[(JobGroup, usize)]) -> Slots {
        Slots::new(Limits { slots, groups: groups.iter().copied().collect() })
    }

    #[test]
    fn a_full_group_is_not_asked_for_while_others_are() {
        let slots = slots(3, &[(JobGroup::Build, 1)]);
        assert_eq!(slots.wanted(), Some(Wanted { groups: None, limit: 3 }));
        let mut build = slots.take(&JobId::generate(), Some(JobGroup::Build)).expect("room");
        assert_eq!(slots.take(&JobId::generate(), Some(JobGroup::Build)).expect_err("full"), NoSlot::Full);
        let wanted = slots.wanted().expect("room for others");
        assert!(wanted.limit == 3 && wanted.groups.is_some_and(|groups| !groups.contains(&JobGroup::Build)));
        build.settled();
        assert_eq!(slots.wanted().expect("room for others").limit, 2);
        drop(build);
        assert_eq!(slots.wanted(), Some(Wanted { groups: None, limit: 3 }));
    }

    #[test]
    fn a_job_has_one_slot_and_unknown_groups_take_one_too() {
        let (slots, job) = (slots(1, &[]), JobId::generate());
        let mut slot = slots.take(&job, None).expect("room");
        assert_eq!(slots.take(&job, None).expect_err("offered twice"), NoSlot::Known);
        assert_eq!(slots.take(&JobId::generate(), None).expect_err("full"), NoSlot::Full);
        assert_eq!(slots.wanted(), None);
        slot.free();
        assert_eq!(slots.take(&job, None).expect_err("not delivered yet"), NoSlot::Known);
        assert!(slots.take(&JobId::generate(), None).is_ok());
        drop(slot);
        assert!(slots.take(&job, None).is_ok());
    }

    #[tokio::test]
    async fn a_poll_is_outgrown_when_a_group_it_left_out_has_room_again() {
        let slots = slots(4, &[(JobGroup::Build, 1)]);
        let build = slots.take(&JobId::generate(), Some(JobGroup::Build)).expect("room");
        let wanted = slots.room().await;
        let outgrown = slots.outgrown(&wanted);
        tokio::pin!(outgrown);
        let sync = slots.take(&JobId::generate(), Some(JobGroup::Sync)).expect("room");
        drop(sync);
        assert!(futures_util::poll!(&mut outgrown).is_pending(), "nothing that was left out has room");
        drop(build);
        outgrown.await;
        slots.claims_settled().await;
    }
}
