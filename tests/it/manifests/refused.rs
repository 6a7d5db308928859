//! Kustomizations that reach for what is not theirs: refused by file and line before anything runs.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::{config_map, kustomize_job, pushed, repo};
use crate::support::{http_files::HttpFiles, runner::Runner};

fn refused(runner: &Runner, files: &[(&str, &str)], config: &Value) -> String {
    repo(runner, files);
    let failure = runner.job(&kustomize_job("app", config)).done().failed(1, "InvalidSource");
    assert_eq!((&failure["step"], &failure["fault"]), (&json!("check"), &json!("user")), "{failure}");
    assert_eq!(runner.leftovers(), Vec::<std::path::PathBuf>::new());
    failure["message"].as_str().unwrap().to_owned()
}

const KUSTOMIZATION: &str = "app/kustomization.yaml";

#[test]
fn nothing_outside_of_the_source_is_read_whatever_the_load_restrictor_says() {
    let runner = Runner::new();
    runner.write("secret.txt", "hunter2");
    runner.write("outside/kustomization.yaml", "resources: []\n");
    repo(&runner, &[("app/t.yaml", "kind: PatchTransformer\napiVersion: builtin\nmetadata: {name: t}\npath: ../../../secret.txt\n")]);
    symlink("../../secret.txt", runner.work().join("repo/app/link.txt")).unwrap();
    symlink("../../outside", runner.work().join("repo/app/base")).unwrap();
    let out = "leads out of the source; copy what is needed into the repository";
    for (text, what) in [
        ("configMapGenerator: [{name: s, files: [../../secret.txt]}]\n", "1: configMapGenerator.files: '../../secret.txt'"),
        ("configMapGenerator:\n- name: s\n  files:\n  - k=/etc/passwd\n", "4: configMapGenerator.files: '/etc/passwd'"),
        ("configMapGenerator: [{name: s, files: [link.txt]}]\n", "1: configMapGenerator.files: 'link.txt'"),
        ("secretGenerator: [{name: s, envs: [../../secret.txt]}]\n", "1: secretGenerator.envs: '../../secret.txt'"),
        ("resources: [../../outside]\n", "1: resources: '../../outside'"),
        ("resources: [base]\n", "1: resources: 'base'"),
        ("components: [../../outside]\n", "1: components: '../../outside'"),
        ("patches: [{path: ../../secret.txt}]\n", "1: patches.path: '../../secret.txt'"),
        ("openapi: {path: ../../secret.txt}\n", "1: openapi.path: '../../secret.txt'"),
        ("replacements: [{path: ../../secret.txt}]\n", "1: replacements.path: '../../secret.txt'"),
        (
            "transformers:\n- |\n  kind: PatchTransformer\n  apiVersion: builtin\n  metadata: {name: t}\n  path: ../../secret.txt\n",
            "4: PatchTransformer.path: '../../secret.txt'",
        ),
    ] {
        let message = refused(&runner, &[(KUSTOMIZATION, text)], &json!({"load_restrictor": "none"}));
        assert_eq!(message, format!("{KUSTOMIZATION}:{what} {out}"));
    }
    let message = refused(&runner, &[(KUSTOMIZATION, "transformers: [t.yaml]\n")], &json!({}));
    assert_eq!(message, format!("app/t.yaml:4: PatchTransformer.path: '../../../secret.txt' {out}"));
}

