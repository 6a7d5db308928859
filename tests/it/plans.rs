//! `plans/`: every file decodes, every type has one, every file of `plans/invalid/` gives the message beside it, and the JSON Schema agrees.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use build_runner::{job::JobType, plan, source::job_file};
use serde_json::Value;

use crate::support::runner::Runner;

/// Files of a folder with one of these extensions, by name.
fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)))
        .collect();
    files.sort();
    files
}

/// What a job file is refused with, destinations asked for as the command does.
fn refusal(path: &Path) -> Option<String> {
    let refused = match job_file::read_all([path]) {
        Ok(jobs) => jobs.iter().find_map(|job| job.check_destination().err()),
        Err(refused) => Some(refused),
    };
    refused.map(|refused| format!("{refused}\n"))
}

/// A validator of the schema that `build-runner schema` prints.
struct Schema(boon::Schemas, boon::SchemaIndex);

impl Schema {
    fn of(job_type: Option<JobType>) -> Self {
        let mut compiler = boon::Compiler::new();
        compiler.add_resource("job-file.json", plan::schema(job_type)).unwrap();
        let mut schemas = boon::Schemas::new();
        let index = compiler.compile("job-file.json", &mut schemas).unwrap();
        Self(schemas, index)
    }

    fn accepts(&self, value: &Value) -> bool {
        self.0.validate(value, self.1).is_ok()
    }
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).ok()
}

#[test]
fn every_job_type_has_a_plan_that_decodes_and_fits_its_schema() {
    let whole = Schema::of(None);
    let mut found = BTreeMap::new();
    for path in files("plans", &["json"]) {
        let jobs = job_file::read(&path).unwrap_or_else(|refused| panic!("{refused}"));
        for job in jobs {
            job.check_destination().unwrap_or_else(|refused| panic!("{refused}"));
            assert_eq!(path.file_stem().unwrap().to_str(), Some(job.job_type.as_str()));
            assert_eq!(job.plan.job_type(), job.job_type);
            let value = json(&path).unwrap();
            assert!(whole.accepts(&value) && Schema::of(Some(job.job_type)).accepts(&value), "{}: the schema refuses it", path.display());
            found.insert(job.job_type, path.clone());
        }
    }
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), JobType::ALL.to_vec());
}

#[test]
fn sources_that_plans_name_are_in_the_checkout() {
    for path in files("plans", &["json"]) {
        for job in job_file::read(&path).unwrap() {
            if let Some(source) = job.plan.git_source() {
                assert!(job.base.join(&source.url).is_dir(), "{}: {}", path.display(), source.url);
            }
        }
    }
}

#[test]
fn every_invalid_file_gives_exactly_the_message_beside_it() {
    let files = files("plans/invalid", &["json", "yaml"]);
    assert!(files.len() >= 20, "only {} files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let got = refusal(&path).unwrap_or_else(|| "accepted\n".to_owned());
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        if got != expected {
            wrong.push(format!("--- {}\nexpected: {expected}got:      {got}", path.display()));
        }
        // Whoever reads it has to know where.
        assert!(got == "accepted\n" || got.lines().all(|line| line.starts_with(&path.display().to_string())), "{got}");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Structure is what a schema can judge; these it has to refuse too.
#[test]
fn the_schema_refuses_what_is_wrong_in_structure() {
    let schema = Schema::of(None);
    for name in [
        "docker-build-args",
        "envelope-key-unknown",
        "git-url-missing",
        "id-unusable",
        "key-misspelt",
        "many-mistakes",
        "metadata-not-text",
        "not-an-object",
        "operation-of-another-type",
        "plan-missing",
        "plan-of-another-type",
        "registry-type-unknown",
        "secret-two-ways",
        "tag-not-text",
        "timeout-without-unit",
        "type-missing",
        "type-not-ours",
        "type-unknown",
    ] {
        let path = PathBuf::from(format!("plans/invalid/{name}.json"));
        assert!(!schema.accepts(&json(&path).unwrap()), "{name}");
    }
}

#[test]
fn secrets_of_a_refused_file_are_not_in_its_message() {
    let message = refusal(Path::new("plans/invalid/secret-two-ways.json")).unwrap();
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn the_command_refuses_every_invalid_file_before_anything_starts() {
    let runner = Runner::new();
    let here = std::env::current_dir().unwrap();
    for path in files("plans/invalid", &["json", "yaml"]) {
        let run = runner.run(&here.join(&path)).done();
        assert_eq!((run.code(), run.stdout()), (2, ""), "{}", path.display());
        let folder = format!("{}/plans", here.display());
        let said = run.stderr().replace(&folder, "plans");
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert!(expected.lines().all(|line| said.contains(line)), "{}:\n{said}", path.display());
    }
    assert_eq!(runner.leftovers(), Vec::<PathBuf>::new());
}
