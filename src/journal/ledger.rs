//! The fold of all entries: what is begun and not closed. Pure.
//!
//! Total: entries about executions that are not (or no longer) open change nothing, so that a skipped line costs no more than itself.

use std::collections::{BTreeMap, HashMap};

use super::{Entry, Intent, Recovered, RecoveredExecution};
use crate::job::{ExecutionId, Phase};

/// Everything that is open.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ledger {
    /// By the key of the intent.
    open: BTreeMap<String, Recovered>,
    /// The key under which an execution was claimed.
    keys: HashMap<ExecutionId, String>,
}

impl Ledger {
    /// One more entry.
    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Claiming { job, key, at, intent } => {
                self.open.entry(key.clone()).or_insert(Recovered { key, job, at, intent, claimed: None });
            }
            Entry::Unclaimed { key } => self.forget(&key),
            Entry::Claimed { key, job, execution, job_type, log_stream, at } => {
                // The age of a claim is that of its intent.
                let (at, intent) = match self.open.get_mut(&key) {
                    Some(open) => (open.at, std::mem::take(&mut open.intent)),
                    None => (at, Intent { job_type: job_type.clone(), log_stream: log_stream.clone(), ..Intent::default() }),
                };
                self.forget(&key);
                if let Some(other) = self.keys.insert(execution.clone(), key.clone()) {
                    self.open.remove(&other);
                }
                let claimed = RecoveredExecution {
                    execution,
                    job_type,
                    log_stream,
                    handle: None,
                    phase: Phase::Claimed,
                    receipt: None,
                    logs_sent: 0,
                };
                self.open.insert(key.clone(), Recovered { key, job, at, intent, claimed: Some(claimed) });
            }
            Entry::Handle { execution, handle } => self.change(&execution, |claimed| claimed.handle = Some(handle)),
            Entry::Phase { execution, phase } => self.change(&execution, |claimed| claimed.phase = claimed.phase.max(phase)),
            Entry::Finished { execution, receipt } => self.change(&execution, |claimed| claimed.receipt = Some(*receipt)),
            Entry::LogsSent { execution, seq } => self.change(&execution, |claimed| claimed.logs_sent = claimed.logs_sent.max(seq)),
            Entry::Closed { execution } => {
                if let Some(key) = self.keys.remove(&execution) {
                    self.open.remove(&key);
                }
            }
        }
    }

    /// Forgets an intent and the claim that came of it.
    fn forget(&mut self, key: &str) {
        if let Some(Recovered { claimed: Some(claimed), .. }) = self.open.remove(key) {
            self.keys.remove(&claimed.execution);
        }
    }

    fn change(&mut self, execution: &ExecutionId, change: impl FnOnce(&mut RecoveredExecution)) {
        let open = self.keys.get(execution).and_then(|key| self.open.get_mut(key));
        if let Some(claimed) = open.and_then(|open| open.claimed.as_mut()) {
            change(claimed);
        }
    }

    /// What is open, oldest first.
    pub(super) fn recovered(&self) -> Vec<Recovered> {
        let mut open: Vec<_> = self.open.values().cloned().collect();
        open.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
        open
    }

    /// The fewest entries that fold into this ledger.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.recovered().into_iter().flat_map(|Recovered { key, job, at, intent, claimed }| {
            let mut entries = vec![Entry::Claiming { job: job.clone(), key: key.clone(), at, intent }];
            let Some(claimed) = claimed else { return entries };
            let RecoveredExecution { execution, job_type, log_stream, handle, phase, receipt, logs_sent } = claimed;
            entries.push(Entry::Claimed { key, job, execution: execution.clone(), job_type, log_stream, at });
            entries.extend(handle.map(|handle| Entry::Handle { execution: execution.clone(), handle }));
            entries.extend((phase > Phase::Claimed).then(|| Entry::Phase { execution: execution.clone(), phase }));
            entries.extend((logs_sent > 0).then(|| Entry::LogsSent { execution: execution.clone(), seq: logs_sent }));
            entries.extend(receipt.map(|receipt| Entry::Finished { execution, receipt: Box::new(receipt) }));
            entries
        })
    }
}
