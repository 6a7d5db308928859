//! `terraform-module-build` against the real OpenTofu, Terraform and Flux: packages, installs, hostile sources.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::runner::Runner;

mod hostile;
mod install;
mod package;

/// A job that packs the folder `path` of the source `src` (beside the job file) into the layout `out` under the tag `1.0.0`.
fn folder_job(path: &str) -> Value {
    json!({"type": "terraform-module-build", "plan": {
        "git_source": {"url": "src", "path": path},
        "dst_registry": {"RegistryType": "oci_layout", "Repository": "out"},
        "dst_tag": "1.0.0",
        "terraform_build_plan": {"Labels": {"component_id": "cmp1"}},
    }})
}

/// The same job, into a registry.
fn into_registry(mut job: Value, repository: &str, plain: bool) -> Value {
    job["plan"]["dst_registry"] = json!({"RegistryType": "public_oci", "Repository": repository, "PlainHTTP": plain});
    job
}

/// Writes the files of the source.
fn source(runner: &Runner, files: &[(&str, &str)]) {
    for (name, content) in files {
        runner.write(&format!("src/{name}"), content);
    }
}

/// A repository with a module that calls one beside it, which calls another, and a file that one reads.
const REPOSITORY: &[(&str, &str)] = &[
    (
        "live/app/main.tf",
        "# who greets\nmodule \"words\" {\n  source = \"../../modules/words\" # shared\n  name   = var.name\n}\n\nmodule \"mark\" {\n  source = \"./mark\"\n}\n",
    ),
    (
        "live/app/io.tf.json",
        "{\"variable\": {\"name\": {\"type\": \"string\"}}, \"output\": {\"text\": {\"value\": \"${module.words.text}${module.mark.text}\"}}}",
    ),
    ("live/app/mark/main.tf", "output \"text\" { value = \"!\" }\n"),
    (
        "modules/words/main.tf",
        "variable \"name\" {}\nmodule \"case\" {\n  source = \"../case\"\n  text   = var.name\n}\noutput \"text\" { value = \"${trimspace(file(\"${path.module}/hello.txt\"))} ${module.case.text}\" }\n",
    ),
    ("modules/words/hello.txt", "Hello\n"),
    ("modules/case/main.tf", "variable \"text\" {}\noutput \"text\" { value = upper(var.text) }\n"),
    ("modules/unused/main.tf", "]\n"),
    ("README.md", "# everything\n"),
];

/// What a layout folder holds under the tag `1.0.0`.
struct Pushed {
    manifest: Value,
    tar: Vec<u8>,
    zip: Vec<u8>,
}

impl Pushed {
    fn read(layout: &Path) -> Self {
        let blob = |digest: &Value| {
            let (algorithm, hex) = digest.as_str().unwrap().split_once(':').unwrap();
            fs::read(layout.join("blobs").join(algorithm).join(hex)).unwrap()
        };
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let tagged = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == "1.0.0";
        let manifest: Value =
            serde_json::from_slice(&blob(&index["manifests"].as_array().unwrap().iter().find(tagged).unwrap()["digest"])).unwrap();
        let layer = |at: usize| blob(&manifest["layers"][at]["digest"]);
        Self { tar: layer(0), zip: layer(1), manifest }
    }
}

/// Mode and content of every file of a gzipped tar, which has nothing but files.
fn untar(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert!(entry.header().entry_type().is_file());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), (entry.header().mode().unwrap(), content))
    });
    entries.collect()
}

/// The same of a zip archive, read as its directory at the end says.
fn unzip(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let number = |at: usize, bytes: usize| archive[at..at + bytes].iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    let end = archive.len() - 22;
    assert_eq!(&archive[end..end + 4], b"PK\x05\x06");
    let (mut at, mut files) = (number(end + 16, 4), BTreeMap::new());
    for _ in 0..number(end + 10, 2) {
        assert_eq!(&archive[at..at + 4], b"PK\x01\x02");
        assert_eq!(number(at + 12, 4), 0x0021_0000, "1980-01-01");
        let name = std::str::from_utf8(&archive[at + 46..at + 46 + number(at + 28, 2)]).unwrap().to_owned();
        let local = number(at + 42, 4);
        let begin = local + 30 + number(local + 26, 2);
        let data = &archive[begin..begin + number(at + 20, 4)];
        let mut content = Vec::new();
        match number(at + 10, 2) {
            0 => content.extend_from_slice(data),
            _ => drop(flate2::read::DeflateDecoder::new(data).read_to_end(&mut content).unwrap()),
        }
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        assert_eq!((content.len(), crc.sum() as usize), (number(at + 24, 4), number(at + 16, 4)));
        files.insert(name, (u32::try_from(number(at + 38, 4)).unwrap() >> 16 & 0o7777, content));
        at += 46 + number(at + 28, 2);
    }
    files
}
