//! What is on the disk, and what is there after a crash.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use base64::Engine as _;
use sqlx::ConnectOptions as _;

use super::*;

/// Copies the folder as a crash would leave it: no checkpoint, no goodbye.
fn crash_image(from: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // The shared-memory index is rebuilt from the log after a crash.
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
        }
    }
    image
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let bench = std::sync::Arc::new(Bench::new().await);
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let bench = std::sync::Arc::clone(&bench);
        writers.spawn(async move {
            let (job, run) = bench.running().await;
            bench.store.append_log(logs::batch(&job, &run, 1..=3), bench.now).await.unwrap();
            bench.store.put_outputs(&job, &run, serde_json::json!({"n": 1}), bench.now).await.unwrap();
            bench.set(&job, &run, ExecutionStatus::Finished).await.unwrap();
            job
        });
    }
    let jobs = writers.join_all().await;
    let image = crash_image(bench.dir.path());
    let after = SqliteStore::open(image.path(), Limits::default(), bench.now).await.unwrap();
    for job in jobs {
        let detail = after.job(&job).await.unwrap();
        assert_eq!((detail.job.status, detail.executions[0].outputs.is_some()), (JobStatus::Finished, true));
        assert_eq!(after.log(&job, 0, 10).await.unwrap().records.len(), 3);
        assert!(after.plan(&job).await.is_ok());
    }
}

#[tokio::test]
async fn a_torn_log_loses_nothing_but_its_torn_end() {
    let bench = Bench::new().await;
    let first = bench.submit().await;
    let image = crash_image(bench.dir.path());
    let wal = image.path().join("control-plane.db-wal");
    let mut bytes = std::fs::read(&wal).unwrap();
    bytes.extend_from_slice(&[7; 5000]);
    std::fs::write(&wal, bytes).unwrap();
    let after = SqliteStore::open(image.path(), Limits::default(), bench.now).await.unwrap();
    assert_eq!(after.job(&first).await.unwrap().job.status, JobStatus::Available);
}

#[tokio::test]
async fn a_second_control_plane_and_a_newer_database_are_refused_by_name() {
    let bench = Bench::new().await;
    let second = SqliteStore::open(bench.dir.path(), Limits::default(), bench.now).await;
    assert!(second.unwrap_err().to_string().contains("is in use by another control plane"));
    let Bench { store, dir, now } = bench;
    store.close().await;
    assert!(matches!(store.check().await, Err(Error::Closed)) && matches!(store.counts().await, Err(Error::Closed)));
    drop(store);
    let store = SqliteStore::open(dir.path(), Limits::default(), now).await.unwrap();
    store.close().await;
    drop(store);
    let mut db = super::super::connect_options(&dir.path().join("control-plane.db")).connect().await.unwrap();
    sqlx::query("PRAGMA user_version = 999").execute(&mut db).await.unwrap();
    drop(db);
    let refused = SqliteStore::open(dir.path(), Limits::default(), now).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 999, .. }), "{refused}");
}

#[tokio::test]
async fn a_plan_key_that_is_gone_or_another_one_is_told_at_the_start() {
    let bench = Bench::new().await;
    bench.store.close().await;
    let Bench { store, dir, now } = bench;
    drop(store);
    let key = dir.path().join("plan.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::write(&key, [1; 32]).unwrap();
    assert!(matches!(SqliteStore::open(dir.path(), Limits::default(), now).await, Err(OpenError::Key(_))));
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(SqliteStore::open(dir.path(), Limits::default(), now).await, Err(OpenError::KeyMissing(_))));
    assert!(!key.exists(), "no new key is made over sealed plans");
    std::fs::write(&key, kept).unwrap();
    SqliteStore::open(dir.path(), Limits::default(), now).await.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn nothing_secret_lies_on_the_disk_and_nobody_else_may_look() {
    let bench = Bench::new().await;
    let key = SubmitKey { key: "k".into(), body: [3; 32] };
    bench.store.submit(new_job(), Some(key), bench.now).await.unwrap();
    let new = NewToken { kind: TokenKind::Operator, name: "t".into(), runner: None, expires_at: None };
    let (_, secret) = bench.store.create_token(new, bench.now).await.unwrap();
    let planted = ["planted-secret-in-a-plan", secrecy::ExposeSecret::expose_secret(&secret)];
    let base64 = planted.map(|text| base64::engine::general_purpose::STANDARD_NO_PAD.encode(text));
    assert_eq!(std::fs::metadata(bench.dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
    let look = |dir: &Path| {
        let mut files = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            let bytes = std::fs::read(&path).unwrap();
            for text in planted.iter().copied().chain(base64.iter().map(String::as_str)) {
                assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()), "{}", path.display());
            }
            files += 1;
        }
        files
    };
    assert_eq!(look(bench.dir.path()), 5, "lock, key, database and its two companions");
    bench.store.close().await;
    assert_eq!(look(bench.dir.path()), 3, "the companions go when it is closed");
}

#[tokio::test]
async fn a_full_disk_is_told_and_spoils_nobody_elses_write() {
    let bench = Bench::new().await;
    let (job, run) = bench.running().await;
    bench.store.make(LimitPages(Some(1))).await.unwrap();
    let mut random = [0_u8; 1 << 13];
    getrandom::fill(&mut random).unwrap();
    let mut noise = logs::batch(&job, &run, 1..=1);
    noise.records[0].text = crate::digest::hex(&random);
    let (big, small) = tokio::join!(bench.store.append_log(noise.clone(), bench.now), bench.set(&job, &run, ExecutionStatus::InProgress));
    assert!(matches!(big, Err(Error::Full)), "{big:?}");
    assert_eq!(small.unwrap(), Written::Changed, "it was in the same transaction");
    bench.store.check().await.unwrap();
    bench.store.make(LimitPages(None)).await.unwrap();
    assert_eq!(bench.store.append_log(noise, bench.now).await.unwrap(), 1, "the same again, once there is room");
    assert_eq!(bench.store.log(&job, 0, 10).await.unwrap().records.len(), 1);
}

/// Lets the database file become no longer than this, or than it is: what a full disk looks like from inside.
struct LimitPages(Option<u32>);

#[async_trait]
impl super::super::Change for LimitPages {
    type Answer = ();

    async fn apply(&self, tx: &mut super::super::writer::Tx<'_>) -> Result<(), Error> {
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {}", self.0.unwrap_or(u32::MAX - 1)));
        sqlx::query(limit).execute(&mut *tx.db).await?;
        Ok(())
    }
}
