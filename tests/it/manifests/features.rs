//! Kustomizations of every kind, each written anew before kustomize reads it: what comes out is what kustomize makes of the originals.

use serde_json::{Value, json};

use super::{config_map, fake_tool, kustomize_job, pushed, repo};
use crate::support::{runner::Runner, tools};

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: nginx:1, env: [{name: A, value: $(V)}]}]}\n";
const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: svc}\nspec: {type: ClusterIP, selector: {app: web}, ports: [{port: 80}]}\n";

/// Files that the kustomizations below refer to.
const FILES: &[(&str, &str)] = &[
    ("base/deployment.yaml", DEPLOYMENT),
    ("base/service.yaml", SERVICE),
    ("base/kustomization.yaml", "resources: [deployment.yaml, service.yaml]\n"),
    ("component/replicas.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 4}\n"),
    (
        "component/kustomization.yml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatchesStrategicMerge:\n- replicas.yaml\n- |-\n  apiVersion: v1\n  kind: Service\n  metadata: {name: svc}\n  spec: {type: NodePort}\n",
    ),
    ("legacy/Kustomization", "bases: [../base]\nimageTags: [{name: nginx, newTag: \"1.10\"}]\n"),
    ("plugins/kustomization.yaml", "resources: [annotate.yaml]\n"),
    (
        "plugins/annotate.yaml",
        "apiVersion: builtin\nkind: AnnotationsTransformer\nmetadata: {name: t}\nannotations: {by: \"on\"}\nfieldSpecs: [{path: metadata/annotations, create: true}]\n",
    ),
    ("app/generator.yaml", "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: made}\nfiles: [f.txt]\nliterals: [a=b]\n"),
    (
        "app/replace.yaml",
        "source: {kind: Service, name: svc, fieldPath: metadata.name}\ntargets: [{select: {kind: Deployment}, fieldPaths: [metadata.annotations.svc], options: {create: true}}]\n",
    ),
    ("app/patch.json", "[{\"op\": \"add\", \"path\": \"/metadata/labels\", \"value\": {\"patched\": \"yes\"}}]"),
    ("app/f.txt", "file\n"),
    ("app/e.env", "A=1\nB=two\n"),
    ("app/names.yaml", "namePrefix:\n- path: spec/none\n  kind: Service\n"),
    ("app/crd.json", "{\"e.io/v1.X\": {\"Schema\": {\"properties\": {}}}}"),
    ("app/schema.json", "{\"definitions\": {}}"),
    ("app/charts/demo/Chart.yaml", "apiVersion: v2\nname: demo\nversion: 1.0.0\n"),
    (
        "app/charts/demo/templates/cm.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {all: {{ .Values | toJson | quote }}}\n",
    ),
    ("app/values.yaml", "color: red\n"),
];

/// Everything at once, in the styles that people write.
const FEATURES: &str = "# why this is here\n---\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nmetadata: {name: all}\nresources: &r [../base]\ncomponents:\n- ../component\nnamespace: \"123\"\nnamePrefix: pre-\nnameSuffix: '-it''s'\n\
commonAnnotations: &words\n  plain: several\n    words\n\n    here\n  quoted: \"tab\\t \\u00e9 \\u2028 end\"\n  \"on\": \"yes\"\n  number: \"1.10\"\n  emoji: 🎉\n\
labels:\n- pairs: {<<: {tier: front}, team: \"null\"}\n  includeSelectors: false\n  fields: [{path: spec/template/metadata/labels, create: true}]\n\
images: [{name: nginx, newName: registry/nginx, newTag: \"1.10\"}]\nreplicas: [{name: web, count: 0x3}]\n\
vars: [{name: V, objref: {kind: Service, name: svc, apiVersion: v1}, fieldref: {fieldpath: metadata.name}}]\n\
configMapGenerator:\n- name: cm\n  files: [f.txt, k=f.txt]\n  envs: [e.env]\n  literals:\n  - a=b\n  - \"q=\\\"x y\\\"\"\n  - |\n    text=one\n      two  \n    \tthree\n  - \"old=imageTags: [x]\\npatches:\\n- y\"\n  options: {labels: {l: \"1\"}, disableNameSuffixHash: true, immutable: true}\n\
secretGenerator: [{name: s, type: Opaque, literals: [p=w]}]\ngeneratorOptions: {annotations: {generated: \"true\"}}\n\
patches:\n- patch: |-\n    apiVersion: apps/v1 # which\n    kind: Deployment\n    metadata:\n      name: web\n    spec:\n      template: {spec: {containers: [{name: web, args: [\"a\\tb\", 'c: d']}]}}\n- target: {kind: Service, name: s.*}\n  path: patch.json\n- target: {kind: Nothing}\n  patch: >-\n    [{\"op\": \"remove\",\n    \"path\": \"/x\"}]\n\
replacements:\n- path: replace.yaml\n- source: {kind: Service, name: svc, fieldPath: spec.type}\n  targets:\n  - select: {kind: Deployment}\n    fieldPaths: [\"spec.template.spec.containers.[name=web].env.[name=A].value\"]\n\
generators: [generator.yaml]\ntransformers:\n- ../plugins\n- |-\n  apiVersion: builtin\n  kind: PrefixSuffixTransformer\n  metadata: {name: t}\n  prefix: x-\n  fieldSpecs: [{path: metadata/name}]\n\
configurations: [names.yaml]\ncrds: [crd.json]\nbuildMetadata: [managedByLabel, originAnnotations]\nsortOptions: {order: legacy, legacySortOptions: {orderFirst: [Service], orderLast: [Deployment]}}\n\
helmCharts:\n- name: demo\n  releaseName: rel\n  valuesFile: values.yaml\n  valuesMerge: merge\n  valuesInline: {i: 1, f: 1.50, whole: 2.0, e: 1e3, oct: 0777, big: 12345678901234567890, b: yes, nothing: null, d: 2001-01-01, l: [1, {a: *words}]}\n---\nnamePrefix: never-\n";

