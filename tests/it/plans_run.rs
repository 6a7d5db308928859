//! Every file of `plans/` that a machine can run by itself, run as the README says: from a fresh checkout, with no server. Twice: the
//! same input gives the same digest, and what came out carries the runner's signature.

use std::fs;
use std::path::{Path, PathBuf};

use build_runner::job::JobType;
use tempfile::TempDir;

use crate::support::runner::Runner;

/// What needs a cluster, or servers that this machine does not have.
const ELSEWHERE: &[JobType] =
    &[JobType::KubernetesManifestDeploy, JobType::ShipwrightBuild, JobType::PipelineRun, JobType::FlatpakBuild, JobType::FlatpakUpload];

/// In the order of the README: copies come after what they copy.
const HERE: &[JobType] = &[
    JobType::HelmChartBuild,
    JobType::OciSync,
    JobType::TerraformModuleBuild,
    JobType::KubernetesManifestBuild,
    JobType::DockerBuild,
    JobType::ContainerImageBuild,
    JobType::NoopBuild,
    JobType::NoopSync,
    JobType::Noop,
    JobType::HealthCheck,
];

/// A fresh copy of what a job file of the checkout may name, and a runner of its own.
struct Checkout {
    dir: TempDir,
    runner: Runner,
}

impl Checkout {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("checkout-").tempdir().unwrap();
        for name in ["plans", "fixtures"] {
            copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name), &dir.path().join(name));
        }
        Self { dir, runner: Runner::new() }
    }

    /// Runs the file of each type, and gives the type with the digest of what was pushed.
    fn run(&self) -> Vec<(JobType, Option<String>)> {
        HERE.iter().map(|&job_type| (job_type, self.digest(job_type))).collect()
    }

    fn digest(&self, job_type: JobType) -> Option<String> {
        let receipt = self.runner.run(&self.dir.path().join("plans").join(format!("{job_type}.json"))).done().succeeded();
        assert_eq!(self.runner.leftovers(), Vec::<PathBuf>::new(), "{job_type}");
        let artifacts = receipt["outputs"]["artifacts"].as_array().unwrap();
        assert_eq!(artifacts.len(), usize::from(job_type.needs_plan()), "{receipt:#}");
        let digest = artifacts.first()?["digest"].as_str().unwrap().to_owned();
        let layout = self.dir.path().join("target/plans-out").join(job_type.as_str());
        assert!(layout.join("blobs").join(digest.replace(':', "/")).is_file(), "{job_type}: not in {}\n{receipt:#}", layout.display());
        self.is_signed(&format!("{}@{digest}", layout.display()));
        Some(digest)
    }

    /// A copy has the signature of what it is a copy of.
    fn is_signed(&self, reference: &str) {
        let keys = self.runner.command(["keys", "public", "--state-dir"]).arg(self.runner.state()).done();
        let key = self.runner.write("runner.pub", keys.stdout());
        let run = self.runner.command(["verify", reference, "--key"]).arg(key).done();
        assert_eq!(run.code(), 0, "{reference}: {}{}", run.stdout(), run.stderr());
    }
}

#[test]
fn every_plan_runs_from_a_fresh_checkout_twice_with_the_same_digests() {
    require_tools!("git", "kustomize", "buildah");
    let mut all: Vec<JobType> = HERE.iter().chain(ELSEWHERE).copied().collect();
    all.sort();
    let mut known = JobType::ALL.to_vec();
    known.sort();
    assert_eq!(all, known, "a type is missing in this test");

    let checkout = Checkout::new();
    let first = checkout.run();
    assert_eq!(checkout.run(), first, "the second run over the same folders");
    assert_eq!(Checkout::new().run(), first, "another checkout, another runner");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
