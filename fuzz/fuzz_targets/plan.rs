//! Plans of every job type, from text that nobody checked: a plan or a list of mistakes, each of which can be shown.
#![no_main]

use build_runner::job::JobType;
use build_runner::plan::{PipelineFile, Plan, Strictness};
use build_runner::yaml;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, bool, &str)| {
    let (kind, strict, text) = input;
    let _ = PipelineFile::parse(text).map_err(|problems| problems.to_string());
    let Ok(value) = yaml::parse_value(text, yaml::Dialect::Core) else { return };
    let job_type = JobType::ALL[usize::from(kind) % JobType::ALL.len()];
    let strictness = if strict { Strictness::JobFile } else { Strictness::Polled };
    match Plan::decode(job_type, &value, strictness) {
        Ok(decoded) => {
            assert_eq!(decoded.plan.job_type(), job_type);
            assert!(strictness == Strictness::Polled || decoded.warnings.is_empty());
            let _ = (format!("{:?}", decoded.plan), decoded.plan.git_source(), decoded.plan.destination());
        }
        Err(problems) => {
            assert!(problems.iter().count() > 0);
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
        }
    }
});
