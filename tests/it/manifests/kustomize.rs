//! Kustomizations, with `kustomize build` and `kubectl kustomize` as oracles.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{config_map, fake_tool, job, kustomize_job, objects, path_with, pushed, repo};
use crate::support::{http_files::HttpFiles, runner::Runner, tools};

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web:1}]}\n";

/// A base, an overlay over it, and a namesake of the overlay.
fn sample(runner: &Runner) {
    repo(
        runner,
        &[
            ("apps/base/kustomization.yaml", "resources: [deployment.yaml]\n"),
            ("apps/base/deployment.yaml", DEPLOYMENT),
            ("apps/overlay/kustomization.yml", "namePrefix: p-\nresources: [../base]\nconfigMapGenerator: [{name: s, literals: [a=b]}]\n"),
            ("patches/replicas.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: p-web}\nspec: {replicas: 7}\n"),
        ],
    );
}

#[test]
fn the_output_of_kustomize_is_passed_on_byte_for_byte() {
    require_tools!("kustomize", "kubectl");
    let runner = Runner::new();
    sample(&runner);
    let before = listing(&runner.work().join("repo"));
    let outputs = runner.job(&kustomize_job("apps/overlay", &Value::Null)).done().succeeded()["outputs"].take();
    let (_, text) = pushed(&runner.work().join("out"));
    let oracle = tools::run(tools::command("kustomize").arg("build").arg(runner.work().join("repo/apps/overlay")));
    assert_eq!(text, oracle);
    let kubectl = tools::run(tools::command("kubectl").arg("kustomize").arg(runner.work().join("repo/apps/overlay")));
    assert_eq!(objects(&runner.work().join("a"), &text), objects(&runner.work().join("b"), &kubectl));
    assert_eq!(outputs["kinds"], json!({"ConfigMap": 1, "Deployment": 1}));
    assert_eq!(outputs["source"]["kind"], "folder");
    assert_eq!(listing(&runner.work().join("repo")), before, "the source is never written to");
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    let first = outputs["artifacts"][0]["digest"].clone();
    let without = Runner::new();
    sample(&without);
    let path = path_with(&without, &["kubectl", "git"]);
    let outputs = without.job(&kustomize_job("apps/overlay", &Value::Null)).env("PATH", path).done().succeeded()["outputs"].take();
    assert_eq!(outputs["artifacts"][0]["digest"], first, "kubectl's copy gives the same");
}

fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(listing(&path)) } else { all.push((path.display().to_string(), fs::read(&path).unwrap())) }
    }
    all.sort();
    all
}

#[test]
fn the_path_is_relative_to_the_path_of_the_source_or_to_its_root() {
    require_tools!("kustomize");
    let runner = Runner::new();
    sample(&runner);
    let digest = |source: Value, path: &str| {
        let plan = json!({"source_type": "kustomize", "kustomize_path": path});
        runner.job(&job(&source, &plan)).done().succeeded()["outputs"]["artifacts"][0]["digest"].clone()
    };
    let by_default = digest(json!({"url": "repo"}), "apps/overlay");
    assert_eq!(digest(json!({"url": "repo", "path": "apps"}), "overlay"), by_default);
    assert_eq!(digest(json!({"url": "repo", "path": "apps"}), "apps/overlay"), by_default);
    assert_eq!(digest(json!({"url": "repo", "path": "apps/overlay"}), "."), by_default);
    assert_eq!(digest(json!({"url": "repo"}), "apps/overlay/kustomization.yml"), by_default);
    repo(&runner, &[("overlay/kustomization.yaml", "resources: [../apps/base]\n")]);
    let plan = json!({"source_type": "kustomize", "kustomize_path": "overlay"});
    let failure = runner.job(&job(&json!({"url": "repo", "path": "apps"}), &plan)).done().failed(1, "InvalidSource");
    assert_eq!(
        failure["message"],
        "kustomize_path 'overlay' is ambiguous: both 'apps/overlay' and 'overlay' have a kustomization; rename one, or leave git_source.path empty"
    );
}

#[test]
fn patches_of_every_form_are_put_on_top() {
    require_tools!("kustomize");
    let runner = Runner::new();
    sample(&runner);
    let patches = json!([
        "patches/replicas.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: p-web\n  labels: {tier: front}\n",
        "target: {kind: Deployment, name: p-web}\npatch: |-\n  - op: replace\n    path: /spec/template/spec/containers/0/image\n    value: web:2\n",
        "{\"target\": {\"kind\": \"ConfigMap\"}, \"patch\": \"[{\\\"op\\\": \\\"add\\\", \\\"path\\\": \\\"/data/c\\\", \\\"value\\\": \\\"d\\\"}]\"}",
    ]);
    runner.job(&kustomize_job("apps/overlay", &json!({"patches": patches}))).done().succeeded();
    let (_, text) = pushed(&runner.work().join("out"));
    let objects = objects(&runner.work().join("a"), &text);
    let deployment = &objects["\"Deployment\" null \"p-web\""];
    assert_eq!(deployment["spec"]["replicas"], 7);
    assert_eq!(deployment["metadata"]["labels"]["tier"], "front");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "web:2");
    assert!(objects.values().any(|object| object["data"] == json!({"a": "b", "c": "d"})), "{text}");
    let mut relative = job(
        &json!({"url": "repo", "path": "patches"}),
        &json!({"source_type": "kustomize", "kustomize_path": "apps/overlay", "kustomize_config": {"patches": ["replicas.yaml"]}}),
    );
    relative["plan"]["dst_tag"] = json!("test");
    runner.job(&relative).done().succeeded();
    assert!(pushed(&runner.work().join("out")).1.contains("replicas: 7"));
}

