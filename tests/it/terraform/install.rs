//! What was pushed into a real registry, installed and used by the real tools.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Pushed, REPOSITORY, folder_job, into_registry, source, untar, unzip};
use crate::support::registry::{Options, Registry};
use crate::support::runner::Runner;
use crate::support::tools;

/// `tofu` or `terraform` in a folder, with nobody's configuration.
fn command(tool: &str, folder: &Path) -> Command {
    let mut command = tools::command(tool);
    command.env("HOME", folder).env("TF_CLI_CONFIG_FILE", "/dev/null").env("CHECKPOINT_DISABLE", "1").current_dir(folder);
    command
}

fn folder_with(runner: &Runner, name: &str, main: &str) -> std::path::PathBuf {
    runner.write(&format!("{name}/main.tf"), main).parent().unwrap().to_owned()
}

#[test]
fn opentofu_installs_and_applies_it_from_a_registry() {
    require_tools!("docker-registry", "tofu");
    let registry = Registry::with(&Options { tls: true, ..Options::default() });
    let runner = Runner::new();
    source(&runner, REPOSITORY);
    let repository = registry.repository("modules/app");
    let ca = registry.ca().unwrap();
    let run = runner.job(&into_registry(folder_job("live/app"), &repository, false)).env("SSL_CERT_FILE", ca).done();
    let digest = run.succeeded()["outputs"]["artifacts"][0]["digest"].as_str().unwrap().to_owned();
    assert!(
        run.stderr().contains("live/app/main.tf:2: module 'words': source '../../modules/words' is packed as './.modules/modules/words'")
    );

    let main = format!(
        "module \"a\" {{\n  source = \"oci://{repository}?tag=1.0.0\"\n  name = \"you\"\n}}\n\
         module \"b\" {{\n  source = \"oci://{repository}?digest={digest}\"\n  name = \"me\"\n}}\n\
         module \"c\" {{\n  source = \"oci://{repository}//mark?tag=1.0.0\"\n}}\n\
         output \"all\" {{ value = \"<${{module.a.text}} ${{module.b.text}} ${{module.c.text}}>\" }}\n"
    );
    let folder = folder_with(&runner, "use", &main);
    tools::run(command("tofu", &folder).env("SSL_CERT_FILE", ca).args(["init", "-no-color"]));
    tools::run(command("tofu", &folder).args(["apply", "-auto-approve", "-no-color"]));
    let text = tools::run(command("tofu", &folder).args(["output", "-raw", "all"]));
    assert_eq!(text, "<Hello YOU! Hello ME! !>");
}

#[test]
fn terraform_validates_the_unpacked_module() {
    require_tools!("terraform");
    let runner = Runner::new();
    source(&runner, REPOSITORY);
    runner.job(&folder_job("live/app")).done().succeeded();
    let folder = folder_with(&runner, "use", "module \"a\" {\n  source = \"./unpacked\"\n  name = \"you\"\n}\n");
    for (name, (_, content)) in unzip(&Pushed::read(&runner.work().join("out")).zip) {
        runner.write(&format!("use/unpacked/{name}"), content);
    }
    tools::run(command("terraform", &folder).args(["init", "-no-color"]));
    tools::run(command("terraform", &folder).args(["validate", "-no-color"]));
}

/// What `OpenTofu` passes over need not be there: a `.tf` file beside its `.tofu` form, a source that an override file replaces.
#[test]
fn opentofu_finds_all_that_it_looks_for() {
    require_tools!("tofu");
    let runner = Runner::new();
    let call = |name: &str, source: &str| format!("module \"{name}\" {{\n  source = {source}\n}}\n");
    source(
        &runner,
        &[
            ("app/main.tf", &call("a", "\"../gone\"")),
            ("app/main.tofu", &call("a", "(\"../a\")")),
            ("app/other.tf", &call("b", "\"./gone\"")),
            ("app/other_override.tf", &call("b", "\"../b\"")),
            ("a/main.tofu", "output \"text\" { value = \"a\" }\n"),
            ("b/main.tf", "output \"text\" { value = \"b\" }\n"),
        ],
    );
    runner.job(&folder_job("app")).done().succeeded();
    for (name, (_, content)) in unzip(&Pushed::read(&runner.work().join("out")).zip) {
        runner.write(&format!("unpacked/{name}"), content);
    }
    let folder = runner.work().join("unpacked");
    tools::run(command("tofu", &folder).args(["init", "-no-color"]));
    tools::run(command("tofu", &folder).args(["validate", "-no-color"]));
}

#[test]
fn flux_pulls_the_same_files() {
    require_tools!("docker-registry", "flux");
    let (registry, runner) = (Registry::start(), Runner::new());
    source(&runner, REPOSITORY);
    runner.job(&folder_job("live/app")).done().succeeded();
    runner.job(&into_registry(folder_job("live/app"), &registry.repository("app"), true)).done().succeeded();
    let out = runner.work().join("pulled");
    fs::create_dir(&out).unwrap();
    let reference = format!("oci://{}:1.0.0", registry.repository("app"));
    let mut flux = registry.command("flux");
    flux.env("HOME", runner.work()).args(["pull", "artifact", &reference, "--insecure-registry", "--output"]).arg(&out);
    tools::run(&mut flux);
    for (name, (_, content)) in untar(&Pushed::read(&runner.work().join("out")).tar) {
        assert_eq!(fs::read(out.join(&name)).unwrap(), content, "{name}");
    }
}
