//! Chart archives, well formed as tar and hostile in what they hold: a chart is packaged or refused, and nothing else happens.
#![no_main]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use build_runner::executor::{Context, Executor as _, helm_chart_build::HelmChartBuild};
use build_runner::job::{ExecutionId, FailureKind, JobId, JobType};
use build_runner::logs::{JobLog, Progress};
use build_runner::plan::{Plan, Strictness};
use build_runner::shutdown::Cancel;
use build_runner::workspace::Workspace;
use build_runner::oci;
use libfuzzer_sys::fuzz_target;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

type Entry<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

fuzz_target!(|entries: Vec<Entry<'_>>| {
    let scratch = tempfile::tempdir().expect("a folder");
    let chart = scratch.path().join("chart");
    fs::create_dir_all(chart.join("charts")).expect("a folder");
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: fuzzed\nversion: 0.1.0\n").expect("a chart");
    fs::write(chart.join("charts/dependency-0.1.0.tgz"), archive(&entries)).expect("an archive");
    if let Err(failure) = RUNTIME.block_on(build(scratch.path())) {
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

async fn build(scratch: &Path) -> Result<(), build_runner::job::Failure> {
    let plan = serde_json::json!({
        "git_source": {"url": scratch.join("chart")},
        "dst_registry": {"RegistryType": "oci_layout", "Repository": scratch.join("out")},
        "dst_tag": "0.1.0",
        "helm_build_plan": {},
    });
    let decoded = Plan::decode(JobType::HelmChartBuild, &plan, Strictness::JobFile).expect("a plan");
    let Plan::HelmChartBuild(plan) = decoded.plan else { unreachable!("it is of that type") };
    let (job, execution) = (JobId::generate(), ExecutionId::generate());
    let state = scratch.join("state");
    build_runner::workspace::open_state(&state)?;
    let cx = Context {
        workspace: Arc::new(Workspace::create(&state, &execution)?),
        cancel: Cancel::new(),
        log: JobLog::discard(),
        progress: Progress::default(),
        oci: Arc::new(oci::Client::new(oci::Settings::default())?),
        git: Arc::default(),
        local_base: Some(scratch.to_owned()),
        job,
        execution,
    };
    let handle = HelmChartBuild.handle(&cx.job, &cx.execution, &plan);
    let mut work = HelmChartBuild.prepare(&cx, &plan, &handle).await?;
    HelmChartBuild.execute(&cx, &plan, &handle, &mut work).await?;
    HelmChartBuild.collect(&cx, &plan, &handle, work).await.map(|_| ())
}
