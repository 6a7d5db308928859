//! Modules of whatever text: configuration in both syntaxes, a call of a module beside, rules to ignore files. A module is packed or refused, and
//! nothing else happens; the same module a second time gives the same digest or the same refusal.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use build_runner::executor::{Context, Executor as _, terraform_module_build::TerraformModuleBuild};
use build_runner::job::{Artifact, ExecutionId, Failure, FailureKind, JobId, JobType};
use build_runner::logs::{JobLog, Progress};
use build_runner::oci;
use build_runner::plan::{Plan, Strictness};
use build_runner::shutdown::Cancel;
use build_runner::workspace::Workspace;
use libfuzzer_sys::fuzz_target;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

type Module<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [u8]);

fuzz_target!(|module: Module<'_>| {
    let (native, json, ignore, beside) = module;
    let scratch = tempfile::tempdir().expect("a folder");
    let call: &[u8] = b"module \"beside\" {\n  source = \"../beside\"\n}\n";
    for (name, content) in [
        ("src/module/call.tf", call),
        ("src/module/main.tf", native),
        ("src/module/more.tf.json", json),
        ("src/module/.terraformignore", ignore),
        ("src/beside/main.tf", beside),
    ] {
        let file = scratch.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, content).expect("written");
    }
    let [first, second] = [(), ()].map(|()| RUNTIME.block_on(build(scratch.path())));
    match (first, second) {
        (Ok(first), Ok(second)) => assert_eq!(first, second),
        (Err(first), Err(second)) => {
            assert!(first.kind != FailureKind::Internal, "{first:?}");
            assert_eq!(first.message, second.message);
        }
        (first, second) => panic!("{first:?} and then {second:?}"),
    }
});

async fn build(scratch: &Path) -> Result<Vec<Artifact>, Failure> {
    let plan = serde_json::json!({
        "git_source": {"url": scratch.join("src"), "path": "module"},
        "dst_registry": {"RegistryType": "oci_layout", "Repository": scratch.join("out")},
        "dst_tag": "0.1.0",
        "terraform_build_plan": {},
    });
    let decoded = Plan::decode(JobType::TerraformModuleBuild, &plan, Strictness::JobFile).expect("a plan");
    let Plan::TerraformModuleBuild(plan) = decoded.plan else { unreachable!("it is of that type") };
    let (job, execution) = (JobId::generate(), ExecutionId::generate());
    let state = scratch.join("state");
    build_runner::workspace::open_state(&state)?;
    let cx = Context {
        workspace: Arc::new(Workspace::create(&state, &execution)?),
        cancel: Cancel::new(),
        log: JobLog::discard(),
        progress: Progress::default(),
        oci: Arc::new(oci::Client::new(oci::Settings::default())?),
        git: Arc::default(),
        local_base: Some(scratch.to_owned()),
        job,
        execution,
    };
    let handle = TerraformModuleBuild.handle(&cx.job, &cx.execution, &plan);
    let mut work = TerraformModuleBuild.prepare(&cx, &plan, &handle).await?;
    TerraformModuleBuild.execute(&cx, &plan, &handle, &mut work).await?;
    Ok(TerraformModuleBuild.collect(&cx, &plan, &handle, work).await?.outputs.artifacts)
}