#[test]
fn a_patch_that_cannot_be_put_on_top_is_named() {
    require_tools!("kustomize");
    let runner = Runner::new();
    sample(&runner);
    runner.write("repo/patches/list.yaml", "- op: remove\n  path: /spec\n");
    let refused = |patch: &str, kind: &str| {
        let run = runner.job(&kustomize_job("apps/overlay", &json!({"patches": [patch]}))).done();
        run.failed(1, kind)["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        refused("patches/nope.yaml", "SourceNotFound"),
        "kustomize_config.patches[0]: 'patches/nope.yaml' is not a file of the source; write it relative to the root of the repository or to git_source.path, or give the text of the patch"
    );
    assert_eq!(
        refused("../../etc/passwd", "SourceNotFound"),
        "kustomize_config.patches[0]: '../../etc/passwd' leads out of the source; copy the patch into the repository"
    );
    assert_eq!(
        refused("patches/list.yaml", "InvalidSource"),
        "kustomize_config.patches[0] (patches/list.yaml): is a JSON 6902 patch, which does not say whom it is for; write it as an entry {patch: …, target: {kind: …, name: …}}"
    );
    assert!(refused("a: [\nb", "InvalidPlan").starts_with("kustomize_config.patches[0]: line 1, column 4: not YAML"));
    let missed = refused("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other}\n", "ToolFailed");
    assert!(
        missed.contains("kustomize failed with exit code 1") && missed.contains("no resource matches strategic merge patch")
            || missed.contains("no matches for Id"),
        "{missed}"
    );
}

#[test]
fn the_load_restrictor_is_really_applied() {
    require_tools!("kustomize");
    let runner = Runner::new();
    repo(&runner, &[("common.txt", "common"), ("app/kustomization.yaml", "configMapGenerator: [{name: s, files: [../common.txt]}]\n")]);
    for restrictor in [json!({}), json!({"load_restrictor": "rootOnly"})] {
        let failure = runner.job(&kustomize_job("app", &restrictor)).done().failed(1, "InvalidSource");
        assert_eq!(
            failure["message"],
            "kustomize failed with exit code 1: Error: loading KV pairs: file sources: [../common.txt]: security; file 'common.txt' is not in or below 'app'; move the file below the kustomization, or set kustomize_config.load_restrictor to none"
        );
        assert_eq!((&failure["tool"], &failure["exit_code"]), (&json!("kustomize"), &json!(1)));
    }
    runner.job(&kustomize_job("app", &json!({"load_restrictor": "none"}))).done().succeeded();
    assert!(pushed(&runner.work().join("out")).1.contains("common.txt: common"));
}

/// A small chart below `folder`.
fn chart(runner: &Runner, folder: &str) {
    repo(
        runner,
        &[
            (&format!("{folder}/Chart.yaml"), "apiVersion: v2\nname: demo\nversion: 0.1.0\n"),
            (&format!("{folder}/values.yaml"), "color: red\n"),
            (
                &format!("{folder}/templates/cm.yaml"),
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-cm\ndata:\n  color: {{ .Values.color }}\n",
            ),
        ],
    );
}

#[test]
fn helm_charts_are_inflated_from_the_tree_and_from_repositories() {
    require_tools!("kustomize", "helm");
    let runner = Runner::new();
    chart(&runner, "app/charts/demo");
    repo(&runner, &[("app/kustomization.yaml", "helmCharts: [{name: demo, releaseName: x, valuesInline: {color: blue}}]\n")]);
    let failure = runner.job(&kustomize_job("app", &json!({}))).done().failed(1, "InvalidSource");
    assert_eq!(
        failure["message"],
        "app/kustomization.yaml: helmCharts need leave: set kustomize_config.enable_helm to true, or commit what the charts make"
    );
    let enabled = json!({"enable_helm": true});
    let digest = || runner.job(&kustomize_job("app", &enabled)).done().succeeded()["outputs"]["artifacts"][0]["digest"].clone();
    assert_eq!(digest(), digest());
    assert!(pushed(&runner.work().join("out")).1.contains("color: blue"));

    let pages = runner.work().join("served");
    fs::create_dir(&pages).unwrap();
    let mut helm = tools::command("helm");
    helm.env("HOME", runner.work()).arg("package").arg(runner.work().join("repo/app/charts/demo")).arg("-d").arg(&pages);
    tools::run(&mut helm);
    let server = HttpFiles::serve(&pages);
    let mut index = tools::command("helm");
    tools::run(index.env("HOME", runner.work()).args(["repo", "index", "--url", &server.url()]).arg(&pages));
    let remote = format!("helmCharts: [{{name: demo, releaseName: yy, version: 0.1.0, repo: \"{}\"}}]\n", server.url());
    repo(&runner, &[("remote/kustomization.yaml", &remote)]);
    let run = runner.job(&kustomize_job("remote", &enabled)).done();
    run.succeeded();
    assert!(run.stderr().contains("1 Helm charts are fetched from their repositories"), "{}", run.stderr());
    assert!(pushed(&runner.work().join("out")).1.contains("color: red"));
    assert!(!runner.work().join("repo/remote/charts").exists(), "the source is never written to");
    assert!(!runner.work().join("../home/.cache").exists() && !runner.work().join("../home/.config").exists());
}

#[test]
fn a_missing_tool_is_named_with_its_remedy() {
    require_tools!("kustomize", "git");
    let runner = Runner::new();
    chart(&runner, "app/charts/demo");
    repo(
        &runner,
        &[
            ("app/kustomization.yaml", "helmCharts: [{name: demo}]\n"),
            ("plain/kustomization.yaml", "resources: [a.yaml]\n"),
            ("plain/a.yaml", &config_map("a")),
        ],
    );
    let path = path_with(&runner, &["kustomize", "git"]);
    let failure = runner.job(&kustomize_job("app", &json!({"enable_helm": true}))).env("PATH", path).done().failed(1, "ToolMissing");
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .starts_with("'helm' is not installed on this machine, and the kustomization has Helm charts in it: go install "),
        "{failure}"
    );
    assert_eq!((&failure["tool"], &failure["fault"]), (&json!("helm"), &json!("agent")));
    let failure =
        runner.job(&kustomize_job("plain", &json!({}))).env("PATH", runner.work().join("nothing")).done().failed(1, "ToolMissing");
    assert!(failure["message"].as_str().unwrap().starts_with("'kustomize' is not installed on this machine: go install "), "{failure}");
}

