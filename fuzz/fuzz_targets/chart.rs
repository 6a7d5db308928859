//! Chart archives, well formed as tar and hostile in what they hold: a chart is packaged or refused, and nothing else happens.
#![no_main]

use std::fs;
use std::io::Write as _;
use std::path::Path;

use build_runner::executor::helm_chart_build::HelmChartBuild;
use build_runner::job::{Artifact, Failure, FailureKind, JobType};
use build_runner::plan::Plan;
use libfuzzer_sys::fuzz_target;

mod support;

type Entry<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

fuzz_target!(|entries: Vec<Entry<'_>>| {
    let scratch = tempfile::tempdir().expect("a folder");
    let chart = scratch.path().join("chart");
    fs::create_dir_all(chart.join("charts")).expect("a folder");
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: fuzzed\nversion: 0.1.0\n").expect("a chart");
    fs::write(chart.join("charts/dependency-0.1.0.tgz"), archive(&entries)).expect("an archive");
    if let Err(failure) = build(scratch.path()) {
        assert!(failure.kind != FailureKind::Internal, "{failure:?}");
    }
    let mut left: Vec<_> = fs::read_dir(scratch.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    left.sort();
    left.retain(|name| !["chart", "out", "state"].iter().any(|known| name == known));
    assert!(left.is_empty(), "written outside of every folder: {left:?}");
});

/// A gzipped tar of files, folders and links, with whatever names they have.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none()));
    for (kind, name, link, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::new(b"0012345xgLK"[usize::from(*kind) % 11]));
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let fields = header.as_old_mut();
        copy(&mut fields.name, if *kind < 128 { b"dependency/" } else { b"" }, name);
        copy(&mut fields.linkname, b"", link);
        header.set_cksum();
        tar.append(&header, *content).expect("written to memory");
    }
    let mut gzip = tar.into_inner().expect("written to memory");
    gzip.flush().expect("written to memory");
    gzip.finish().expect("written to memory")
}

fn copy(field: &mut [u8; 100], prefix: &[u8], text: &[u8]) {
    for (to, from) in field.iter_mut().zip(prefix.iter().chain(text)) {
        *to = *from;
    }
}

fn build(scratch: &Path) -> Result<Vec<Artifact>, Failure> {
    let plan = serde_json::json!({
        "git_source": {"url": scratch.join("chart")},
        "dst_registry": {"RegistryType": "oci_layout", "Repository": scratch.join("out")},
        "dst_tag": "0.1.0",
        "helm_build_plan": {},
    });
    support::build(&HelmChartBuild, scratch, JobType::HelmChartBuild, &plan, |plan| match plan {
        Plan::HelmChartBuild(plan) => Some(*plan),
        _ => None,
    })
}
