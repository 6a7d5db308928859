//! Decoding as a whole: hosted plans as they come over the wire, both spellings, and arbitrary input.

use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::job::JobType;

use super::*;

fn polled(job_type: JobType, value: &Value) -> Decoded {
    Plan::decode(job_type, value, Strictness::Polled).unwrap_or_else(|problems| panic!("{problems}"))
}

fn mistakes(job_type: JobType, value: &Value, strictness: Strictness) -> Vec<String> {
    match Plan::decode(job_type, value, strictness) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// A build plan with every key that the hosted control plane sends, nulls and empty objects included.
fn hosted_helm() -> Value {
    json!({
        "component_id": "cmp1", "component_build_id": "bld1",
        "git_source": {"url": "https://x-access-token:hunter2%21@github.com/o/r", "ref": "main", "path": "/charts/x", "recurse_submodules": false},
        "dst_registry": {
            "Plugin": "", "RegistryType": "ecr", "Region": "us-west-2",
            "ECRAuth": {"static": null, "assume_role": null, "use_default": true, "region": "us-west-2"},
            "ACRAuth": null, "OCIAuth": null, "Repository": "1.dkr.ecr.us-west-2.amazonaws.com/org/app", "LoginServer": ""
        },
        "dst_tag": "bld1",
        "helm_build_plan": {"Labels": {"component_id": "cmp1"}, "HelmRepoConfig": null},
        "terraform_build_plan": null,
        "sandbox_mode": null,
    })
}

#[test]
fn a_hosted_build_plan_decodes_with_its_quirks() {
    let decoded = polled(JobType::HelmChartBuild, &hosted_helm());
    let Plan::HelmChartBuild(build) = &decoded.plan else { panic!("another type") };
    let registry = build.dst_registry.as_ref().expect("a destination");
    assert_eq!((registry.registry_type, registry.plugin.as_deref(), registry.login_server.as_deref()), (RegistryType::Ecr, None, None));
    assert!(registry.ecr_auth.as_ref().is_some_and(|auth| auth.use_default && auth.static_credentials.is_none()));
    assert_eq!(build.plan.labels["component_id"], "cmp1");
    assert_eq!((decoded.warnings.len(), build.plan.helm_repo_config.as_ref()), (0, None));
    let secrets: Vec<_> = decoded.secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets, ["hunter2%21", "hunter2!"], "as written, and as git sends it");
    assert!(!format!("{decoded:?}").contains("hunter2"), "secrets are not in Debug");
}

#[test]
fn objects_of_empty_fields_are_absent() {
    let mut value = hosted_helm();
    value["git_source"] = json!({"url": "", "ref": "", "path": "", "recurse_submodules": false});
    value["helm_build_plan"]["HelmRepoConfig"] = json!({"RepoURL": "https://charts.example.com", "Chart": "app", "Version": ""});
    let Plan::HelmChartBuild(build) = polled(JobType::HelmChartBuild, &value).plan else { panic!("another type") };
    assert_eq!(build.git_source, None);
    assert_eq!(build.plan.helm_repo_config.map(|config| (config.chart, config.version)), Some(("app".into(), None)));
}

#[test]
fn unknown_keys_warn_when_polled_and_are_mistakes_in_a_file() {
    let mut value = hosted_helm();
    value["helm_build_plan"]["ValuesFiles"] = json!([]);
    let warnings = polled(JobType::HelmChartBuild, &value).warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].path, "plan.helm_build_plan.ValuesFiles");
    assert_eq!(
        mistakes(JobType::HelmChartBuild, &value, Strictness::JobFile),
        [
            "plan.git_source.path: '/charts/x' is absolute; write a path below the root of the source, such as charts/app",
            "plan.helm_build_plan.ValuesFiles: unknown key; allowed: Labels, HelmRepoConfig",
        ]
    );
}

