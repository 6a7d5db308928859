//! Any sequence of claims, writes, cancels, retries and expiries against a model that fits on a page.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Claim,
    /// The execution counted back from the latest, and what it reports.
    Status(usize, ExecutionStatus),
    Cancel,
    Retry,
    ExpireLease,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Claim),
        8 => (0_usize..2, proptest::sample::select(ExecutionStatus::ALL)).prop_map(|(back, status)| Step::Status(back, status)),
        2 => Just(Step::Cancel),
        2 => Just(Step::Retry),
        1 => Just(Step::ExpireLease),
    ];
    proptest::collection::vec(step, 1..25)
}

/// One job, seen from outside.
struct Model {
    job: JobStatus,
    max: u32,
    executions: Vec<(ExecutionStatus, Ending)>,
}

impl Model {
    fn claim(&mut self) -> bool {
        let won = self.job == JobStatus::Available && u32::try_from(self.executions.len()).unwrap() < self.max;
        if won {
            self.executions.push((ExecutionStatus::Pending, Ending::Running));
            self.job = JobStatus::InProgress;
        }
        won
    }

    /// `Ok(changed)`, or `Err` for a fenced write.
    fn status(&mut self, index: usize, to: ExecutionStatus) -> Result<bool, ()> {
        let latest = index + 1 == self.executions.len() && self.job != JobStatus::Available;
        let (status, ending) = &mut self.executions[index];
        let before = *status;
        match ending {
            Ending::Reported | Ending::Expired => return if to == before { Ok(false) } else { Err(()) },
            _ if !latest => return Err(()),
            _ if to.is_terminal() => (*status, *ending, self.job) = (to, Ending::Reported, to.job()),
            Ending::Running => *status = before.max(to),
            Ending::Stopping | Ending::Abandoned => return Err(()),
        }
        Ok(before != self.executions[index].0)
    }

    fn cancel(&mut self) {
        if self.job.is_terminal() {
            return;
        }
        if let (JobStatus::InProgress, Some(latest)) = (self.job, self.executions.last_mut()) {
            *latest = (ExecutionStatus::Cancelled, Ending::Stopping);
        }
        self.job = JobStatus::Cancelled;
    }

    fn retry(&mut self) -> bool {
        let stopping = self.executions.last().is_some_and(|(_, ending)| *ending == Ending::Stopping);
        let may = self.job.is_terminal() && self.job != JobStatus::Finished && !stopping;
        if may {
            self.max = self.max.max(u32::try_from(self.executions.len()).unwrap() + 1);
            self.job = JobStatus::Available;
        }
        may
    }

    fn expire(&mut self) {
        let count = u32::try_from(self.executions.len()).unwrap();
        let Some(latest) = self.executions.last_mut() else { return };
        match latest.1 {
            Ending::Running => {
                *latest = (ExecutionStatus::TimedOut, Ending::Expired);
                self.job = if count < self.max { JobStatus::Available } else { JobStatus::Failed };
            }
            Ending::Stopping => latest.1 = Ending::Abandoned,
            _ => {}
        }
    }
}

async fn follows_the_model(steps: Vec<Step>) {
    let bench = Bench::new().await;
    let job = bench.submit_with(|job| {
        job.max_executions = 2;
        job.timeouts = Timeouts::default();
    });
    let job = job.await;
    let mut model = Model { job: JobStatus::Available, max: 2, executions: vec![] };
    let mut ids = Vec::new();
    for step in steps {
        match &step {
            Step::Claim => match bench.claim(&job, "r1").await {
                Claimed::New(execution) => {
                    assert!(model.claim(), "{step:?}");
                    ids.push(execution.id);
                }
                Claimed::Lost(_) => assert!(!model.claim(), "{step:?}"),
                Claimed::Same(_) => panic!("without a key"),
            },
            Step::Status(back, status) => {
                let Some(index) = ids.len().checked_sub(1 + back) else { continue };
                let cancelled = model.executions[index] == (ExecutionStatus::Cancelled, Ending::Stopping);
                let expected = model.status(index, *status);
                let got = bench.set(&job, &ids[index], *status).await.map(|written| written == Written::Changed).map_err(|_| ());
                assert_eq!(got, expected, "{step:?} cancelled={cancelled}");
            }
            Step::Cancel => {
                bench.store.cancel(&job, bench.now).await.unwrap();
                model.cancel();
            }
            Step::Retry => assert_eq!(bench.store.retry(&job, bench.now).await.is_ok(), model.retry(), "{step:?}"),
            Step::ExpireLease => {
                bench.store.expire(bench.at(1000)).await.unwrap();
                model.expire();
            }
        }
        let detail = bench.store.job(&job).await.unwrap();
        let executions: Vec<_> = detail.executions.iter().map(|detail| (detail.execution.status, detail.execution.ending)).collect();
        assert_eq!(
            (detail.job.status, detail.job.max_executions, executions),
            (model.job, model.max, model.executions.clone()),
            "after {step:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(follows_the_model(steps));
    }
}
