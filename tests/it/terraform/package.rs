//! What is in the artifact, and that it is the same everywhere.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{Pushed, REPOSITORY, folder_job, source, untar, unzip};
use crate::support::runner::Runner;
use crate::support::tools;

fn pack(runner: &Runner, job: &Value) -> (Value, Pushed) {
    let receipt = runner.job(job).done().succeeded();
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    (receipt["outputs"].clone(), Pushed::read(&runner.work().join("out")))
}

#[test]
fn one_artifact_holds_a_tar_and_a_zip_of_the_same_files() {
    let runner = Runner::new();
    source(&runner, REPOSITORY);
    source(
        &runner,
        &[
            ("live/app/run.sh", "#!/bin/sh\n"),
            ("live/app/empty", ""),
            ("live/app/.terraform/x", ""),
            ("live/app/.terraform.lock.hcl", "# lock\n"),
        ],
    );
    let script = runner.work().join("src/live/app/run.sh");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    symlink("../../README.md", runner.work().join("src/live/app/README.md")).unwrap();
    let (outputs, pushed) = pack(&runner, &folder_job("live/app"));

    let manifest = &pushed.manifest;
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["artifactType"], "application/vnd.opentofu.modulepkg");
    assert_eq!(
        (&manifest["config"]["mediaType"], &manifest["config"]["data"]),
        (&json!("application/vnd.oci.empty.v1+json"), &json!("e30="))
    );
    let types: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(|layer| layer["mediaType"].as_str().unwrap()).collect();
    assert_eq!(types, ["application/vnd.oci.image.layer.v1.tar+gzip", "archive/zip"]);
    assert_eq!(
        manifest["annotations"],
        json!({
            "component_id": "cmp1",
            "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
            "org.opencontainers.image.title": "app",
            "org.opencontainers.image.version": "1.0.0",
        })
    );

    let files = untar(&pushed.tar);
    assert_eq!(files, unzip(&pushed.zip));
    let names: Vec<_> = files.iter().map(|(name, file)| (name.as_str(), file.0)).collect();
    assert_eq!(
        names,
        [
            (".modules/modules/case/main.tf", 0o644),
            (".modules/modules/words/hello.txt", 0o644),
            (".modules/modules/words/main.tf", 0o644),
            (".terraform.lock.hcl", 0o644),
            ("README.md", 0o644),
            ("empty", 0o644),
            ("io.tf.json", 0o644),
            ("main.tf", 0o644),
            ("mark/main.tf", 0o644),
            ("run.sh", 0o755),
        ]
    );
    let main = REPOSITORY[0].1.replace("../../modules/words", "./.modules/modules/words");
    assert_eq!(files["main.tf"].1, main.as_bytes());
    assert_eq!(files["README.md"].1, b"# everything\n");

    let bytes: usize = files.values().map(|file| file.1.len()).sum();
    assert_eq!(outputs["files"], json!({"count": 10, "bytes": bytes}));
    assert_eq!(
        outputs["module"],
        json!({"providers": {}, "required_variables": ["name"], "optional_variables": [], "outputs": ["text"], "resources": 0, "data_sources": 0})
    );
    assert_eq!(
        outputs["modules"],
        json!([
            {"from": "modules/case", "to": ".modules/modules/case"},
            {"from": "modules/words", "to": ".modules/modules/words"},
        ])
    );
    assert_eq!(outputs["image"]["digest"], outputs["artifacts"][0]["digest"]);
}

#[test]
fn the_same_files_give_the_same_digest_wherever_and_however_they_lie() {
    let digest = |disorder: &dyn Fn(&Path)| {
        let runner = Runner::new();
        disorder(&runner.work());
        pack(&runner, &folder_job("live/app")).0["artifacts"][0]["digest"].clone()
    };
    let write = |work: &Path, files: &mut dyn Iterator<Item = &(&str, &str)>, mode: u32| {
        for (name, content) in files {
            let file = work.join("src").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(mode) * 100_000);
            fs::File::open(&file).unwrap().set_modified(at).unwrap();
        }
    };
    let one = digest(&|work| write(work, &mut REPOSITORY.iter(), 0o644));
    let other = digest(&|work| {
        fs::create_dir_all(work.join("src/live/app/.git")).unwrap();
        write(work, &mut REPOSITORY.iter().rev(), 0o600);
    });
    assert_eq!(one, other);
}

#[test]
fn the_plan_of_this_repository_runs_twice_to_the_same_digest() {
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/terraform-module-build.json");
    let mut job: Value = serde_json::from_str(&fs::read_to_string(plan).unwrap()).unwrap();
    job["plan"]["git_source"]["url"] = json!(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/terraform/module"));
    job["plan"]["dst_registry"]["Repository"] = json!("out");
    let runner = Runner::new();
    let first = pack(&runner, &job).0;
    let module = &first["module"];
    assert_eq!((&module["required_version"], &module["resources"]), (&json!([">= 1.6"]), &json!(1)));
    assert_eq!((&module["required_variables"], &module["optional_variables"]), (&json!(["name"]), &json!(["greeting"])));
    assert_eq!(pack(&runner, &job).0["artifacts"], first["artifacts"]);
}

#[test]
fn a_commit_gives_its_time_and_its_name() {
    require_tools!("git");
    let runner = Runner::new();
    source(&runner, REPOSITORY);
    let git = |args: &[&str]| {
        let mut command = tools::command("git");
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]).args(args);
        tools::run(command.env("GIT_COMMITTER_DATE", "2024-02-03T04:05:06Z").current_dir(runner.work().join("src")))
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "x"]);
    let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
    let mut job = folder_job("modules/words");
    job["plan"]["git_source"]["ref"] = json!("main");
    let annotations = pack(&runner, &job).1.manifest["annotations"].clone();
    assert_eq!(annotations["org.opencontainers.image.revision"], json!(commit));
    assert_eq!(annotations["org.opencontainers.image.created"], "2024-02-03T04:05:06Z");
}

#[test]
fn values_stay_out_unless_the_plan_takes_them_in() {
    let runner = Runner::new();
    source(&runner, &[("main.tf", ""), ("a.auto.tfvars", "x = 1\n"), ("b.tfvars.json", "{}"), ("c.tfvars.example", "")]);
    let names = |job: &Value| unzip(&pack(&runner, job).1.zip).into_keys().collect::<Vec<_>>();
    let mut job = folder_job("");
    assert_eq!(names(&job), ["c.tfvars.example", "main.tf"]);
    job["plan"]["terraform_build_plan"]["tfvars"] = json!("include");
    assert_eq!(names(&job), ["a.auto.tfvars", "b.tfvars.json", "c.tfvars.example", "main.tf"]);
}