#[test]
fn every_feature_comes_out_as_kustomize_alone_makes_it() {
    require_tools!("kustomize", "helm");
    let runner = Runner::new();
    repo(&runner, FILES);
    let twin = runner.write("twin/app/kustomization.yaml", FEATURES).parent().unwrap().to_owned();
    for (name, text) in FILES {
        runner.write(&format!("twin/{name}"), text);
    }
    let json = "{\n\t\"resources\": [\"../base\"],\n\t\"commonAnnotations\": {\"a\": \"\\u0041\\n\"}\n}\n";
    for (file, text) in [
        ("kustomization.yaml", FEATURES),
        (
            "kustomization.yml",
            "\u{feff}resources:\r\n- ../base\r\nconfigMapGenerator:\r\n- name: a\r\n  literals:\r\n  - |\r\n    a=x\r\n    y\r\n",
        ),
        ("Kustomization", json),
        // Content of something else, which stays what it is.
        (
            "kustomization.yaml",
            "# for all to see\nresources: [../legacy]\nopenapi: {path: schema.json}\nconfigMapGenerator: [{name: it, files: [kustomization.yaml]}]\n",
        ),
    ] {
        for folder in ["repo", "twin"] {
            for old in ["kustomization.yaml", "kustomization.yml", "Kustomization"] {
                let _ = std::fs::remove_file(runner.work().join(folder).join("app").join(old));
            }
            runner.write(&format!("{folder}/app/{file}"), text);
        }
        runner.job(&kustomize_job("app", &json!({"enable_helm": true}))).done().succeeded();
        let mut kustomize = tools::command("kustomize");
        kustomize.env("HOME", runner.work()).args(["build", "--enable-helm"]);
        assert_eq!(pushed(&runner.work().join("out")).1, tools::run(kustomize.arg(&twin)), "{text}");
    }
}

#[test]
fn kustomize_reads_what_was_understood_and_nothing_else() {
    let runner = Runner::new();
    let original = "x: &x [a.yaml]\nresources: *x\n---\nresources: [b.yaml]\n...\n";
    repo(&runner, &[("kustomization.yaml", original), ("a.yaml", &config_map("a")), ("b.yaml", &config_map("b"))]);
    let bin = fake_tool(&runner, "kustomize", "sed 's/^/# /' \"$2/kustomization.yaml\"; cat \"$2/a.yaml\"");
    runner.job(&kustomize_job(".", &Value::Null)).env("PATH", format!("{}:/usr/bin:/bin", bin.display())).done().succeeded();
    let (_, text) = pushed(&runner.work().join("out"));
    assert_eq!(text, format!("# \"x\": [\"a.yaml\"]\n# \"resources\": [\"a.yaml\"]\n{}", config_map("a")));
    assert_eq!(std::fs::read_to_string(runner.work().join("repo/kustomization.yaml")).unwrap(), original);
}

#[test]
fn a_folder_may_be_called_like_a_host() {
    require_tools!("kustomize");
    let runner = Runner::new();
    for (entry, local) in [("github.com/x", true), ("gitlab.com/x/y", true), ("github.com/x/y", false), ("./github.com/x/y", true)] {
        let folder = entry.trim_start_matches("./");
        repo(&runner, &[("kustomization.yaml", &format!("resources: [{entry}]\n"))]);
        repo(
            &runner,
            &[(&format!("{folder}/kustomization.yaml"), "resources: [c.yaml]\n"), (&format!("{folder}/c.yaml"), &config_map("here"))],
        );
        let run = runner.job(&kustomize_job(".", &Value::Null)).done();
        if local {
            run.succeeded();
            assert_eq!(pushed(&runner.work().join("out")).1, config_map("here"));
        } else {
            assert_eq!(
                run.failed(1, "InvalidSource")["message"],
                format!(
                    "kustomization.yaml:1: resources: '{entry}' is an address elsewhere for kustomize, although the source has such a path; begin it with './'"
                )
            );
        }
        std::fs::remove_dir_all(runner.work().join("repo")).unwrap();
    }
}