#[test]
fn polled_plans_read_no_secrets_from_files_and_tell_their_folders() {
    let layout = json!({"RegistryType": "oci_layout", "Repository": "/srv/out"});
    let sync = json!({"src_registry": {"RegistryType": "public_oci", "Repository": "app"}, "src_tag": "1", "dst_registry": layout});
    assert_eq!(polled(JobType::OciSync, &sync).folders.len(), 1);
    for url in ["/etc", "file:///etc", "../x"] {
        let build = json!({"git_source": {"url": url}, "terraform_build_plan": {"Labels": {}}});
        assert_eq!(polled(JobType::TerraformModuleBuild, &build).folders.len(), 1, "{url}");
    }
    let upload = json!({"flatpak_upload_plan": {"server": "https://h", "repo": "r", "build_id": 1, "token": {"file": "/etc/shadow"}}});
    assert_eq!(mistakes(JobType::FlatpakUpload, &upload, Strictness::Polled).len(), 1);
}

#[test]
fn sync_and_deploy_plans_of_the_hosted_control_plane() {
    let registry = |kind: &str| json!({"RegistryType": kind, "Repository": "org/app", "LoginServer": "h.io", "OCIAuth": {"Username": "AWS", "Password": "hunter2"}, "ECRAuth": null});
    let sync = polled(
        JobType::OciSync,
        &json!({"src_registry": registry("private_oci"), "src_tag": "bld1", "dst_registry": registry("gar"), "dst_tag": "dep1"}),
    );
    assert_eq!(sync.secrets.len(), 2);
    let Plan::OciSync(plan) = sync.plan else { panic!("another type") };
    assert!(plan.referrers && plan.platforms.is_empty());
    let deploy = polled(
        JobType::KubernetesManifestDeploy,
        &json!({
            "install_id": "inl1", "src_registry": registry("private_oci"), "src_tag": "dep1", "helm": null, "terraform": null, "noop": null,
            "kubernetes_manifest": {"cluster_info": {"id": "c", "endpoint": "https://k", "ca_data": "eA==", "env_vars": null, "kube_config": "", "aws_auth": {"use_default": true}}, "namespace": "shop"},
            "apply_plan_contents": "", "apply_plan_display": "",
        }),
    );
    let Plan::KubernetesManifestDeploy(plan) = deploy.plan else { panic!("another type") };
    assert!(plan.kubernetes_manifest.prune && plan.kubernetes_manifest.max_prune_percent == 50);
}

#[test]
fn a_pipeline_file_is_read_and_its_mistakes_are_named() {
    let text =
        "pipeline:\n  steps:\n    - {name: a, image: 'busybox', environment: {N: 1.10, B: true}}\n  on: {push: {branches: [main]}}\n";
    let file = PipelineFile::parse(text).expect("reads");
    assert_eq!(file.pipeline.steps[0].environment["N"].as_str(), "1.10");
    assert!(file.pipeline.on.is_some_and(|on| on.push.is_some() && on.mr.is_none()));
    let problems = PipelineFile::parse("pipeline:\n  steps:\n    - {name: a, image: b, depends_on: [c]}\n").expect_err("no step c");
    let problem = problems.iter().next().expect("one");
    assert_eq!((problem.path.as_str(), problem.at.map(|at| at.line)), ("pipeline.steps[0].depends_on", Some(3)));
    assert!(PipelineFile::parse("pipeline: [").is_err() && PipelineFile::parse("pipeline: {steps: []}").is_err());
}

#[test]
fn every_mistake_is_reported_with_the_failure() {
    let failure: crate::job::Failure =
        Plan::decode(JobType::OciSync, &json!({"src_tag": 1}), Strictness::Polled).expect_err("wrong").into();
    assert_eq!(failure.kind, crate::job::FailureKind::InvalidPlan);
    assert_eq!(failure.message, "plan.src_registry: required key is missing; add an object (and 1 more)");
    assert_eq!(failure.evidence[0].text, "plan.src_tag: must be a string, not a number; put it in quotes");
}

