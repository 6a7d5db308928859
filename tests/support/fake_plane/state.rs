//! What the plane remembers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    call::Endpoint,
    fault::{Fault, What},
};

/// Statuses after which nothing follows.
const OVER: [&str; 5] = ["finished", "failed", "timed-out", "cancelled", "not-attempted"];

/// One attempt at a job, and all that was said about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
    /// The key it was claimed with.
    pub(crate) key: String,
    /// Statuses in the order of their arrival, repetitions included.
    pub(crate) statuses: Vec<String>,
    /// Results in the order of their arrival, repetitions included.
    pub(crate) results: Vec<Value>,
    /// Outputs in the order of their arrival, repetitions included.
    pub(crate) outputs: Vec<Value>,
    /// Log lines by their number.
    pub(crate) lines: BTreeMap<u64, String>,
    /// Log lines that came again with another text.
    pub(crate) contradictions: Vec<(u64, String)>,
    /// Whether a line came after the terminal status.
    pub(crate) late_lines: bool,
}

impl Execution {
    /// What it was last said to be.
    pub(crate) fn status(&self) -> &str {
        self.statuses.last().map_or("pending", String::as_str)
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        OVER.contains(&self.status())
    }

    /// The receipt inside the last result.
    pub(crate) fn receipt(&self) -> Value {
        let contents = self.results.last().and_then(|result| result["contents"].as_str()).unwrap_or("null");
        serde_json::from_str(contents).unwrap()
    }
}

/// A job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) plan: String,
    pub(crate) created_at: Timestamp,
    /// `available`, `in-progress` or a terminal one.
    pub(crate) status: String,
    pub(crate) executions: Vec<Execution>,
}

impl Job {
    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        OVER.contains(&self.status.as_str())
    }

    /// Its only execution.
    pub(crate) fn execution(&self) -> &Execution {
        assert_eq!(self.executions.len(), 1, "executed once: {self:#?}");
        &self.executions[0]
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) jobs: Vec<Job>,
    pub(super) faults: Vec<Fault>,
    /// Endpoints in the order in which they were asked.
    pub(super) requests: Vec<Endpoint>,
    serial: u32,
}

impl State {
    pub(super) fn submit(&mut self, job_type: &str, plan: &str) -> String {
        let id = self.name("job");
        self.jobs.push(Job {
            id: id.clone(),
            kind: job_type.to_owned(),
            plan: plan.to_owned(),
            created_at: Timestamp::now(),
            status: "available".to_owned(),
            executions: Vec::new(),
        });
        id
    }

    /// A new id as planes give them: 26 characters, the first three of which say what it is.
    pub(super) fn name(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{kind}{:0>23}", self.serial)
    }

    pub(super) fn fault(&mut self, endpoint: Endpoint) -> Option<What> {
        self.faults.iter_mut().find_map(|fault| fault.take(endpoint))
    }

    pub(super) fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }

    pub(super) fn job_mut(&mut self, id: &str) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    pub(super) fn execution_mut(&mut self, job: &str, execution: &str) -> Option<&mut Execution> {
        self.job_mut(job)?.executions.iter_mut().find(|one| one.id == execution)
    }
}

/// Whether a status is the last one.
pub(super) fn is_over(status: &str) -> bool {
    OVER.contains(&status)
}
