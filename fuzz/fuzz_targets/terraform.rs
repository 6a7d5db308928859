//! Modules of whatever text: configuration in both syntaxes, a call of a module beside, rules to ignore files. A module is packed or refused, and
//! nothing else happens; the same module a second time gives the same digest or the same refusal.
#![no_main]

use std::fs;
use std::path::Path;

use build_runner::executor::terraform_module_build::TerraformModuleBuild;
use build_runner::job::{Artifact, Failure, FailureKind, JobType};
use build_runner::plan::Plan;
use libfuzzer_sys::fuzz_target;

mod support;

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
    let [first, second] = [(), ()].map(|()| build(scratch.path()));
    match (first, second) {
        (Ok(first), Ok(second)) => assert_eq!(first, second),
        (Err(first), Err(second)) => {
            assert!(first.kind != FailureKind::Internal, "{first:?}");
            assert_eq!(first.message, second.message);
        }
        (first, second) => panic!("{first:?} and then {second:?}"),
    }
});

fn build(scratch: &Path) -> Result<Vec<Artifact>, Failure> {
    let plan = serde_json::json!({
        "git_source": {"url": scratch.join("src"), "path": "module"},
        "dst_registry": {"RegistryType": "oci_layout", "Repository": scratch.join("out")},
        "dst_tag": "0.1.0",
        "terraform_build_plan": {},
    });
    support::build(&TerraformModuleBuild, scratch, JobType::TerraformModuleBuild, &plan, |plan| match plan {
        Plan::TerraformModuleBuild(plan) => Some(*plan),
        _ => None,
    })
}
