//! Connections: accepted, bounded, timed, and ended in order.
//!
//! In: a listener, the router, a token that says stop. Out: nothing until every connection has ended. One task per connection, all in one
//! tracker. A client that takes longer than [`arrival`](super::Limits::arrival) for the head of its request is cut off; one that has no request under way
//! when the control plane stops is closed at once, the others when they have their answer or [`drain`](super::Limits::drain) is over.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::state::Plane;

/// Wait after an accept that failed: almost always for want of file descriptors, which others have to give back first.
const BREATH: Duration = Duration::from_millis(100);

/// File descriptors for everything but connections: the database, its readers, the process itself.
const OTHER_FILES: u64 = 256;

/// Asks for as many file descriptors as there may be connections. The usual soft limit of 1024 is for programs that use `select`; going up to
/// the hard limit is what it is for. Connections beyond what is granted wait, as those beyond the limit of connections do.
pub(crate) fn make_room(connections: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let granted = wanted.min(hard).max(soft);
    if granted > soft && setrlimit(Resource::RLIMIT_NOFILE, granted, hard).is_err() || granted < wanted {
        tracing::warn!(wanted, granted, "there are fewer file descriptors than there may be connections: raise the limit (ulimit -n)");
    }
}

/// Serves until told to stop.
pub(crate) async fn serve(listener: TcpListener, router: Router, plane: Arc<Plane>) {
    let room = Arc::new(Semaphore::new(plane.limits.connections));
    let connections = TaskTracker::new();
    // Cancelled when waiting is over: what is still open then is cut.
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = plane.stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let (router, plane, cut) = (router.clone(), Arc::clone(&plane), cut.clone());
                connections.spawn(async move {
                    plane.metrics.connections(1);
                    connection(stream, router, &plane, &cut).await;
                    plane.metrics.connections(-1);
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(plane.limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "these were still busy at the end and are cut");
        cut.cancel();
        connections.wait().await;
    }
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small and somebody waits for each of them.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn connection(stream: TcpStream, router: Router, plane: &Plane, cut: &CancellationToken) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(plane.limits.arrival).max_buf_size(64 << 10);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = plane.stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        // Clients hang up all the time.
        tracing::debug!(%error, "a connection ended early");
    }
}
