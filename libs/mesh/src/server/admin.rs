//! The plain HTTP port for probes and metrics: `/live`, `/ready`, `/metrics`. Nothing else is answered, and nothing here
//! tells about tenants. Liveness depends on nothing; readiness on the checks and on no shutdown having begun.

use std::{convert::Infallible, fmt::Write, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Check;
use crate::{error::chain, telemetry};

/// A line of `/ready` that decides nothing.
type Note = (&'static str, String);

const MAX_CONNECTIONS: usize = 64;
/// Of one connection, whatever it does.
const LIFE: Duration = Duration::from_secs(60);

/// Answers until it is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    checks: Vec<Check>,
    notes: Vec<Note>,
    draining: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let report = Arc::new((checks, notes));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                warn!(error = chain(&error), "cannot accept an admin connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (report, draining) = (report.clone(), draining.clone());
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = answer(
                    request.method(),
                    request.uri().path(),
                    &report.0,
                    &report.1,
                    draining.is_cancelled(),
                );
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service);
            // What goes wrong here is the prober's to notice.
            let _ = timeout(LIFE, connection).await;
            drop(slot);
        });
    }
}

fn answer(
    method: &Method,
    path: &str,
    checks: &[Check],
    notes: &[Note],
    draining: bool,
) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    match path {
        "/live" => text(StatusCode::OK, "ok\n".to_owned()),
        "/ready" => ready(checks, notes, draining),
        "/metrics" => text(StatusCode::OK, telemetry::metrics_text()),
        _ => text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
    }
}

fn ready(checks: &[Check], notes: &[Note], draining: bool) -> Response<Full<Bytes>> {
    let mut status = StatusCode::OK;
    let mut body = String::new();
    if draining {
        status = StatusCode::SERVICE_UNAVAILABLE;
        body.push_str("draining\n");
    }
    for Check { name, state, decides } in checks {
        let result = match &*state.borrow() {
            Ok(()) => "ok".to_owned(),
            Err(problem) => {
                if *decides {
                    status = StatusCode::SERVICE_UNAVAILABLE;
                }
                problem.clone()
            }
        };
        // A String takes any text.
        let _ = writeln!(body, "{name}: {result}");
    }
    for (name, text) in notes {
        let _ = writeln!(body, "{name}: {text}");
    }
    if body.is_empty() {
        body.push_str("ok\n");
    }
    text(status, body)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn readiness_is_that_of_all_checks_and_ends_with_the_drain() {
        let (database, check) = watch::channel(Ok(()));
        let (queue, other) = watch::channel(Ok(()));
        let checks = [
            Check { name: "database", state: check, decides: true },
            Check { name: "queue", state: other, decides: false },
        ];
        let notes = [("browser", "sandbox off".to_owned())];
        let see = async |path: &str, draining| {
            let response = answer(&Method::GET, path, &checks, &notes, draining);
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        assert_eq!(
            see("/ready", false).await,
            (200, "database: ok\nqueue: ok\nbrowser: sandbox off\n".to_owned())
        );
        assert_eq!(see("/ready", true).await.0, 503);
        assert_eq!(see("/live", true).await.0, 200);
        queue.send(Err("has no room".to_owned())).unwrap();
        assert_eq!(
            see("/ready", false).await,
            (200, "database: ok\nqueue: has no room\nbrowser: sandbox off\n".to_owned())
        );
        database.send(Err("away for 12s".to_owned())).unwrap();
        assert_eq!(
            see("/ready", false).await,
            (503, "database: away for 12s\nqueue: has no room\nbrowser: sandbox off\n".to_owned())
        );
        assert_eq!(see("/live", false).await.0, 200);
        assert_eq!(see("/secrets", false).await.0, 404);
        assert_eq!(answer(&Method::POST, "/live", &checks, &notes, false).status(), 405);
    }
}
