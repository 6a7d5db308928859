//! Job files, as YAML and as JSON: jobs or a list of mistakes, each with a sentence for it.
#![no_main]

use std::path::Path;

use build_runner::source::job_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for name in ["job.yaml", "job.json"] {
        match job_file::parse(text, Path::new(name), Path::new("/nowhere")) {
            Ok(jobs) => assert!(jobs.iter().all(|job| !format!("{:?}", job.plan).is_empty())),
            Err(rejected) => {
                assert!(rejected.iter().count() > 0);
                assert!(rejected.iter().all(|mistake| mistake.to_string().starts_with(name)));
            }
        }
    }
});