/// `RegistryType` as `registry_type`, everywhere in the value.
fn in_snake_case(value: &Value) -> Value {
    let known = [
        ("RegistryType", "registry_type"),
        ("Plugin", "plugin"),
        ("Region", "region"),
        ("ECRAuth", "ecr_auth"),
        ("ACRAuth", "acr_auth"),
        ("OCIAuth", "oci_auth"),
        ("Repository", "repository"),
        ("LoginServer", "login_server"),
        ("PlainHTTP", "plain_http"),
        ("Username", "username"),
        ("Password", "password"),
        ("Labels", "labels"),
        ("HelmRepoConfig", "helm_repo_config"),
        ("RepoURL", "repo_url"),
        ("Chart", "chart"),
        ("Version", "version"),
        ("OrgID", "org_id"),
        ("TenantID", "tenant_id"),
        ("ACRAppRegistration", "acr_app_registration"),
        ("ServiceAccountEmail", "service_account_email"),
    ];
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| {
                    let name = known.iter().find(|(pascal, _)| pascal == key).map_or(key.as_str(), |(_, snake)| *snake);
                    (name.to_owned(), in_snake_case(value))
                })
                .collect(),
        ),
        Value::Array(items) => items.iter().map(in_snake_case).collect(),
        other => other.clone(),
    }
}

/// A registry object as somebody may send it.
fn registry() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec!["ecr", "acr", "gar", "private_oci", "public_oci", "oci_layout", "nonsense"]);
    let auth = prop_oneof![Just(Value::Null), Just(json!({"Username": "u", "Password": "p"})), Just(json!({"Username": "u"}))];
    (kind, "[a-z./:@]{0,12}", auth, any::<bool>(), "[a-zA-Z.]{0,6}").prop_map(|(kind, repository, auth, plain, server)| {
        json!({"RegistryType": kind, "Repository": repository, "OCIAuth": auth, "PlainHTTP": plain, "LoginServer": server, "OrgID": "",
               "ACRAppRegistration": {"TenantID": server}, "ServiceAccountEmail": null})
    })
}

/// Any JSON, with the keys of plans in it.
fn anything() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "git_source",
        "url",
        "ref",
        "path",
        "dst_registry",
        "RegistryType",
        "Repository",
        "dst_tag",
        "helm_build_plan",
        "HelmRepoConfig",
        "pipeline_plan",
        "definition",
        "pipeline",
        "steps",
        "name",
        "image",
        "depends_on",
        "timeout",
        "flatpak_build_plan",
        "publish",
        "token",
        "file",
        "value",
        "secret_ref",
        "shipwright_build_plan",
        "build",
        "kubernetes_manifest",
        "namespace",
        "src_registry",
        "src_tag",
        "zzz",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn both_spellings_mean_the_same(src in registry(), dst in registry(), tag in "[a-z.:]{0,4}") {
        let value = json!({"src_registry": src, "src_tag": tag, "dst_registry": dst});
        for strictness in [Strictness::JobFile, Strictness::Polled] {
            let documented = Plan::decode(JobType::OciSync, &value, strictness);
            let snake = Plan::decode(JobType::OciSync, &in_snake_case(&value), strictness);
            match (documented, snake) {
                (Ok(one), Ok(other)) => prop_assert_eq!(one.plan, other.plan),
                (Err(one), Err(other)) => {
                    let defects = |problems: Problems| problems.into_iter().map(|problem| problem.defect.to_string()).collect::<Vec<_>>();
                    prop_assert_eq!(defects(one), defects(other));
                }
                (one, other) => prop_assert!(false, "{one:?}\n{other:?}"),
            }
        }
    }

    #[test]
    fn no_value_panics(value in anything()) {
        for &job_type in JobType::ALL {
            for strictness in [Strictness::JobFile, Strictness::Polled] {
                let _ = Plan::decode(job_type, &value, strictness);
            }
        }
    }
}