#[test]
fn kustomize_sees_nothing_of_the_runners_environment() {
    require_tools!("kustomize");
    let runner = Runner::new();
    repo(
        &runner,
        &[("kustomization.yaml", "configMapGenerator: [{name: s, envs: [e]}]\n"), ("e", "SECRET_TOKEN\nhttps_proxy\nRUNNER_API_TOKEN\n")],
    );
    let run = runner.job(&kustomize_job(".", &json!({})));
    let run = run
        .env("SECRET_TOKEN", "hunter2hunter2")
        .env("https_proxy", "http://me:pr0xypass@127.0.0.1:9")
        .env("RUNNER_API_TOKEN", "tok-hunter2")
        .done();
    run.succeeded();
    let (_, text) = pushed(&runner.work().join("out"));
    assert!(!text.contains("hunter2") && !text.contains("pr0xypass"), "{text}");
}

#[test]
fn a_kustomize_that_hangs_is_ended_with_the_job() {
    let runner = Runner::new();
    repo(&runner, &[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", &config_map("a"))]);
    let bin = fake_tool(&runner, "kustomize", "trap '' TERM; echo \"pid $$\" >&2; while :; do sleep 0.2; done");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let spawned = runner.job(&kustomize_job(".", &json!({}))).env("PATH", path).args(["--kill-grace", "300ms"]).spawn();
    let line = spawned.line("pid ");
    let pid = line.rsplit("pid ").next().unwrap().trim().to_owned();
    spawned.signal(nix::sys::signal::Signal::SIGINT);
    let done = spawned.done();
    assert_eq!(done.code(), 130, "{}", done.stderr());
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "ended with its job");
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_the_tool_writes_is_checked_like_anything_else() {
    for (script, kind, message) in [
        (
            "printf 'a: [\\n'",
            "InvalidSource",
            "the output of kustomize: document 1, line 1, column 4: not YAML: unclosed bracket '['; check indentation, quotes and brackets up to here",
        ),
        ("printf '\\377'", "InvalidSource", "kustomize wrote something that is not UTF-8 text"),
        ("exit 0", "InvalidSource", "the output of kustomize: there is no object in it; an artifact needs at least one"),
        ("echo boom >&2; exit 3", "ToolFailed", "kustomize failed with exit code 3: boom"),
        ("head -c 70000000 /dev/zero", "LimitExceeded", "kustomize wrote more than the 67108864 bytes that are read from it"),
    ] {
        let runner = Runner::new();
        repo(&runner, &[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", &config_map("a"))]);
        let bin = fake_tool(&runner, "kustomize", script);
        let failure =
            runner.job(&kustomize_job(".", &json!({}))).env("PATH", format!("{}:/usr/bin:/bin", bin.display())).done().failed(1, kind);
        assert_eq!(failure["message"], message);
        assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    }
}
