use super::*;

fn read_one(text: &str) -> Result<Manifests, String> {
    read([("m.yaml", text)], &Cancel::new()).map_err(|error| error.to_string())
}

fn names(manifests: &Manifests) -> Vec<String> {
    manifests.resources.iter().map(ToString::to_string).collect()
}

const A: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

#[test]
fn what_needs_no_change_keeps_its_bytes() {
    let text = format!(
        "{A}data:\n  x: |+\n    ---\n    1\n\n\n---\n# c\nkind: Service\napiVersion: v1\nmetadata:\n  name: b # b\n  namespace: shop"
    );
    let manifests = read_one(&text).expect("fine");
    assert_eq!(manifests.text, text);
    assert_eq!(names(&manifests), ["v1 ConfigMap 'a'", "v1 Service 'shop/b'"]);
    assert_eq!(manifests.kinds(), BTreeMap::from([("ConfigMap", 1), ("Service", 1)]));
}

#[test]
fn separators_are_cleaned_and_empty_documents_dropped() {
    let text = format!(
        "%YAML 1.1\n--- # first\n{A}...\n---\n---\nnull\n---\n{{}}\n--- {{apiVersion: v1, kind: Secret, metadata: {{name: s}}}}\n---\n# end\n"
    );
    let manifests = read_one(&text).expect("fine");
    assert_eq!(manifests.text, format!("{A}---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n"));
}

#[test]
fn lists_are_unpacked() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- apiVersion: v1\n  kind: ConfigMapList\n  items: [{metadata: {name: b}, data: {k: \"1\"}}]\n- {kind: List, apiVersion: v1, items: []}\n";
    let manifests = read_one(text).expect("fine");
    assert_eq!(
        manifests.text,
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\napiVersion: v1\ndata:\n  k: \"1\"\nkind: ConfigMap\nmetadata:\n  name: b\n"
    );
    let dashed = "apiVersion: x.io/v1\nkind: Api-Rule\nmetadata: {name: r}\n";
    assert_eq!(read_one(dashed).expect("a kind is a DNS label but for its case").text, dashed);
    let named = "apiVersion: x.io/v1\nkind: AccessList\nmetadata: {name: l}\nitems: [1]\n";
    assert_eq!(read_one(named).expect("an object of its own").text, named);
}

#[test]
fn what_kubectl_would_stumble_over_is_written_anew() {
    let plain = "apiVersion: v1\ndata:\n  x: a/b\nkind: ConfigMap\nmetadata:\n  name: a\n";
    for text in [
        format!("{A}data: {{x: \"a\\/b\"}}\n"),
        format!("{A}\t\ndata: {{x: a/b}}\n"),
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: a/b}} # note\n".to_owned(),
    ] {
        assert_eq!(read_one(&text).expect("fine").text, plain, "{text}");
    }
}

#[test]
fn json_is_written_as_yaml() {
    let text = "{\"apiVersion\":\"v1\",\t\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}\n{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"b\"}}";
    assert_eq!(
        read_one(text).expect("fine").text,
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let problem = |text: &str| read_one(text).expect_err(text);
    assert_eq!(
        problem("---\na: [\n"),
        "m.yaml: document 1, line 2, column 4: not YAML: unclosed bracket '['; check indentation, quotes and brackets up to here"
    );
    assert_eq!(
        problem(&format!("{A}---\n- 1\n")),
        "m.yaml: document 2, line 5: is a list, not an object with apiVersion, kind and metadata.name"
    );
    assert_eq!(problem("kind: X\n"), "m.yaml: document 1, line 1: apiVersion is missing; every object needs it");
    assert_eq!(problem("apiVersion: 1\n"), "m.yaml: document 1, line 1: apiVersion is a number, not a string; put it in quotes");
    assert_eq!(problem("apiVersion: v1\nkind: a b\n"), "m.yaml: document 1, line 1: kind 'a b' is not a kind; write it like Deployment");
    assert_eq!(problem("apiVersion: v1\nkind: Job\n"), "m.yaml: document 1, line 1: metadata.name is missing; give the Job a name");
    assert_eq!(
        problem("apiVersion: v1\nkind: Job\nmetadata: {generateName: x-}\n"),
        "m.yaml: document 1, line 1: metadata.name is missing, and generateName makes another Job with every deployment; set metadata.name"
    );
    assert_eq!(
        problem("apiVersion: v1\nkind: Job\nmetadata: {name: 12}\n"),
        "m.yaml: document 1, line 1: metadata.name is a number, not a string; put it in quotes"
    );
    for (metadata, field) in [
        ("labels: {version: 1.0}", "metadata.labels has 'version', which is a number, not a string; put it in quotes"),
        ("annotations: {a: yes}", "metadata.annotations has 'a', which is a boolean, not a string; put it in quotes"),
        ("labels: [a]", "metadata.labels is a list, not an object"),
    ] {
        let text = format!("apiVersion: v1\nkind: Job\nmetadata: {{name: a, {metadata}}}\n");
        assert_eq!(problem(&text), format!("m.yaml: document 1, line 1: {field}"));
    }
    assert!(read_one("apiVersion: v1\nkind: Job\nmetadata: {name: a, labels: , annotations: {a: }}\n").is_ok());
    assert!(problem(&format!("{A}data: {{~: a}}\n")).contains("a key has to be plain text"));
    assert_eq!(
        problem(&format!("{A}---\n\n{A}")),
        "v1 ConfigMap 'a' is there twice, in m.yaml: document 1, line 1 and in m.yaml: document 2, line 6; keep one"
    );
    assert!(problem("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n").contains("build it with source_type kustomize"));
    assert_eq!(problem("# nothing\n---\n"), "m.yaml: there is no object in it; an artifact needs at least one");
    assert_eq!(
        problem(&format!("{A}kind: B\n")),
        "m.yaml: document 1, line 4, column 1: key 'kind' is given twice, first at line 2; keep one"
    );
    let first = "apiVersion: apps/v1\nkind: D\nmetadata: {name: a}\n---\napiVersion: apps/v1beta1\nkind: D\nmetadata: {name: a}\n";
    assert!(problem(first).contains("is there twice"));
}
