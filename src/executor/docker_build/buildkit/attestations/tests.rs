use std::path::PathBuf;

use super::*;

const SPDX: &str = "https://spdx.dev/Document";

/// A layout as BuildKit exports it (0.33, shortened).
struct Export {
    folder: tempfile::TempDir,
    layout: Layout,
    entries: Vec<Value>,
}

impl Export {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::at(folder.path()).expect("made");
        Self { folder, layout, entries: Vec::new() }
    }

    /// An image of that architecture, the same for the same.
    fn image(&mut self, architecture: &str) -> Value {
        let config = json!({"architecture": architecture, "os": "linux"});
        let image = self.layout.image(config, &[], super::super::super::layout::Times::All, 7).expect("written");
        let entry = json!({"mediaType": image.media_type, "digest": image.digest, "size": image.size,
                           "platform": {"architecture": architecture, "os": "linux"}});
        self.entries.push(entry.clone());
        entry
    }

    fn attest(&mut self, image: &Value, statements: &[(&str, Value)]) {
        let layers: Vec<Value> = statements
            .iter()
            .map(|(kind, predicate)| {
                let statement =
                    json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": kind, "subject": [], "predicate": predicate});
                let layer = self.layout.put(IN_TOTO, &statement).expect("written");
                json!({"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size, "annotations": {PREDICATE: kind}})
            })
            .collect();
        let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": image["digest"], "size": 2});
        // Go writes no layers as null.
        let layers = if layers.is_empty() { Value::Null } else { json!(layers) };
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers});
        let put = self.layout.put(media_type::OCI_MANIFEST, &manifest).expect("written");
        self.entries.push(json!({"mediaType": put.media_type, "digest": put.digest, "size": put.size,
                                 "annotations": {ABOUT: image["digest"], TYPE: "attestation-manifest"},
                                 "platform": {"architecture": "unknown", "os": "unknown"}}));
    }

    fn index(&self, entries: &[Value]) -> Descriptor {
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries});
        self.layout.put(media_type::OCI_INDEX, &index).expect("written")
    }

    fn export(&self) -> PathBuf {
        let index = json!({"schemaVersion": 2, "manifests": [self.index(&self.entries)]});
        fs_err::write(self.folder.path().join("index.json"), index.to_string()).expect("written");
        self.folder.path().to_owned()
    }

    fn root(&self) -> Value {
        read_json(&self.folder.path().join("index.json")).expect("read")["manifests"].take()
    }

    fn take(&self, several: bool) -> Result<Taken, Failure> {
        take(&self.export(), &Generator::of("h:5000/scan:1"), several)
    }
}

fn spdx(name: &str) -> Value {
    json!({"spdxVersion": "SPDX-2.3", "name": name})
}

#[test]
fn what_is_left_is_the_image_and_the_sbom_is_the_document_alone() {
    let mut export = Export::new();
    let image = export.image("amd64");
    let uri = "pkg:docker/h%3A5000/scan@1?platform=linux%2Famd64";
    let base = json!({"uri": "pkg:docker/alpine@3", "digest": {"sha256": "11".repeat(32)}});
    let slsa =
        json!({"buildDefinition": {"resolvedDependencies": [base, {"uri": uri, "digest": {"sha256": "22".repeat(32)}}]}, "runDetails": {}});
    let statements = [
        (SPDX, spdx("core")),
        ("https://slsa.dev/provenance/v1", slsa),
        ("https://cyclonedx.org/bom", json!({"bomFormat": "CycloneDX"})),
        ("https://example.com/other", json!("text")),
    ];
    export.attest(&image, &statements);
    let taken = export.take(false).expect("taken");
    assert_eq!(export.root(), json!([image]));
    let kinds: Vec<_> = taken.sboms.iter().map(|sbom| sbom.media_type.as_str()).collect();
    assert_eq!(kinds, ["application/spdx+json", "application/vnd.cyclonedx+json"]);
    assert_eq!(taken.sboms[0].content, spdx("core").to_string());
    assert_eq!(taken.sboms[0].subject.as_ref().map(Digest::as_str), image["digest"].as_str());
    let materials: Vec<_> = taken.generator.iter().map(|material| (material.uri.as_str(), material.digest["sha256"].as_str())).collect();
    assert_eq!(materials, [("oci://h:5000/scan:1", &*"22".repeat(32))]);
}

#[test]
fn an_index_stays_one_of_its_images_and_each_has_an_sbom() {
    let mut export = Export::new();
    let (one, two, again) = (export.image("amd64"), export.image("arm64"), export.image("amd64"));
    for image in [&one, &two, &again] {
        export.attest(image, &[(SPDX, spdx(&image["platform"].to_string()))]);
    }
    let bare = export.index(&[one.clone(), two.clone(), again]);
    let taken = export.take(true).expect("taken");
    assert_eq!(export.root(), json!([bare]));
    let subjects: Vec<_> = taken.sboms.iter().filter_map(|sbom| sbom.subject.as_ref().map(Digest::as_str)).collect();
    assert_eq!(subjects, [one["digest"].as_str().expect("text"), two["digest"].as_str().expect("text")]);
}

#[test]
fn what_is_no_sbom_is_said_with_the_key_of_the_plan() {
    let failure = |statements: Option<&[(&str, Value)]>, several: bool| {
        let mut export = Export::new();
        let image = export.image("amd64");
        if let Some(statements) = statements {
            export.attest(&image, statements);
        }
        let failure = export.take(several).expect_err("no SBOM");
        format!("{} {}", failure.kind, failure.message)
    };
    let none = "ToolFailed sbom_generator: 'h:5000/scan:1' wrote no SBOM";
    assert!(failure(None, false).starts_with(&format!("{none}: ")));
    assert!(failure(Some(&[]), true).starts_with(&format!("{none} for linux/amd64: ")));
    assert!(failure(Some(&[("https://slsa.dev/provenance/v1", json!({}))]), false).starts_with(none));
    for predicate in [json!(null), json!("text"), json!({"hello": 1}), json!({"spdxVersion": ""}), json!({"bomFormat": "CycloneDX"})] {
        let text = failure(Some(&[(SPDX, predicate)]), false);
        assert!(text.contains("wrote something of type application/spdx+json that is none: a generator writes"), "{text}");
    }
    let many: Vec<_> = (0..=MAX_STATEMENTS).map(|number| (SPDX, spdx(&number.to_string()))).collect();
    assert!(failure(Some(&many), false).starts_with("LimitExceeded sbom_generator: 'h:5000/scan:1' wrote 65 documents"));
}

#[test]
fn an_sbom_that_is_too_large_is_not_read() {
    let mut export = Export::new();
    let image = export.image("amd64");
    export.attest(&image, &[(SPDX, spdx("core"))]);
    let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": SPDX, "subject": [], "predicate": spdx("core")});
    let blob = export.layout.blob(&Descriptor::of(IN_TOTO, statement.to_string().as_bytes()).digest);
    fs_err::OpenOptions::new().write(true).open(blob).expect("there").set_len(MAX_SBOM + 1).expect("longer");
    let failure = export.take(false).expect_err("too large");
    assert_eq!(failure.kind, FailureKind::LimitExceeded);
    assert!(failure.message.starts_with("sbom_generator: 'h:5000/scan:1' wrote a document of 67108865 bytes"), "{}", failure.message);
}