/// kustomize reads YAML with two libraries and decodes JSON without regard to case; none of that is a way around the checks.
#[test]
fn what_kustomize_would_read_in_another_way_is_refused() {
    let runner = Runner::new();
    let secret = runner.write("secret.txt", "hunter2").display().to_string();
    let climb = format!("/../../../../../../../../../../../../../..{secret}");
    let plugin = "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: g}\n";
    repo(
        &runner,
        &[
            ("app/ok.txt", "x"),
            ("app/own.yaml", &format!("{plugin}files: [{secret}]\n<<: {{files: [ok.txt]}}\n")),
            ("app/tag.yaml", &format!("{plugin}!!merge options: {{files: [{secret}]}}\n")),
            ("app/bool.yaml", &format!("{plugin}files: [yes]\n")),
            ("app/case.yaml", &format!("{plugin}Files: [{secret}]\n")),
            ("app/gen/g.yaml", &format!("{plugin}files: [ok.txt]\n")),
            (
                "app/gen/kustomization.yaml",
                &format!(
                    "resources: [g.yaml]\npatches:\n- target: {{kind: ConfigMapGenerator}}\n  patch: '[{{op: replace, path: /files/0, value: {secret}}}]'\n"
                ),
            ),
        ],
    );
    symlink(&secret, runner.work().join("repo/app/yes")).unwrap();
    let binary = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&secret)
    };
    for (text, what) in [
        (format!("ConfigMapGenerator: [{{name: s, files: [{secret}]}}]"), ":1: 'ConfigMapGenerator' is a key that kustomize takes"),
        (format!("configMapGenerator: [{{name: s, FILES: [{secret}]}}]"), ":1: 'FILES' is a key that kustomize takes"),
        (format!("configMapGenerator: [{{name: s, file\u{17f}: [{secret}]}}]"), ":1: 'file\u{17f}' is a key that kustomize takes"),
        ("Resources: [\"https://example.com/x.yaml\"]".to_owned(), ":1: 'Resources' is a key that kustomize takes"),
        (format!("configMapGenerator: [{{name: s, files: [!!binary {binary}]}}]"), "tag '!!binary' is not supported"),
        (format!("configMapGenerator: [{{name: s, files: [ok.txt], <<: {{files: [{secret}]}}}}]"), "key 'files' is given twice"),
        (format!("configMapGenerator: [{{<<: {{files: [ok.txt]}}, <<: {{files: [{secret}]}}}}]"), "key '<<' is given twice"),
        (format!("configMapGenerator: [{{name: s, files: [\"[x{climb}\"]}}]"), "leads out of the source"),
        (format!("configMapGenerator: [{{name: s, files: [\"x=a\\n{climb}\"]}}]"), "leads out of the source"),
        (format!("patchesStrategicMerge: [\"{{{climb}\"]"), "leads out of the source"),
        ("generators: [own.yaml]".to_owned(), "app/own.yaml: line 5, column 1: key 'files' is given twice"),
        ("generators: [tag.yaml]".to_owned(), "tag '!!merge' is not supported"),
        ("generators: [bool.yaml]".to_owned(), "app/bool.yaml:4: 'files' has a value that is no text"),
        ("generators: [case.yaml]".to_owned(), "app/case.yaml:4: 'Files' is a key that kustomize takes"),
        ("generators: [gen]".to_owned(), "app/gen/kustomization.yaml:2: 'patches' changes what configures plugins"),
    ] {
        let message = refused(&runner, &[(KUSTOMIZATION, &text)], &json!({"load_restrictor": "none"}));
        assert!(message.contains(what), "{text}: {message}");
    }
    let chart = "kind: List\napiVersion: v1\nitems:\n- kind: HelmChartInflationGenerator\n  releaseName: \"--post-renderer=x\\n\"\n";
    let message = refused(&runner, &[(KUSTOMIZATION, "generators: [c.yaml]"), ("app/c.yaml", chart)], &json!({"enable_helm": true}));
    assert!(message.starts_with("app/c.yaml:5: HelmChartInflationGenerator: '--post-renderer=x"), "{message}");
}

#[test]
fn what_is_not_there_is_named() {
    let runner = Runner::new();
    repo(&runner, &[("empty/readme.md", "x"), ("two/kustomization.yaml", ""), ("two/Kustomization", "")]);
    for (text, message) in [
        ("resources:\n- a.yaml\n", "app/kustomization.yaml:2: resources: 'a.yaml' is not in the source; add it, or remove the entry"),
        (
            "resources: [../empty]\n",
            "app/kustomization.yaml:1: resources: '../empty' is a folder without a kustomization; add one, or name the files in it",
        ),
        ("resources: [../two]\n", "'two' has more than one of kustomization.yaml, kustomization.yml, Kustomization; keep one"),
        ("- a\n", "app/kustomization.yaml: is not a kustomization but a list"),
        (
            "a: [\n",
            "app/kustomization.yaml: line 1, column 4: not YAML: unclosed bracket '['; check indentation, quotes and brackets up to here",
        ),
    ] {
        assert_eq!(refused(&runner, &[(KUSTOMIZATION, text)], &json!({})), message);
    }
    let mut job = kustomize_job("empty", &json!({}));
    let failure = runner.job(&job).done().failed(1, "InvalidSource");
    assert_eq!(
        failure["message"],
        "kustomize_path 'empty' names the folder 'empty' of the source, which has no kustomization.yaml, kustomization.yml, Kustomization; add one, or name another folder"
    );
    job["plan"]["kubernetes_manifest_build_plan"]["kustomize_path"] = json!("nope");
    let failure = runner.job(&job).done().failed(1, "SourceNotFound");
    assert_eq!(
        failure["message"],
        "kustomize_path 'nope' is not a folder of the source; write it relative to the root of the repository or to git_source.path"
    );
}

/// kustomize would take all memory of the machine for this; nothing is run.
#[test]
fn aliases_that_multiply_are_refused_wherever_they_stand() {
    let runner = Runner::new();
    let laughs =
        (0..9).fold("a0: &a0 [x]\n".to_owned(), |text, i| text + &format!("a{}: &a{0} [{}]\n", i + 1, format!("*a{i},").repeat(9)));
    let inline = format!("patches:\n- patch: |\n    {}\n  target: {{kind: X}}\n", laughs.trim_end().replace('\n', "\n    "));
    for (text, file) in [
        ("resources: [laughs.yaml]\n", "app/laughs.yaml"),
        ("patches: [{path: laughs.yaml}]\n", "app/laughs.yaml"),
        ("helmCharts: [{name: c, valuesFile: laughs.yaml}]\n", "app/laughs.yaml"),
        (&inline, KUSTOMIZATION),
    ] {
        repo(&runner, &[(KUSTOMIZATION, text), ("app/laughs.yaml", &laughs)]);
        let failure = runner.job(&kustomize_job("app", &json!({"enable_helm": true}))).done().failed(1, "LimitExceeded");
        assert_eq!(failure["message"], format!("{file} has more than 1000000 values, aliases expanded"));
    }
}

#[test]
fn remote_bases_need_leave_of_plan_and_owner() {
    require_tools!("kustomize");
    let runner = Runner::new();
    let pages = tempfile::tempdir().unwrap();
    std::fs::write(pages.path().join("cm.yaml"), config_map("remote")).unwrap();
    let server = HttpFiles::serve(pages.path());
    let off = "is fetched from elsewhere, which is off; commit it to the source, or set kustomize_config.remote_bases to allow";
    for entry in [
        "https://user:tok-hunter2@example.com/x.yaml",
        "git::https://example.com/r",
        "github.com/o/r//base?ref=v1",
        "git@github.com:o/r",
        "ssh://git@example.com/r",
        "file:///etc",
    ] {
        let message = refused(
            &runner,
            &[(KUSTOMIZATION, "resources: [../base]\n"), ("base/kustomization.yaml", &format!("resources:\n- {entry}\n"))],
            &json!({}),
        );
        assert_eq!(message, format!("base/kustomization.yaml:2: resources: '{}' {off}", entry.replace("user:tok-hunter2@", "")));
    }
    let url = format!("{}/cm.yaml", server.url());
    repo(&runner, &[(KUSTOMIZATION, &format!("resources: [\"{url}\"]\n"))]);
    let run = |wish: &str, owner: &str| {
        let config = if wish.is_empty() { json!({}) } else { json!({"remote_bases": wish}) };
        runner.job(&kustomize_job("app", &config)).args(["--kustomize-remote-bases", owner]).done()
    };
    assert!(server.requests().is_empty(), "nothing was asked for without leave");
    run("allow", "plan").succeeded();
    assert!(pushed(&runner.work().join("out")).1.contains("name: remote"));
    run("", "allow").succeeded();
    run("deny", "allow").failed(1, "InvalidSource");
    let failure = run("allow", "deny").failed(1, "InvalidSource");
    assert_eq!(
        failure["message"],
        format!(
            "app/kustomization.yaml:1: resources: '{url}' is fetched from elsewhere, which the owner of this runner forbids (kustomize_remote_bases); commit it to the source"
        )
    );
    let restrictor = json!({"load_restrictor": "none"});
    let unchecked =
        runner.job(&kustomize_job("app", &restrictor)).args(["--kustomize-remote-bases", "allow"]).done().failed(1, "InvalidSource");
    assert!(unchecked["message"].as_str().unwrap().contains("goes with neither enable_helm nor load_restrictor none"), "{unchecked}");
    drop(server);
    let failure = run("allow", "plan").failed(1, "SourceUnavailable");
    assert_eq!(
        (&failure["fault"], &failure["retryable"]),
        (&json!("external"), &json!(true)),
        "a server that is away comes back: {failure}"
    );
}

#[test]
fn charts_are_no_way_out_and_no_way_to_run_a_program() {
    let runner = Runner::new();
    runner.write("outside/Chart.yaml", "apiVersion: v2\nname: o\nversion: 0.1.0\n");
    repo(&runner, &[("app/charts/demo/Chart.yaml", "apiVersion: v2\nname: demo\nversion: 0.1.0\n")]);
    let helm = json!({"enable_helm": true});
    let option = refused(&runner, &[(KUSTOMIZATION, "helmCharts:\n- name: demo\n  releaseName: --post-renderer=/bin/sh\n")], &helm);
    assert_eq!(
        option,
        "app/kustomization.yaml:3: helmCharts: '--post-renderer=/bin/sh' begins with '-', which helm takes for an option; remove the dash"
    );
    let out = refused(&runner, &[(KUSTOMIZATION, "helmGlobals: {chartHome: ../..}\nhelmCharts: [{name: outside}]\n")], &helm);
    assert!(out.contains("leads out of the source"), "{out}");
    symlink("/etc", runner.work().join("repo/app/charts/demo/etc")).unwrap();
    let link = refused(&runner, &[(KUSTOMIZATION, "helmCharts: [{name: demo}]\n")], &helm);
    assert_eq!(
        link,
        "app/kustomization.yaml:1: helmCharts: 'app/charts/demo/etc' is a link that leads out of the source; replace it by a copy"
    );
}
